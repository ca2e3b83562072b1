"""What a report of the service adds to an order: forwards only, whatever order the reports arrive in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sora_mcp.journal.rows import Order
    from sora_mcp.models import TaskReport

# Nothing unmakes a video: a completed task whose result has expired may be reported as failed.
_RANK = {"unconfirmed": 0, "queued": 1, "in_progress": 2, "failed": 3, "completed": 4}

_LONGEST_SECONDS = 3_600
_LATEST_TIME = 2**40
"""Times of the service beyond this are nonsense, and must not keep an order from being written down."""


def changes(order: Order, report: TaskReport) -> dict[str, Any]:
    """The columns that the report changes, with their new values; empty when it says nothing new.

    Only an accepted order has a task id. One that is found after it was given up is accepted all the same, and its
    seconds count again. A failed task gives its seconds back.
    """
    behind = order.status is not None and _RANK[report.status] < _RANK[order.status]
    status = order.status if behind else report.status
    told = {
        "state": "accepted",
        # A service that answers a look-up with the order's own id may tell the task's later.
        "task_id": report.id if order.task_id in {None, order.order_id} else order.task_id,
        "status": status,
        "progress": 100 if status == "completed" else max(order.progress, min(max(report.progress or 0, 0), 100)),
        "created_at": _time(report.created_at) or order.created_at,
        "completed_at": _time(report.completed_at) or order.completed_at,
        "expires_at": _time(report.expires_at) or order.expires_at,
        "seconds": _length(report.seconds) or order.seconds,
        "size": _text(report.size) or order.size,
        "remixed_from_video_id": order.remixed_from_video_id or _text(report.remixed_from_video_id),
    }
    if status != "failed":
        told |= {"error_code": None, "error_message": None}
    elif report.failure is not None:
        told |= {"error_code": _text(report.failure.code), "error_message": _text(report.failure.message)}
    return {column: value for column, value in told.items() if value != getattr(order, column)}


def _time(seconds: int | None) -> int | None:
    return seconds if seconds is not None and 0 < seconds < _LATEST_TIME else None


def _length(seconds: str | None) -> int | None:
    if seconds is None or not (seconds.isascii() and seconds.isdecimal() and len(seconds) < 9):  # noqa: PLR2004 - no absurd figures
        return None
    return int(seconds) if int(seconds) <= _LONGEST_SECONDS else None


def _text(text: str | None) -> str | None:
    """Without lone surrogates, which JSON can hold and the file cannot."""
    return text and text.encode("utf-8", "replace").decode("utf-8")
