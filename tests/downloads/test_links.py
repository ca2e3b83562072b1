"""Which links lead to a connection, and which to none."""

import socket

import httpx
import pytest

from sora_mcp.downloads import Downloader
from sora_mcp.errors import UnsafeResultUrl, UpstreamUnavailable

pytestmark = pytest.mark.anyio

PUBLIC, PRIVATE = "203.0.113.7", "10.0.0.7"


class Wire(httpx.AsyncBaseTransport):
    """Every request that would be a connection, answered with redirects and then the video."""

    def __init__(self, video):
        self.video = video
        self.redirects = []
        self.requests = []

    async def handle_async_request(self, request):
        self.requests.append(request)
        if self.redirects:
            return httpx.Response(302, headers={"Location": self.redirects.pop(0), "Set-Cookie": "a=b"})
        return httpx.Response(200, content=self.video)


@pytest.fixture
def wire(video):
    return Wire(video)


@pytest.fixture
async def fetch(wire, folder, links, slept):
    addresses = {
        "files.toapis.com": (PUBLIC,),
        "files.toapis.cn": (PUBLIC, PRIVATE),
        "empty.example": (),
        PRIVATE: (PRIVATE,),
    }

    async def resolve(host):
        if host not in addresses:
            raise socket.gaierror("unknown")
        return addresses[host]

    downloader = Downloader(
        output_dir=lambda: folder,
        file_hosts=("Files.ToAPIs.com", "files.toapis.cn", "gone.example", "empty.example", PRIVATE),
        trusted_origin=lambda: "http://127.0.0.1:8123/v1",
        user_agent="sora-mcp/1.0 (test)",
        is_public=lambda address: address == PUBLIC,
        transport=wire,
        sleep=slept,
        resolver=resolve,
    )
    yield lambda link: downloader.save("video_1", prompt=None, created_at=None, link=links(link))
    await downloader.aclose()


HOSTILE = [
    "http://files.toapis.com/v.mp4",
    "http://files.toapis.com:443/v.mp4",
    "https://files.toapis.com:8443/v.mp4",
    "https://files.toapis.com:0/v.mp4",
    "https://evil.example/v.mp4",
    "https://files.toapis.com.evil.example/v.mp4",
    "https://files.toapis.com./v.mp4",
    "https://evil.example\\@files.toapis.com/v.mp4",
    "https://files.toapis.com@evil.example/v.mp4",
    "https://user:pass@files.toapis.com/v.mp4",
    "http://user@127.0.0.1:8123/v.mp4",
    "http://127.0.0.1:8124/v.mp4",
    "https://127.0.0.1:8123/v.mp4",
    "http://localhost:8123/v.mp4",
    "http://169.254.169.254/latest/meta-data",
    "https://[::1]/v.mp4",
    "https://files.toapis.cn/one-address-is-private.mp4",
    f"https://{PRIVATE}/v.mp4",
    "file:///etc/passwd",
    "ftp://files.toapis.com/v.mp4",
    "javascript:alert(1)",
    "data:video/mp4;base64,AAAA",
    "//files.toapis.com/v.mp4",
    "/v.mp4",
    "",
    "https://",
    "https://[::1",
    "https://files.toapis.com:port/v.mp4",
    "https://files.toapis.com/\x00\n",
]


@pytest.mark.parametrize("link", HOSTILE)
async def test_hostile_link_makes_no_connection(link, fetch, wire, entries):
    with pytest.raises(UnsafeResultUrl) as caught:
        await fetch(link)
    assert wire.requests == []
    assert entries() == []
    assert "secret" not in str(caught.value)


# Seen from an allowed place, these lead to an allowed place.
HARMLESS_REDIRECTS = {"", "https://", "/v.mp4", "//files.toapis.com/v.mp4"}


@pytest.mark.parametrize("target", [link for link in HOSTILE if link not in HARMLESS_REDIRECTS])
async def test_hostile_redirect_is_not_followed(target, fetch, wire, entries):
    wire.redirects = [target]
    with pytest.raises(UnsafeResultUrl):
        await fetch("https://files.toapis.com/v.mp4")
    assert [str(request.url) for request in wire.requests] == ["https://files.toapis.com/v.mp4"]
    assert entries() == []


async def test_hostile_link_is_named_by_its_host_alone(fetch):
    with pytest.raises(UnsafeResultUrl) as caught:
        await fetch("https://evil.example/v.mp4?signature=secret")
    assert caught.value.upstream_message == "evil.example"
    assert "evil" not in str(caught.value)


async def test_three_redirects_among_allowed_places_are_followed(fetch, wire, video):
    wire.redirects = ["/elsewhere.mp4", "//files.toapis.com/again.mp4", "http://127.0.0.1:8123/v.mp4"]
    saved, already = await fetch("https://files.toapis.com/v.mp4")
    assert (saved.path.read_bytes(), already) == (video, False)
    assert str(wire.requests[-1].url) == "http://127.0.0.1:8123/v.mp4"
    assert all("cookie" not in request.headers for request in wire.requests)


async def test_a_fourth_redirect_is_too_many(fetch, wire, entries):
    wire.redirects = [f"/{number}" for number in range(9)]
    with pytest.raises(UnsafeResultUrl):
        await fetch("https://files.toapis.com/v.mp4")
    assert len(wire.requests) == 4
    assert entries() == []


@pytest.mark.parametrize("host", ["gone.example", "empty.example"])
async def test_host_without_an_address_is_out_of_reach(host, fetch, wire, slept):
    with pytest.raises(UpstreamUnavailable, match="nothing came"):
        await fetch(f"https://{host}/v.mp4")
    assert wire.requests == []
    assert slept.seconds == [1, 2, 4, 8]


async def test_names_are_resolved_by_the_system_unless_told_otherwise(folder, links, wire):
    judged = []
    downloader = Downloader(
        output_dir=lambda: folder,
        file_hosts=("localhost",),
        trusted_origin=lambda: "https://toapis.com",
        user_agent="sora-mcp/1.0 (test)",
        is_public=lambda address: judged.append(address) or False,
        transport=wire,
    )
    with pytest.raises(UnsafeResultUrl, match="private network"):
        await downloader.save("video_1", prompt=None, created_at=None, link=links("https://localhost/v.mp4"))
    await downloader.aclose()
    assert judged[0] in {"127.0.0.1", "::1"}
    assert wire.requests == []
