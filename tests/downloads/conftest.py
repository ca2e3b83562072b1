"""A small real file server on loopback that can misbehave, and a downloader that may fetch from it."""

import hashlib
import random
import re
import socket
import socketserver
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from sora_mcp.downloads import Downloader


def fake_mp4(size=200_000, seed=1):
    """Boxes as in a real file, random bytes for pictures."""
    head = struct.pack(">I4s4sI8s", 24, b"ftyp", b"isom", 512, b"isommp42")
    moov = struct.pack(">I4s", 108, b"moov") + bytes(100)
    free = struct.pack(">I4s", 8, b"free")
    start = head + moov + free
    pictures = random.Random(seed).randbytes(size - len(start) - 8)  # noqa: S311 - only has to be repeatable
    return start + struct.pack(">I4s", len(pictures) + 8, b"mdat") + pictures


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@dataclass
class Answer:
    """How one request is answered; everything unset is as it should be."""

    status: int | None = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    length: int | str = "true"  # a figure lies, "none" leaves it out, "chunked" counts the chunks instead
    ranges: bool = True
    etag: str | None = '"v1"'
    content_range: str | None = None
    pause: float = 0.0
    block: int = 16 << 10


class FileServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, body):
        super().__init__(("127.0.0.1", 0), _Request)
        self.body = body
        self.answers = []
        self.usual = Answer()
        self.seen = []
        self.fell_silent = threading.Event()

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def link(self):
        return f"{self.origin}/__files/video.mp4?signature=secret"

    @property
    def ranges(self):
        return [headers.get("range") for _, headers in self.seen]


class _Request(socketserver.BaseRequestHandler):
    def handle(self):
        with suppress(OSError):
            self._answer()

    def _answer(self):
        head = b""
        while b"\r\n\r\n" not in head:
            block = self.request.recv(65536)
            if not block:
                return
            head += block
        first, *lines = head.decode().split("\r\n\r\n")[0].split("\r\n")
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        self.server.seen.append((first, headers))
        answer = self.server.answers.pop(0) if self.server.answers else self.server.usual
        body, status, out = self._content(answer, headers)
        sent = body if answer.cut_after is None else body[: answer.cut_after]
        text = "".join(f"{name}: {value}\r\n" for name, value in {**out, **answer.headers}.items())
        self.request.sendall(f"HTTP/1.1 {status} x\r\nConnection: close\r\n{text}\r\n".encode())
        for at in range(0, len(sent), answer.block):
            block = sent[at : at + answer.block]
            if answer.length == "chunked":
                block = f"{len(block):x}\r\n".encode() + block + b"\r\n"
            self.request.sendall(block)
            if answer.pause > 1:
                self.server.fell_silent.set()
            time.sleep(answer.pause)
        if answer.length == "chunked" and answer.cut_after is None:
            self.request.sendall(b"0\r\n\r\n")
        if answer.cut_after is not None and answer.length == "true":
            # Let what was sent arrive before the connection ends without its end.
            self.request.shutdown(socket.SHUT_WR)
            self.request.settimeout(1)
            self.request.recv(1)

    def _content(self, answer, headers):
        body = self.server.body if answer.body is None else answer.body
        out = {"Content-Type": "video/mp4"}
        if answer.etag:
            out["ETag"] = answer.etag
        status, start = answer.status or 200, 0
        asked = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
        can_range = answer.ranges and not answer.content_range
        if status == 200 and asked and can_range and headers.get("if-range", answer.etag) == answer.etag:
            start = int(asked[1])
            status = 206 if start < len(body) else 416
            total = len(body)
            out["Content-Range"] = f"bytes {start}-{total - 1}/{total}" if status == 206 else f"bytes */{total}"
        if answer.content_range:
            status, out["Content-Range"] = 206, answer.content_range
        rest = body[start:] if status != 416 else b""
        if answer.length == "true":
            out["Content-Length"] = str(len(rest))
        elif answer.length == "chunked":
            out["Transfer-Encoding"] = "chunked"
        elif answer.length != "none":
            out["Content-Length"] = str(answer.length)
        return rest, status, out


@pytest.fixture
def video():
    return fake_mp4()


@pytest.fixture
def server(video):
    with FileServer(video) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def silence(server):
    """Waits until the server has stopped in the middle, and what it sent has arrived."""

    async def wait():
        assert await anyio.to_thread.run_sync(server.fell_silent.wait, 20)
        await anyio.sleep(0.2)

    return wait


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "Sora"


class Slept:
    """Waits for nothing, and remembers how long it should have."""

    def __init__(self):
        self.seconds = []

    async def __call__(self, seconds):
        self.seconds.append(seconds)
        await anyio.lowlevel.checkpoint()


@pytest.fixture
def slept():
    return Slept()


@pytest.fixture
async def downloader(server, folder, slept):
    made = Downloader(
        output_dir=lambda: folder,
        file_hosts=("files.toapis.com",),
        trusted_origin=lambda: server.origin,
        user_agent="sora-mcp/1.0 (test)",
        is_public=lambda _address: True,
        sleep=slept,
    )
    yield made
    await made.aclose()


class Links:
    """Gives one link after the other, the last for ever, and counts."""

    def __init__(self, *links):
        self.links = list(links)
        self.asked = 0

    async def __call__(self):
        self.asked += 1
        return self.links.pop(0) if len(self.links) > 1 else self.links[0]


@pytest.fixture
def save(downloader, server):
    """``save()`` with everything that a test does not care about filled in."""

    async def call(task_id="video_01abc", *, link=None, **more):
        arguments = {"prompt": "a golden retriever running", "created_at": 1_795_435_200, **more}
        return await downloader.save(task_id, link=link or Links(server.link), **arguments)

    return call


@pytest.fixture
def entries(folder):
    """What lies in the folder, hidden files too."""
    return lambda: sorted(path.name for path in Path(folder).iterdir())


@pytest.fixture
def make_mp4():
    return fake_mp4


@pytest.fixture
def digest():
    return sha256


@pytest.fixture
def answer():
    return Answer


@pytest.fixture
def links():
    return Links
