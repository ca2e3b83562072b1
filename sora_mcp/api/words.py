"""What the service says when it says no: the codes and the words, out of every shape of error (api.md, section 9)."""

from dataclasses import dataclass
from typing import Any, cast

from sora_mcp.api.fields import as_list, parse_json, read_text, without_links

_DEPTH = 16
"""Levels that are searched: an envelope and an error object, and messages that are JSON, which take three each."""

_MAX_ITEMS = 5
_MAX_CHARACTERS = 4000
_REASONS = ("message", "msg", "detail", "fail_reason", "failure_reason", "reason", "errors")
_GOOD_CODES = frozenset({"0", "200", "ok", "success"})


@dataclass(frozen=True, slots=True)
class Words:
    """The codes (lower case, outermost first) and the innermost human text of an error, links taken out."""

    codes: tuple[str, ...] = ()
    text: str = ""


def read_words(payload: Any) -> Words:
    """Collect codes and texts from any shape of error: nested, a bare text, or a message that is itself JSON."""
    codes: list[str] = []
    texts: list[str] = []
    _collect(payload, codes, texts, _DEPTH)
    return Words(tuple(dict.fromkeys(codes)), without_links(texts[0][:_MAX_CHARACTERS]) if texts else "")


def read_failure(task: dict[str, Any], default_code: str) -> tuple[str, str]:
    """The code and the words of a failed task, uncleaned; a named code is preferred to a number."""
    error = read_words(task.get("error") or {name: task.get(name) for name in _REASONS})
    named = [code for code in error.codes if not code.isdecimal()]
    code = (named or list(error.codes) or [default_code])[0]
    return code, error.text or "The service gave no reason."


def is_failure(payload: Any) -> bool:
    """Whether an answer says by itself that it failed, whatever its HTTP status."""
    if not isinstance(payload, dict):
        return False
    fields = cast("dict[str, Any]", payload)
    return fields.get("success") is False or any(as_list(fields.get("error")))


def _collect(value: Any, codes: list[str], texts: list[str], depth: int) -> None:
    if depth == 0:
        return
    if isinstance(value, str):
        _collect_text(value.strip(), codes, texts, depth)
    elif isinstance(value, list):
        for item in cast("list[Any]", value)[:_MAX_ITEMS]:
            _collect(item, codes, texts, depth - 1)
    elif isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        found = [read_text(fields.get(name)) for name in ("code", "type")]
        codes.extend(code.lower() for code in found if code and code.lower() not in _GOOD_CODES)
        for name in ("error", *_REASONS):
            _collect(fields.get(name), codes, texts, depth - 1)


def _collect_text(text: str, codes: list[str], texts: list[str], depth: int) -> None:
    before = len(texts)
    if text[:1] in {"{", "[", '"'}:
        _collect(parse_json(text), codes, texts, depth - 1)
    if text and len(texts) == before:
        texts.append(text)
