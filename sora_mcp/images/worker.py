"""The guarded child: an image on stdin, the request as its argument, a frame and some numbers on stdout.

What it writes is one line of JSON, and behind it the frame's bytes. It has no environment, no network to speak of and
no words: the other side makes them, out of numbers that it checks.
"""

import json
import os
import sys
import warnings
from io import BytesIO
from typing import IO, Any

# Pillow is loaded before the limits are set, while nothing foreign has been read.
from PIL import Image

from sora_mcp.images import limits
from sora_mcp.images.checks import MAX_PIXELS, Refused, frames_of, open_image, sniff
from sora_mcp.images.fitting import Fitted, fit_image

_PNG_COLOURS = 4096
_JPEG_QUALITY = 92
_METADATA = frozenset({"exif", "xmp", "icc_profile", "comment", "photoshop", "XML:com.adobe.xmp", "metadata"})


def main() -> None:
    """Answer one request, whatever becomes of it."""
    request: dict[str, Any] = json.loads(sys.argv[-1])
    limits.apply(request["memory_bytes"], request["processor_seconds"])
    facts, frame = answer(sys.stdin.buffer, request)
    sys.stdout.buffer.write(json.dumps(facts).encode() + b"\n" + frame)
    sys.stdout.buffer.flush()
    os._exit(0)  # nothing is worth tidying up, and it saves some milliseconds


def answer(source: IO[bytes], request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Make the frame, or name the reason why there is none."""
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    try:
        return _prepared(source.read(request["max_bytes"] + 1), request)
    except Refused as refusal:
        return {"refused": refusal.reason, "width": refusal.width, "height": refusal.height}, b""
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return {"refused": "pixels", "width": 0, "height": 0}, b""
    except MemoryError:
        return {"refused": "memory", "width": 0, "height": 0}, b""
    except Exception:  # noqa: BLE001 - decoders raise anything on broken data
        return {"refused": "broken", "width": 0, "height": 0}, b""


def _prepared(data: bytes, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    import hashlib  # noqa: PLC0415 - not needed for a refusal

    if len(data) > request["max_bytes"]:
        raise Refused("bytes")  # it has grown since its size was asked
    image_format = sniff(data)
    image = open_image(data, image_format)
    frames = frames_of(image, data)
    sizes = {name: (width, height) for name, (width, height) in request["sizes"].items()}
    fitted = fit_image(image, sizes=sizes, aspect_ratio=request["aspect_ratio"], fit=request["fit"])
    mime_type, frame = _encoded(fitted, image_format)
    return {
        "format": image_format,
        "frames": frames,
        "metadata": bool(image.info.keys() & _METADATA or getattr(image, "text", None)),
        "aspect_ratio": fitted.plan.aspect_ratio,
        "size": fitted.upright,
        "kept": fitted.plan.kept,
        "shown": fitted.plan.shown,
        "turned": fitted.turned,
        "recoloured": fitted.recoloured,
        "transparent": fitted.transparent,
        "mime_type": mime_type,
        "sha256": hashlib.sha256(data).hexdigest(),
    }, frame


def _encoded(fitted: Fitted, image_format: str) -> tuple[str, bytes]:
    """Drawings and screenshots stay exact; everything else is a JPEG of full colour resolution."""
    buffer = BytesIO()
    if image_format in {"PNG", "GIF"} and fitted.frame.getcolors(_PNG_COLOURS) is not None:
        fitted.frame.save(buffer, "PNG")
        return "image/png", buffer.getvalue()
    fitted.frame.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return "image/jpeg", buffer.getvalue()
