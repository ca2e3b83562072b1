"""Results and uploaded images as files: no key, ``Range``, and links to results that run out."""

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.routing import Route

from sora_mcp.simulator.answers import Answer, html_answer
from sora_mcp.simulator.pixels import MIME_TYPES, image_type

if TYPE_CHECKING:
    from sora_mcp.simulator.service import Simulator

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_CLIPS = Path(__file__).with_name("clips")


def file_routes(sim: "Simulator") -> list[Route]:
    """The routes under ``/__files``."""

    async def result(request: Request) -> Answer:
        now = sim.clock()
        expires = request.query_params.get("expires", "")
        if not (expires.isascii() and expires.isdecimal() and now * 1000 < int(expires)):
            return html_answer("403 Forbidden", 403)
        job = sim.find(request.path_params["task_id"])
        if job is None or job.status(now) != "completed" or request.path_params["clip"] >= job.order.clips:
            return html_answer("404 Not Found", 404)
        return ranged(clip(job.order.size, job.order.seconds), "video/mp4", request.headers.get("range"))

    async def upload(request: Request) -> Answer:
        data = sim.uploads.get(request.url.path)
        if data is None:
            return html_answer("404 Not Found", 404)
        return ranged(data, MIME_TYPES[image_type(data) or "jpeg"], request.headers.get("range"))

    return [
        Route("/__files/uploads/{name}", upload, methods=["GET", "HEAD"]),
        Route("/__files/{task_id}.{clip:int}.mp4", result, methods=["GET", "HEAD"]),
    ]


@cache
def clip(size: str, seconds: int) -> bytes:
    """The test card of a size and a length: a real MP4 that says it is simulated."""
    return (_CLIPS / f"{size}-{seconds}.mp4").read_bytes()


def ranged(data: bytes, mime_type: str, wanted: str | None) -> Answer:
    """The file, or the one range of it that is wanted; an unreadable or multiple range is ignored (RFC 9110, 14.2)."""
    headers = {"content-type": mime_type, "accept-ranges": "bytes"}
    match = _RANGE.fullmatch(wanted.strip()) if wanted else None
    if match is None or not any(match.groups()):
        return Answer(200, data, headers)
    first, last = match.groups()
    begin = int(first) if first else max(0, len(data) - int(last))
    end = min(int(last), len(data) - 1) if first and last else len(data) - 1
    if first and last and int(last) < int(first):
        return Answer(200, data, headers)
    if begin >= len(data):
        return Answer(416, b"", {**headers, "content-range": f"bytes */{len(data)}"})
    return Answer(206, data[begin : end + 1], {**headers, "content-range": f"bytes {begin}-{end}/{len(data)}"})
