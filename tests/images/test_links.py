"""Images by link, over real sockets and real TLS: only checked addresses are ever connected to."""

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import time

import anyio
import httpcore
import httpx
import pytest
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSStream
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from httpcore import AnyIOBackend

from sora_mcp.errors import CorruptImage, FetchFailed, ImageTooLarge, UnsupportedImage, UrlNotAllowed
from sora_mcp.images import fetch as fetch_module

pytestmark = pytest.mark.anyio

HOST, PUBLIC = "pictures.example.com", "93.184.216.34"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate for the one host, and a client's trust in it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(HOST), x509.IPAddress(ipaddress.ip_address(PUBLIC))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(signed.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return server, ssl.create_default_context(cafile=folder / "cert.pem")


class Site:
    """A file host: what it answers by path, and what it was asked."""

    def __init__(self):
        self.answers, self.requests, self.names, self.port = {}, [], [], 0

    def says(self, path, body=b"", status="200 OK", **headers):
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        length = "" if "content_length" in headers else f"content-length: {len(body)}\r\n"
        self.answers[path] = f"HTTP/1.1 {status}\r\n{lines}{length}\r\n".encode() + body

    async def handle(self, stream):
        head = b""
        while b"\r\n\r\n" not in head:
            head += await stream.receive()
        self.requests.append(head.decode())
        answer = self.answers[head.split(b" ")[1].decode()]
        if callable(answer):
            await answer(stream)
        else:
            await stream.send(answer)
        await stream.aclose()


@contextlib.asynccontextmanager
async def serving(site, context=None):
    names = []
    if context is not None:
        context.sni_callback = lambda _, name, __: names.append(name)
    site.names = names

    async def handle(raw):
        stream = raw
        try:
            with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                if context is not None:
                    stream = await TLSStream.wrap(raw, server_side=True, ssl_context=context, standard_compatible=False)
                await site.handle(stream)
        finally:
            await anyio.aclose_forcefully(raw)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    site.port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no database
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield site
        tasks.cancel_scope.cancel()


class Connector(httpcore.AsyncNetworkBackend):
    """Counts what is connected to, and leads public addresses to a server on loopback."""

    def __init__(self, port, broken=()):
        self.port, self.broken, self.connected, self.real = port, broken, [], AnyIOBackend()

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):  # noqa: ASYNC109 - its name
        self.connected.append((host, port))
        if host in self.broken:
            raise httpcore.ConnectError("unreachable")
        return await self.real.connect_tcp("127.0.0.1", self.port, timeout, local_address, socket_options)


class Names:
    """Counts what is resolved."""

    def __init__(self, **addresses):
        self.addresses, self.asked = addresses, []

    async def __call__(self, host, port):
        self.asked.append((host, port))
        answers = self.addresses.get(host.replace(".", "_").replace("-", "_"), [PUBLIC])
        if answers is None:
            raise socket.gaierror(-2, "unknown")
        return answers.pop(0) if answers and isinstance(answers[0], list) else answers


@pytest.fixture
async def site(certificate):
    async with serving(Site(), certificate[0]) as served:
        yield served


