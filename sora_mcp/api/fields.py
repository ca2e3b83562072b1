"""One value out of any JSON: an id, a number, a time, a link. Nothing here raises for what the service sent."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import urlsplit

from sora_mcp.errors import clean_upstream_text

MAX_ID_CHARACTERS = 200
MAX_LINK_CHARACTERS = 8192
MAX_RETRY_AFTER_SECONDS = 3600

_MAX_DIGITS = 30
_MILLISECONDS_FROM = 100_000_000_000
"""No real time in seconds is this large (it is the year 5138), and every time in milliseconds since 1973 is."""

_LINK = re.compile(r"(?i)\b[a-z][a-z0-9+.-]{1,15}://\S+")


def parse_json(text: str | bytes) -> Any:
    """Read JSON, ``None`` for anything that is not: bad UTF-8, truncated, nested too deep, HTML.

    Absurdly long integers become ``None`` where they stand: Python refuses to convert them, and one field that is
    nonsense must not hide the id beside it.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) <= _MAX_DIGITS else None)
    except (ValueError, RecursionError):
        return None


def as_object(value: Any) -> dict[str, Any]:
    """The JSON object itself, the only element of a list, or an empty object."""
    if isinstance(value, list) and len(items := cast("list[Any]", value)) == 1:
        value = items[0]
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The list itself; any other value as a list of one; nothing for ``null``."""
    if isinstance(value, list):
        return cast("list[Any]", value)
    return [] if value is None else [value]


def read_id(*candidates: Any) -> str | None:
    """The first that can be an id: 1 to 200 printable characters, or a whole number. Its form is opaque.

    Blank ones are skipped, and those of dots alone, which would climb in a path.
    """
    for candidate in candidates:
        if isinstance(candidate, int) and not isinstance(candidate, bool):
            return str(candidate)
        if not isinstance(candidate, str) or not 0 < len(candidate) <= MAX_ID_CHARACTERS:
            continue
        if candidate.isprintable() and candidate.strip(". ") and "\N{REPLACEMENT CHARACTER}" not in candidate:
            return candidate
    return None


def read_text(value: Any, limit: int = 100) -> str | None:
    """A short text of the service, cleaned; numbers as text; ``None`` for anything else and for nothing."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    return (clean_upstream_text(value, limit) or None) if isinstance(value, str) else None


def read_number(value: Any) -> float | None:
    """A finite number, also one written as text, with or without a percent sign."""
    if isinstance(value, str) and len(value) <= 40:  # noqa: PLR2004 - longer texts are not figures
        try:
            value = float(value.strip().removesuffix("%"))
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def read_progress(value: Any) -> int | None:
    """Percent as a whole number from 0 to 100."""
    number = read_number(value)
    return None if number is None else int(min(100.0, max(0.0, number)))


def read_time(value: Any) -> int | None:
    """A moment in Unix seconds; milliseconds are turned into seconds; zero, negative and absurd times are dropped."""
    number = read_number(value)
    if number is not None and number >= _MILLISECONDS_FROM:
        number /= 1000
    return int(number) if number is not None and 1 <= number < _MILLISECONDS_FROM else None


def read_links(values: Iterable[Any]) -> Iterator[str]:
    """The usable http(s) links among the values: with a host, at most 8192 characters, no space or control."""
    for value in values:
        if not isinstance(value, str) or len(value) > MAX_LINK_CHARACTERS:
            continue
        link = value.strip()
        if not link.isprintable() or " " in link:
            continue
        try:
            parts = urlsplit(link)
        except ValueError:
            continue
        if parts.scheme in {"http", "https"} and parts.hostname:
            yield link


def without_links(text: str) -> str:
    """The text with every link taken out: links of this service open without a key, so they are secrets."""
    return _LINK.sub("[link]", text)


def read_retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait by a ``Retry-After`` header: a number, or an HTTP date against ``now`` in Unix seconds.

    ``None`` for a negative, absurd (over an hour) or unreadable one, so that the caller's own pace holds.
    """
    if not value or len(value) > 100:  # noqa: PLR2004 - no date is that long
        return None
    seconds = read_number(value)
    if seconds is None:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now
        except (ValueError, OverflowError, OSError):
            return None
    return seconds if 0 <= seconds <= MAX_RETRY_AFTER_SECONDS else None
