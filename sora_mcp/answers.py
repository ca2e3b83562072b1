"""One answer about a task, from what was written down and what the service said."""

import re
from typing import Any

from sora_mcp.journal import Order
from sora_mcp.models import FINAL_STATUSES, Metadata, Result, ResultFile, Task, TaskError, TaskReport

_CODE = re.compile(r"[a-z0-9_.-]{1,40}\Z")
"""What the service may call a failure; anything else is words, and words are quoted."""

SIMULATED_NOTE = "Simulated: a test clip from the built-in simulator; nothing is charged."
LOST_NOTE = "The answer to this order was lost: it may have been accepted and billed. Do not order it again."


def task_answer(
    order: Order | None,
    report: TaskReport | None,
    *,
    retry_after_seconds: int,
    simulated: bool,
    notes: list[str] | None = None,
) -> Task:
    """Join the two, one of which must be there; where both know a thing, the service's word counts.

    Args:
        order: Our own note of it.
        report: The service's answer.
        retry_after_seconds: When a new question makes sense; left out of a final task.
        simulated: Whether it is the simulator's.
        notes: What else to say.
    """
    values: dict[str, Any] = {"id": report.id, "progress": 0} if report else {}
    if order:
        values |= _from_order(order)
    if report:
        values = _joined(values, _from_report(report))
    said = list(notes or [])
    if values["status"] not in FINAL_STATUSES:
        values["retry_after_seconds"] = retry_after_seconds
    if values["status"] == "unconfirmed":
        said.insert(0, LOST_NOTE)
    if simulated:
        said.append(SIMULATED_NOTE)
    return Task(**values, notes=said or None)


def _joined(known: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """The service's word over ours, but progress never goes backwards and an error does not outlive its status."""
    values = known | told
    if values["status"] not in FINAL_STATUSES:
        values["progress"] = max(known["progress"], values["progress"])
    if values["status"] != "failed":
        values.pop("error", None)
    return values


def _from_order(order: Order) -> dict[str, Any]:
    values: dict[str, Any] = {
        "id": order.id,
        "model": order.model,
        "status": order.status or "failed",
        "progress": order.progress,
        "created_at": order.created_at,
        "completed_at": order.completed_at,
        "expires_at": order.expires_at,
        "remixed_from_video_id": order.remixed_from_video_id,
        "saved_path": order.saved_path,
    }
    if order.size:
        values["metadata"] = Metadata(size=order.size, seconds=str(order.seconds))
    if order.state in {"absent", "rejected"}:
        message = order.error_message or "The order never reached the service: nothing was charged."
        values["error"] = TaskError(code=order.error_code or "submission_failed", message=message)
    elif order.status == "failed" and (order.error_code or order.error_message):
        message = order.error_message or "The service gave no reason."
        values["error"] = TaskError(code=order.error_code or "generation_failed", message=message)
    return values


def _from_report(report: TaskReport) -> dict[str, Any]:
    values: dict[str, Any] = {
        "status": report.status,
        "progress": report.progress,
        "model": report.model,
        "created_at": report.created_at,
        "completed_at": report.completed_at,
        "expires_at": report.expires_at,
        "remixed_from_video_id": report.remixed_from_video_id,
    }
    if report.size and report.seconds:
        values["metadata"] = Metadata(size=report.size, seconds=report.seconds)
    if report.status == "completed":
        values["progress"] = 100
    if report.status == "completed" and report.urls:
        values["result"] = Result(data=[ResultFile(url=url, format="mp4") for url in report.urls])
    if report.failure:
        code = report.failure.code if _CODE.match(report.failure.code) else "generation_failed"
        values["error"] = TaskError(code=code, message=report.failure.message)
    return {name: value for name, value in values.items() if value is not None}
