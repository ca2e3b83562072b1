"""Reads the body of an order as strictly as the service does. Unknown fields are ignored, ``null`` is absence."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import urlsplit

from sora_mcp.simulator.answers import Refusal
from sora_mcp.simulator.jobs import REFUSED
from sora_mcp.simulator.task_ids import SECONDS, Order

EXACT_IMAGE_SIZE = frozenset({"sora-2-official"})
"""Models whose reference image must have the size of the video; for the others no rule is stated."""

_SIZES = {"16:9": "1280x720", "9:16": "720x1280"}
_STYLES = ("thanksgiving", "comic", "news", "selfie", "nostalgic", "anime")
_MOST_CLIPS = 4
_MOST_IMAGES = 3
_BUSINESS_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An order that passed: ``seconds`` is the length of the video, ``size`` in pixels, ``clips`` how many of them."""

    model: str
    prompt: str
    seconds: int = 4
    size: str = "720x1280"
    clips: int = 1
    image_url: str | None = None
    client_business_id: str | None = None

    def like(self, source: Order) -> "Wanted":
        """The same order with the length and size of another: a remix."""
        return replace(self, seconds=source.seconds, size=source.size)


def read_generation(body: bytes, offered: Collection[str]) -> Wanted:
    """The body of ``POST /v1/videos/generations`` (api.md, section 2).

    Raises:
        Refusal: 400 for a field that cannot be, 503 for a model without a channel, 422 for ``[refuse]``.
    """
    fields = _object(body)
    model, prompt = _model_and_prompt(fields, offered)
    seconds = _field(fields, "duration", int, 4)
    if seconds not in SECONDS:
        raise _invalid(f"Invalid duration: {seconds}. Supported values: 4, 8, 12")
    ratio = _field(fields, "aspect_ratio", str, "9:16")
    if ratio not in _SIZES:
        raise _invalid("Invalid aspect_ratio. Supported values: 16:9, 9:16")
    images = _image_urls(fields)
    clips = 1
    if model not in EXACT_IMAGE_SIZE:
        if len(images) > _MOST_IMAGES:
            raise _invalid("Too many image_urls: at most 3")
        _field(fields, "thumbnail", bool, default=False)
        clips = _clips(_field(fields, "metadata", dict, {}))
    return Wanted(model, prompt, seconds, _SIZES[ratio], clips, images[0] if images else None, _business_id(fields))


def read_remix(body: bytes, offered: Collection[str]) -> Wanted:
    """The body of ``POST /v1/videos/{id}/remix``; length and size are the source's.

    Raises:
        Refusal: As :func:`read_generation`.
    """
    fields = _object(body)
    model, prompt = _model_and_prompt(fields, offered)
    return Wanted(model, prompt, client_business_id=_business_id(fields))


def _invalid(message: str) -> Refusal:
    return Refusal(400, "invalid_request", message)


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise _invalid("Invalid JSON in the request body") from None
    if not isinstance(content, dict):
        raise _invalid("The request body must be a JSON object")
    return cast("dict[str, Any]", content)


def _field(fields: dict[str, Any], name: str, kind: type, default: Any) -> Any:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        words = {int: "an integer", str: "a string", bool: "a boolean", dict: "an object", list: "an array"}
        raise _invalid(f"Invalid type for {name}: expected {words[kind]}")
    return value


def _model_and_prompt(fields: dict[str, Any], offered: Collection[str]) -> tuple[str, str]:
    model, prompt = _field(fields, "model", str, ""), _field(fields, "prompt", str, "")
    if not model:
        raise _invalid("model is required")
    if not prompt.strip():
        raise _invalid("prompt is required")
    if model not in offered:
        raise Refusal(503, "model_not_found", f"There is no available channel for model {model[:100]} (distributor)")
    if REFUSED in prompt.lower():
        raise Refusal(422, "content_policy_violation", "Your prompt was refused: it violates the content policy.")
    return model, prompt


def _image_urls(fields: dict[str, Any]) -> list[str]:
    images: list[Any] = _field(fields, "image_urls", list, [])
    for image in images:
        if not isinstance(image, str):
            raise _invalid("Invalid type for image_urls: expected an array of strings")
        try:
            parts = urlsplit(image)
            plain = parts.scheme in {"http", "https"} and bool(parts.hostname)
        except ValueError:
            plain = False
        if not plain:
            raise _invalid("Invalid image_urls: only public http:// or https:// URLs are supported, no base64")
    return cast("list[str]", images)


def _clips(metadata: dict[str, Any]) -> int:
    clips: int = _field(metadata, "n", int, 1)
    if not 1 <= clips <= _MOST_CLIPS:
        raise _invalid("Invalid metadata.n: 1 to 4")
    for switch in ("watermark", "private"):
        _field(metadata, switch, bool, default=False)
    if _field(metadata, "style", str, _STYLES[0]) not in _STYLES:
        raise _invalid(f"Invalid metadata.style. Supported values: {', '.join(_STYLES)}")
    return clips


def _business_id(fields: dict[str, Any]) -> str | None:
    business_id = _field(fields, "client_business_id", str, None)
    if business_id is not None and not _BUSINESS_ID.fullmatch(business_id):
        raise _invalid("Invalid client_business_id: at most 40 characters of A-Z, a-z, 0-9, _ and -")
    return business_id
