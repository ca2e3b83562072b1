"""The service's answers as our values, whatever shape they came in (api.md, section 10).

Every function takes a parsed JSON payload of any kind and gives a value, or ``None`` when the answer holds none. None
of them raises for what the service sent.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal, cast

from sora_mcp.api.fields import (
    as_list,
    as_object,
    read_id,
    read_links,
    read_number,
    read_progress,
    read_text,
    read_time,
    without_links,
)
from sora_mcp.api.words import is_failure, read_failure
from sora_mcp.errors import clean_upstream_text
from sora_mcp.models import Balance, Failure, TaskReport, Uploaded

LIFE_OF_A_LINK_SECONDS = 86_400
CREDITS_PER_USD = 200
MAX_MODELS = 500
MAX_LINKS = 20

Status = Literal["queued", "in_progress", "completed", "failed"]

_STATUSES: dict[str, Status] = {
    **dict.fromkeys(("pending", "queued", "submitted", "not_start"), "queued"),
    **dict.fromkeys(("in_progress", "processing", "running"), "in_progress"),
    **dict.fromkeys(("completed", "succeeded", "success"), "completed"),
    **dict.fromkeys(("failed", "failure", "error", "cancelled", "canceled", "expired"), "failed"),
}


def _silently(_status: str) -> None:
    pass


def read_task(
    payload: Any, *, asked_id: str | None = None, on_unknown_status: Callable[[str], None] = _silently
) -> TaskReport | None:
    """Read the answer to a question about a task.

    Args:
        payload: The JSON, already parsed.
        asked_id: The id that was asked for, used when the answer names none.
        on_unknown_status: Called with the cleaned word when the status is one that nobody knows.

    Returns:
        The report, or ``None`` when the answer is no task: no status, no id, or an error that only looks like one.
    """
    envelope = as_object(payload)
    task = _unwrap(envelope)
    word = _status_word(task)
    found_id = _find_id(task, envelope)
    task_id = found_id or asked_id
    if word is None or task_id is None or (word == "error" and found_id is None):
        return None
    return _report(task, envelope, task_id, word, on_unknown_status)


def read_order(payload: Any, *, on_unknown_status: Callable[[str], None] = _silently) -> TaskReport | None:
    """Read a 2xx answer to an order: any id makes it a task, even without a status. ``None`` without an id."""
    envelope = as_object(payload)
    task = _unwrap(envelope)
    task_id = _find_id(task, envelope)
    if task_id is None:
        return None
    return _report(task, envelope, task_id, _status_word(task) or "queued", on_unknown_status)


def _status_word(task: dict[str, Any]) -> str | None:
    status = task.get("status")
    return (status.strip().lower() or None) if isinstance(status, str) else None


def _unwrap(envelope: dict[str, Any]) -> dict[str, Any]:
    """The task inside ``data``, when the outer object has no status, or has one (``"success"``) but is no task."""
    inner = as_object(envelope.get("data"))
    outer_is_task = _status_word(envelope) and read_id(envelope.get("id"), envelope.get("task_id"))
    return inner if _status_word(inner) and not outer_is_task else envelope


def _find_id(task: dict[str, Any], envelope: dict[str, Any]) -> str | None:
    data = envelope.get("data")
    inner = as_object(data)
    first = as_object(as_list(data)[:1])
    return read_id(
        *(task.get(name) for name in ("id", "task_id")),
        *(envelope.get(name) for name in ("id", "task_id")),
        *(inner.get(name) for name in ("id", "task_id")),
        *(first.get(name) for name in ("task_id", "id")),
    )


def _report(
    task: dict[str, Any], envelope: dict[str, Any], task_id: str, word: str, on_unknown_status: Callable[[str], None]
) -> TaskReport:
    progress = read_progress(task.get("progress"))
    status = _STATUSES.get(word)
    if status is None:
        on_unknown_status(clean_upstream_text(without_links(word), 40))
        status = "in_progress" if progress else "queued"
    metadata = as_object(task.get("metadata"))
    completed_at = read_time(task.get("completed_at"))
    expires_at = read_time(task.get("expires_at"))
    if status == "completed" and expires_at is None and completed_at is not None:
        expires_at = completed_at + LIFE_OF_A_LINK_SECONDS
    return TaskReport(
        id=task_id,
        status=status,
        progress=progress,
        model=read_text(task.get("model")),
        created_at=read_time(task.get("created_at")),
        size=read_text(task.get("size")) or read_text(metadata.get("size")),
        seconds=read_text(task.get("seconds")) or read_text(metadata.get("seconds")),
        completed_at=completed_at,
        expires_at=expires_at,
        urls=_links(task, envelope) if status == "completed" else (),
        failure=_failure(task, envelope, word) if status == "failed" else None,
        remixed_from_video_id=read_id(task.get("remixed_from_video_id")),
        client_business_id=read_id(task.get("client_business_id"), envelope.get("client_business_id")),
    )


def _failure(task: dict[str, Any], envelope: dict[str, Any], word: str) -> Failure:
    default = word if word in {"cancelled", "canceled", "expired"} else "generation_failed"
    result = as_object(task.get("result"))
    carrier = next((place for place in (task, result, envelope) if place.get("error")), task)
    code, message = read_failure(carrier, default)
    return Failure(code=clean_upstream_text(code, 100) or default, message=clean_upstream_text(message))


def _links(task: dict[str, Any], envelope: dict[str, Any]) -> tuple[str, ...]:
    """Every link to the result, in the order in which the places are believed."""
    inner = as_object(task.get("data"))
    places = [task, inner, envelope]
    found = (link for place in places for link in read_links(_link_values(place)))
    return tuple(dict.fromkeys(found))[:MAX_LINKS]


def _link_values(task: dict[str, Any]) -> Iterator[Any]:
    result = as_object(task.get("result"))
    for item in as_list(result.get("data")):
        yield from as_list(as_object(item).get("url"))
    for item in as_list(result.get("videos")):
        yield from as_list(as_object(item).get("url") or item)
    metadata = as_object(task.get("metadata"))
    for value in (result.get("url"), task.get("video_url"), task.get("url"), metadata.get("url")):
        yield from as_list(value)
    yield from as_list(metadata.get("video_url"))


def read_upload(payload: Any) -> Uploaded | None:
    """Read the answer to an upload: ``None`` without a usable link. The id is empty when the service gave none."""
    envelope = as_object(payload)
    if is_failure(envelope):
        return None
    data = as_object(envelope.get("data")) or envelope
    url = next(read_links([data.get("url")]), None)
    if url is None:
        return None
    size = read_number(data.get("size"))
    return Uploaded(
        id=read_id(data.get("id")) or "",
        url=url,
        mime_type=read_text(data.get("mime_type")),
        size=int(size) if size is not None and size >= 0 else None,
    )


def read_models(payload: Any) -> tuple[str, ...] | None:
    """Read the ids of the models on offer, without repeats; ``None`` when the answer holds no list."""
    if is_failure(payload):
        return None
    items: Any = cast("Any", payload) if isinstance(payload, list) else as_object(payload).get("data")
    if not isinstance(items, list):
        return None
    ids = (
        read_id(cast("dict[str, Any]", item).get("id") if isinstance(item, dict) else item)
        for item in cast("list[Any]", items)[:MAX_MODELS]
    )
    return tuple(dict.fromkeys(model for model in ids if model))


def read_balance(payload: Any) -> Balance | None:
    """Read credits: as such, or from a balance in dollars; ``None`` when the answer holds neither."""
    envelope = as_object(payload)
    data = {**envelope, **as_object(envelope.get("data"))}
    if is_failure(data):
        return None
    unlimited = data.get("unlimited_quota") in (True, "true") or read_number(data.get("remain_balance")) == -1
    remaining, used = _credits(data, "remain"), _credits(data, "used")
    if remaining is None and used is None and not unlimited:
        return None
    return Balance(remaining=None if unlimited else remaining, used=used, unlimited=unlimited)


def _credits(data: dict[str, Any], which: str) -> float | None:
    in_credits = read_number(data.get(f"{which}_credits"))
    if in_credits is not None:
        return in_credits
    in_dollars = read_number(data.get(f"{which}_balance"))
    rate = read_number(data.get("credits_per_usd"))
    return None if in_dollars is None else in_dollars * (rate if rate and rate > 0 else CREDITS_PER_USD)