@pytest.fixture
def connect(certificate, new_preparer):
    def make(site, names=None, broken=(), **options):
        transport = httpx.AsyncHTTPTransport(
            verify=certificate[1], trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
        connector = transport._pool._network_backend = Connector(site.port, broken)
        return new_preparer(resolver=names or Names(), transport=transport, **options), connector

    return make


@pytest.fixture
def picture(pictures):
    return pictures.encode(pictures.scene(), "JPEG")


async def test_picture_is_fetched_from_the_checked_address_by_its_name(site, connect, picture, monkeypatch):
    for variable in ("HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    site.says("/a%20b/x.png?q=1&r=%C3%A9", picture, set_cookie="a=b")
    names = Names()
    preparer, connector = connect(site, names)
    prepared = await preparer.prepare(f"https://{HOST}/a b/x.png?q=1&r=é#part".replace(" ", "%20"))
    assert prepared.width == 1280
    assert names.asked == [(HOST, 443)]
    assert connector.connected == [(PUBLIC, 443)]
    assert site.names == [HOST]
    lines = site.requests[0].lower().split("\r\n")
    assert f"host: {HOST}" in lines
    assert "user-agent: sora-mcp-tests/1" in lines
    assert not any(line.startswith(("authorization", "cookie", "proxy", "referer")) for line in lines)
    await preparer.aclose()


async def test_address_given_as_such_is_connected_to(site, connect, picture):
    site.says("/x.png", picture)
    preparer, connector = connect(site, Names(**{PUBLIC.replace(".", "_"): [PUBLIC]}))
    assert (await preparer.prepare(f"https://{PUBLIC}/x.png")).width == 1280
    assert connector.connected == [(PUBLIC, 443)]


async def test_next_address_is_tried_when_one_does_not_connect(site, connect, picture):
    site.says("/x.png", picture)
    addresses = ["2606:4700::1111", PUBLIC]
    preparer, connector = connect(site, Names(pictures_example_com=addresses), broken=("2606:4700::1111",))
    assert (await preparer.prepare(f"https://{HOST}/x.png")).width == 1280
    assert [address for address, _ in connector.connected] == addresses


async def test_no_address_connects(site, connect):
    preparer, connector = connect(site, Names(pictures_example_com=["1.1.1.1"] * 9), broken=("1.1.1.1",))
    with pytest.raises(FetchFailed, match="cannot be reached"):
        await preparer.prepare(f"https://{HOST}/x.png")
    assert len(connector.connected) == 1


async def test_certificate_of_another_name_is_refused(site, connect, picture):
    site.says("/x.png", picture)
    preparer, _ = connect(site)
    with pytest.raises(FetchFailed):
        await preparer.prepare("https://other.example.com/x.png")
    assert site.requests == []


async def test_hostile_link_makes_no_look_up_and_no_connection(site, connect):
    names = Names()
    preparer, connector = connect(site, names)
    for url in (
        "https://127.0.0.1/x.png",
        "https://2130706433/x.png",
        "https://0x7f000001/",
        "https://127.1/",
        "https://[::1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://localhost/x.png",
        "https://printer.local/",
        f"http://{HOST}/x.png",
        f"https://{HOST}:8443/x.png",
        f"https://{HOST}:80/x.png",
        f"https://user:secret@{HOST}/x.png",
        f"https://{HOST}./x.png",
        f"ftp://{HOST}/x.png",
        "https://\uff11\uff12\uff17.0.0.1/",
        "gopher://x.example.com/",
    ):
        with pytest.raises(UrlNotAllowed):
            await preparer.prepare(url)
    assert names.asked == []
    assert connector.connected == []


async def test_name_with_any_private_address_is_refused(site, connect):
    for addresses in (
        ["127.0.0.1"],
        [PUBLIC, "10.0.0.1"],
        ["10.0.0.1", PUBLIC],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["fe80::1%2"],
        ["169.254.169.254"],
        ["168.63.129.16"],
        ["2002:7f00:1::"],
        ["nonsense"],
    ):
        preparer, connector = connect(site, Names(pictures_example_com=addresses))
        with pytest.raises(UrlNotAllowed):
            await preparer.prepare(f"https://{HOST}/x.png")
        assert connector.connected == []


async def test_rebinding_name_is_resolved_once(site, connect, picture):
    site.says("/x.png", picture)
    names = Names(pictures_example_com=[[PUBLIC], ["127.0.0.1"]])
    preparer, connector = connect(site, names)
    assert (await preparer.prepare(f"https://{HOST}/x.png")).width == 1280
    assert connector.connected == [(PUBLIC, 443)]
    assert len(names.asked) == 1


async def test_unknown_name_is_said(site, connect):
    for answer in (None, []):
        preparer, _ = connect(site, Names(pictures_example_com=answer))
        with pytest.raises(FetchFailed, match="not known"):
            await preparer.prepare(f"https://{HOST}/x.png")


async def test_redirects_are_followed_and_checked_each_time(site, connect, picture):
    site.says("/1", status="301 Moved", location="/2")
    site.says("/2", status="307 Temporary", location=f"https://{HOST}/3")
    site.says("/3", status="302 Found", location=f"//{HOST}/4")
    site.says("/4", picture)
    names = Names()
    preparer, connector = connect(site, names)
    assert (await preparer.prepare(f"https://{HOST}/1")).width == 1280
    assert len(names.asked) == len(connector.connected) == 4
    site.says("/0", status="308 Permanent", location="/1")
    with pytest.raises(FetchFailed, match="redirects more than 3"):
        await preparer.prepare(f"https://{HOST}/0")


async def test_redirect_to_a_hostile_place_is_refused_without_a_connection(site, connect):
    for location in (
        "http://pictures.example.com/x.png",
        "https://127.0.0.1/x.png",
        "https://169.254.169.254/",
        "https://[::1]/",
        "//localhost/x",
        "https://inner.example.com/",
        "https://pictures.example.com:22/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
    ):
        site.says("/x.png", status="302 Found", location=location)
        preparer, connector = connect(site, Names(inner_example_com=["10.0.0.1"]))
        with pytest.raises(UrlNotAllowed):
            await preparer.prepare(f"https://{HOST}/x.png")
        assert connector.connected == [(PUBLIC, 443)]


async def test_other_answers_are_no_image(site, connect):
    site.says("/404", b"gone", status="404 Not Found")
    site.says("/500", status="500 Oops")
    site.says("/302", status="302 Found")
    site.says("/partial", b"abc", status="206 Partial Content")
    preparer, _ = connect(site)
    for path in ("404", "500", "302", "partial"):
        with pytest.raises(FetchFailed, match="answered with status"):
            await preparer.prepare(f"https://{HOST}/{path}")


async def test_web_page_and_empty_answer_are_told_apart(site, connect):
    site.says("/page", b"<!doctype html><title>no</title>", content_type="image/png")
    site.says("/empty")
    preparer, _ = connect(site)
    with pytest.raises(UnsupportedImage):
        await preparer.prepare(f"https://{HOST}/page")
    with pytest.raises(CorruptImage):
        await preparer.prepare(f"https://{HOST}/empty")


async def test_connection_that_breaks_is_a_failed_fetch(site, connect):
    site.says("/short", b"\xff\xd8\xff", content_length="100000")
    site.answers["/noise"] = b"not http at all\r\n\r\n"
    preparer, _ = connect(site)
    for path in ("short", "noise"):
        with pytest.raises(FetchFailed, match="broke"):
            await preparer.prepare(f"https://{HOST}/{path}")


async def test_declared_size_is_refused_before_the_body(site, connect):
    site.says("/huge", b"", content_length="25000001")
    site.says("/absurd", b"", content_length="9" * 18)
    preparer, _ = connect(site)
    for path in ("huge", "absurd"):
        with pytest.raises(ImageTooLarge):
            await preparer.prepare(f"https://{HOST}/{path}")


async def test_endless_body_is_cut_at_the_cap(site, connect):
    sent = 0

    async def endless(stream):
        nonlocal sent
        await stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await stream.send(b"\xff\xd8\xff" * 40_000)
            sent += 120_000

    site.answers["/endless"] = endless
    preparer, _ = connect(site)
    with pytest.raises(ImageTooLarge):
        await preparer.prepare(f"https://{HOST}/endless")
    assert sent < 40_000_000


async def test_compressed_bomb_is_not_unpacked(site, connect):
    site.says("/bomb", b"\x1f\x8b" + bytes(1000), content_encoding="gzip")
    preparer, _ = connect(site)
    with pytest.raises(UnsupportedImage):
        await preparer.prepare(f"https://{HOST}/bomb")


async def test_server_that_drips_is_given_up(site, connect):
    async def drip(stream):
        await stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await stream.send(b"x")
            await anyio.sleep(0.02)

    site.answers["/drip"] = drip
    preparer, connector = connect(site)
    fetcher = await preparer._links()
    fetcher._seconds = 0.3
    started = time.monotonic()
    with pytest.raises(FetchFailed, match="took longer"):
        await preparer.prepare(f"https://{HOST}/drip")
    assert time.monotonic() - started < 3
    assert len(connector.connected) == 1


async def test_own_origin_is_trusted_on_loopback_over_http(new_preparer, picture):
    names = Names()
    async with serving(Site()) as site:
        site.says("/__files/x.png", picture)
        site.says("/moved", status="302 Found", location="/__files/x.png")
        site.says("/out", status="302 Found", location=f"http://127.0.0.1:{site.port + 1}/x.png")
        origin = f"http://127.0.0.1:{site.port}"
        preparer = new_preparer(trusted_origin=lambda: f"{origin}/v1", resolver=names)
        for path in ("__files/x.png", "moved"):
            assert (await preparer.prepare(f"{origin}/{path}")).width == 1280
        assert f"Host: 127.0.0.1:{site.port}" in site.requests[0]
        with pytest.raises(UrlNotAllowed):
            await preparer.prepare(f"{origin}/out")
        with pytest.raises(UrlNotAllowed):
            await preparer.prepare(f"http://localhost:{site.port}/__files/x.png")
        await preparer.aclose()
    assert names.asked == []


async def test_origin_that_is_known_late_is_asked_for_each_time(new_preparer, picture):
    async with serving(Site()) as site:
        site.says("/x.png", picture)
        origins = ["", f"http://127.0.0.1:{site.port}"]
        preparer = new_preparer(trusted_origin=lambda: origins[0])
        url = f"http://127.0.0.1:{site.port}/x.png"
        with pytest.raises(UrlNotAllowed):
            await preparer.prepare(url)
        origins.pop(0)
        assert (await preparer.prepare(url)).width == 1280
        await preparer.aclose()


async def test_link_is_never_in_the_words(site, connect):
    site.says("/x.png?token=secret-token", status="403 Forbidden")
    preparer, _ = connect(site)
    with pytest.raises(FetchFailed) as failure:
        await preparer.prepare(f"https://{HOST}/x.png?token=secret-token")
    assert "secret-token" not in str(failure.value)


async def test_system_resolver_finds_loopback():
    assert "127.0.0.1" in await fetch_module.resolve("127.0.0.1", 443)


async def test_closing_without_a_fetch_is_fine(new_preparer):
    preparer = new_preparer()
    await preparer.aclose()
    await preparer._links()
    await preparer.aclose()
