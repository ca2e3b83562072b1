import datetime as dt
import gzip
import ipaddress
import logging
import socket
import ssl
import struct
import time
import zlib

import anyio
import anyio.abc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sora_mcp import errors
from sora_mcp.api import connection
from sora_mcp.api.connection import MAX_BODY_BYTES, Patience
from sora_mcp.api.verdicts import Accepted, NeverSent, Rejected, Unknown
from sora_mcp.models import GenerateRequest

pytestmark = pytest.mark.anyio

ORDER = GenerateRequest(model="sora-2-official", prompt="a lighthouse", client_business_id="smcp-" + "0" * 32)
KEY = "sk-canary-0123456789"
QUEUED = {"id": "video_1", "status": "queued"}


@pytest.fixture
def connect(make_client, monkeypatch):
    """A client for a real address, with no proxy in the way and no time to waste."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return lambda url: make_client(base_url=url)


@pytest.fixture
def hasty(monkeypatch):
    for name in ("QUESTION", "ORDER", "UPLOAD"):
        monkeypatch.setattr(connection, name, Patience(io=0.4, overall=0.6))


async def always(wire, stream):
    while True:
        await wire.read_request(stream)
        await stream.send(wire.answer(QUEUED))


def reset(stream):
    """Close with RST, as a crashed server does."""
    stream.extra_attributes[anyio.abc.SocketAttribute.raw_socket]().setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )


async def test_questions_share_a_connection_and_orders_never_do(serve, connect):
    url, wire = await serve(always)
    client = connect(url)
    for _ in range(3):
        await client.status("video_1")
    assert wire.connections == 1
    for _ in range(3):
        assert isinstance(await client.generate(ORDER), Accepted)
    assert wire.connections == 4
    await client.status("video_1")
    assert wire.connections == 4
    await client.aclose()


async def test_orders_at_the_same_time_each_have_a_connection(serve, connect):
    url, wire = await serve(always)
    client = connect(url)
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(client.generate, ORDER)
    assert (wire.connections, len(wire.requests)) == (8, 8)
    await client.aclose()


async def test_a_kept_connection_that_the_server_dropped_is_replaced_silently(serve, connect, pauses):
    async def one_each(wire, stream):
        await wire.read_request(stream)
        await stream.send(wire.answer(QUEUED))

    url, wire = await serve(one_each)
    client = connect(url)
    await client.status("video_1")
    assert (await client.status("video_1")).id == "video_1"
    assert wire.connections == 2
    assert pauses.slept in ([], [0.5])
    await client.aclose()


async def test_a_kept_connection_reset_by_the_next_question_is_asked_through(serve, connect):
    async def second_request_resets(wire, stream):
        await wire.read_request(stream)
        await stream.send(wire.answer(QUEUED))
        if wire.connections == 1:
            await wire.read_request(stream)
            reset(stream)
            return
        await always(wire, stream)

    url, wire = await serve(second_request_resets)
    client = connect(url)
    await client.status("video_1")
    await client.status("video_1")
    assert (wire.connections, len(wire.requests)) == (2, 3)
    await client.aclose()


async def test_a_refused_connection_sends_no_order(free_port, connect):
    client = connect(f"http://127.0.0.1:{free_port}")
    verdict = await client.generate(ORDER)
    assert isinstance(verdict, NeverSent)
    assert "could not be reached" in str(verdict.error)
    with pytest.raises(errors.UpstreamUnavailable):
        await client.status("video_1")


@pytest.fixture
async def free_port():
    async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener:
        return listener.extra_attributes[anyio.abc.SocketAttribute.local_port]()


async def test_a_name_that_does_not_exist_sends_no_order(connect):
    verdict = await connect("https://no-such-host.invalid").generate(ORDER)
    assert isinstance(verdict, NeverSent)
    # A resolver that is out of reach itself may be slower than our patience.
    assert "could not be resolved" in str(verdict.error) or "could not be reached" in str(verdict.error)


async def test_tls_to_a_plain_port_sends_no_order(serve, connect):
    async def plain(_wire, stream):
        await stream.receive()
        await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    url, _ = await serve(plain)
    verdict = await connect(url.replace("http:", "https:")).generate(ORDER)
    assert isinstance(verdict, NeverSent)
    assert "No secure connection" in str(verdict.error)


async def test_a_certificate_that_is_not_trusted_sends_no_order(serve, connect, certificate):
    url, wire = await serve(always, certificate.context)
    verdict = await connect(url).generate(ORDER)
    assert isinstance(verdict, NeverSent)
    assert "No secure connection" in str(verdict.error)
    assert wire.requests == []


async def test_a_certificate_that_the_environment_trusts_is_taken(serve, connect, certificate, monkeypatch):
    url, wire = await serve(always, certificate.context)
    client = connect(url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    assert isinstance(await client.generate(ORDER), Accepted)
    await client.status("video_1")
    assert wire.connections == 2
    await client.aclose()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "cert.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return type("Certificate", (), {"context": context, "path": path})


@pytest.mark.parametrize("after", ["nothing", "request", "headers"])
async def test_a_reset_after_the_order_left_is_unknown(serve, connect, after):
    async def script(wire, stream):
        if after != "nothing":
            await wire.read_request(stream)
        if after == "headers":
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b'{"status":')
        reset(stream)

    url, wire = await serve(script)
    assert isinstance(await connect(url).generate(ORDER), Unknown)
    assert wire.connections == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"id":"video_1"}', Accepted),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"id":"vid', Unknown),
        (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{"id":"video_1"}\r\n', Accepted),
        (b"HTTP/1.1 402 Payment Required\r\nContent-Length: 999\r\n\r\n{", Rejected),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Unknown),
        (b"SSH-2.0-OpenSSH_9.6\r\n", Unknown),
        (b"", Unknown),
        (b"HTTP/1.1 100 Continue\r\n\r\n", Unknown),
        (b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", Unknown),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000, Unknown),
    ],
)
async def test_an_answer_that_breaks_off_is_judged_by_what_came(serve, connect, reply, kind):
    async def script(wire, stream):
        await wire.read_request(stream)
        await stream.send(reply)

    url, wire = await serve(script)
    assert isinstance(await connect(url).generate(ORDER), kind)
    assert wire.connections == 1


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "start",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"],
    ids=["silent", "in-headers", "in-body"],
)
async def test_a_service_that_hangs_ends_in_unknown_and_a_question_within_its_deadline(serve, connect, start):
    async def script(wire, stream):
        await wire.read_request(stream)
        await stream.send(start or b"\r\n")
        await anyio.sleep_forever()

    url, _ = await serve(script)
    client = connect(url)
    started = time.monotonic()
    assert isinstance(await client.generate(ORDER), Unknown)
    with pytest.raises(errors.ServiceError):
        await client.status("video_1", deadline=0.5)
    assert time.monotonic() - started < 5
    await client.aclose()


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("start", "drop"),
    [(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "), (b"HTTP/1.1 200 OK\r\nX: ", b"x")],
    ids=["body", "headers"],
)
async def test_an_answer_that_dribbles_does_not_outlast_the_deadline(serve, connect, start, drop):
    async def script(wire, stream):
        await wire.read_request(stream)
        await stream.send(start)
        while True:
            await stream.send(drop)
            await anyio.sleep(0.02)

    url, _ = await serve(script)
    client = connect(url)
    started = time.monotonic()
    assert isinstance(await client.generate(ORDER), Unknown)
    with pytest.raises(errors.ServiceError):
        await client.status("video_1", attempts=1)
    assert time.monotonic() - started < 5
    await client.aclose()


@pytest.mark.parametrize("framing", [b"Content-Length: 100000000\r\n", b"", b"Transfer-Encoding: chunked\r\n"])
async def test_an_endless_body_is_hung_up_on(serve, connect, framing):
    sent = 0

    async def script(wire, stream):
        nonlocal sent
        await wire.read_request(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
        block = b" " * 65536
        while True:
            await stream.send(b"10000\r\n" + block + b"\r\n" if b"chunked" in framing else block)
            sent += len(block)

    url, wire = await serve(script)
    client = connect(url)
    assert isinstance(await client.generate(ORDER), Unknown)
    await wire.emptied()
    assert sent < 20 * MAX_BODY_BYTES  # the rest is what the kernel's buffers took
    with pytest.raises(errors.UpstreamInvalid):
        await client.status("video_1", attempts=1)
    await client.aclose()


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", bytes)])
async def test_a_packed_answer_is_unpacked_within_the_cap(serve, connect, encoding, pack):
    bodies = [b'{"id":"video_1","status":"queued"}', b'{"id":"video_1","x":"' + b" " * 50_000_000 + b'"}']
    headers = f"Content-Encoding: {encoding}\r\n"

    async def script(wire, stream):
        await wire.read_request(stream)
        body = pack(bodies.pop(0)) if encoding != "br" else b"\x0b\x02\x80br"
        await stream.send(wire.answer(body, headers=headers))

    url, _ = await serve(script)
    client = connect(url)
    assert isinstance(await client.generate(ORDER), Unknown if encoding == "br" else Accepted)
    assert isinstance(await client.generate(ORDER), Unknown)


async def test_broken_packing_reads_as_no_answer(serve, connect):
    async def script(wire, stream):
        await wire.read_request(stream)
        await stream.send(wire.answer(b"not gzip", headers="Content-Encoding: gzip\r\n"))

    url, _ = await serve(script)
    assert isinstance(await connect(url).generate(ORDER), Unknown)


async def test_a_cancelled_order_leaves_no_connection_behind(serve, connect):
    started = anyio.Event()

    async def script(wire, stream):
        await wire.read_request(stream)
        started.set()
        await stream.receive()

    url, wire = await serve(script)
    client = connect(url)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.generate, ORDER)
        await started.wait()
        tasks.cancel_scope.cancel()
    await wire.emptied()
    assert wire.connections == 1


async def test_an_order_that_the_end_of_the_server_cuts_off_is_unknown(serve, connect):
    started = anyio.Event()
    verdicts = []

    async def script(wire, stream):
        await wire.read_request(stream)
        started.set()
        await stream.receive()

    async def order():
        verdicts.append(await client.generate(ORDER))

    url, _ = await serve(script)
    client = connect(url)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(order)
        await started.wait()
        await client.aclose()
    assert [type(verdict) for verdict in verdicts] == [Unknown]


async def test_an_upload_arrives_whole(serve, connect):
    async def script(wire, stream):
        await wire.read_request(stream)
        await stream.send(wire.answer({"success": True, "data": {"url": "https://files.toapis.test/u"}}))

    url, wire = await serve(script)
    client = connect(url)
    image = bytes(range(256)) * 20_000
    assert (await client.upload_image(image, "image/png")).url == "https://files.toapis.test/u"
    assert image in wire.requests[0]
    await client.aclose()


async def proxy_script(wire, stream):
    head, _ = await wire.read_request(stream)
    if wire.connections == 1:
        await stream.send(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        return
    assert head.startswith(b"CONNECT toapis.test:443")
    await stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
    await stream.receive()
    await stream.send(b"not TLS")


async def test_a_proxy_that_refuses_sends_no_order_and_never_sees_the_key(serve, connect, monkeypatch):
    url, wire = await serve(proxy_script)
    monkeypatch.setenv("HTTPS_PROXY", url)
    client = connect("https://toapis.test")
    refused, broken = await client.generate(ORDER), await client.generate(ORDER)
    assert isinstance(refused, NeverSent)
    assert "proxy did not let" in str(refused.error)
    assert isinstance(broken, NeverSent)
    assert "No secure connection" in str(broken.error)
    assert KEY.encode() not in b"".join(wire.requests)


@pytest.mark.parametrize("proxy", ["gopher://proxy.test", "http://proxy.test:port", "socks5://proxy.test:1080"])
async def test_a_proxy_that_cannot_be_used_is_named(connect, monkeypatch, proxy):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    client = connect("https://toapis.test")
    verdict = await client.generate(ORDER)
    assert isinstance(verdict, NeverSent)
    assert "HTTPS_PROXY" in str(verdict.error)
    with pytest.raises(errors.UpstreamUnavailable, match="HTTPS_PROXY"):
        await client.status("video_1", attempts=1)


async def test_a_certificate_file_that_is_not_there_is_named(connect, monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    verdict = await connect("https://toapis.test").generate(ORDER)
    assert isinstance(verdict, NeverSent)
    assert "SSL_CERT_FILE" in str(verdict.error)


async def test_loopback_never_goes_through_a_proxy(serve, connect, monkeypatch):
    url, wire = await serve(always)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    client = connect(url)
    await client.status("video_1")
    assert isinstance(await client.generate(ORDER), Accepted)
    assert wire.connections == 2
    await client.aclose()


async def test_no_logger_at_any_level_sees_the_key_or_the_prompt(serve, connect, caplog):
    async def script(wire, stream):
        await wire.read_request(stream)
        await stream.send(wire.answer({"error": {"message": f"{KEY} a lighthouse"}}, "502 Bad Gateway"))

    url, _ = await serve(script)
    client = connect(url)
    caplog.set_level(logging.DEBUG)
    await client.generate(ORDER)
    with pytest.raises(errors.UpstreamUnavailable):
        await client.status("video_1")
    assert len(caplog.records) > 20
    assert KEY not in caplog.text
    assert "lighthouse" not in caplog.text
    await client.aclose()


async def test_plain_http_loads_no_trusted_roots(serve, connect, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("20 ms for nothing")

    url, _ = await serve(always)
    client = connect(url)
    monkeypatch.setattr(httpx, "create_ssl_context", refuse)
    monkeypatch.setattr(ssl, "create_default_context", refuse)
    assert (await client.status("video_1")).id == "video_1"
    await client.aclose()
