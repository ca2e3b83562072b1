"""A task in one or two plain sentences. Many hosts give the model nothing else, and it pays for every word."""

import time

from sora_mcp.history import time_left
from sora_mcp.models import OrderedTask, Task

WAIT_SECONDS = 50

_PLAIN_REASONS = (
    (
        "inpaint image must match",
        "the reference image does not have the size of the video; upload_reference_image makes it fit",
    ),
    ("people-in-user-uploads", "the reference image shows a face, and the service takes none"),
    ("moderation_blocked", "the service's moderation refused the prompt or the image"),
)
"""What the service's words mean, by a part of them in lower case."""


def ordered(task: OrderedTask) -> str:
    """What was ordered and the next call to make."""
    if task.status == "unconfirmed":
        return unconfirmed(task)
    shape = f", {task.metadata.seconds} s {task.metadata.size}" if task.metadata else ""
    if task.status == "failed":
        return f"{task.id}: {failed(task)}{_notes(task)}"
    if task.status == "completed":
        return f'{task.id}: completed{shape}. Next: get_video_status(task_id="{task.id}").{_notes(task)}'
    return f"{task.id}: {_state(task)}{shape}. Next: get_video_status with wait_seconds={WAIT_SECONDS}.{_notes(task)}"


def asked(task: Task, task_id: str, wait_seconds: int) -> str:
    """How far a task is, its link when it has one, and the next call to make.

    Args:
        task: The answer.
        task_id: The id that was asked with. While a caller waits for it, call after call, it is not said again:
            an id costs twenty tokens.
        wait_seconds: How long the caller waited.
    """
    if task.status == "unconfirmed":
        return unconfirmed(task)
    name = "" if wait_seconds and task.id == task_id else f"{task.id}: "
    if task.status == "completed" and task.result:
        links = " ".join(file.url for file in task.result.data)
        return f"{name}completed. {links} {_kept(task)}{_notes(task)}"
    if task.status == "failed":
        return f"{name}{failed(task)}{_notes(task)}"
    again = "Same call again" if wait_seconds else f"Next: the same with wait_seconds={WAIT_SECONDS}"
    return f"{name}{_state(task)}. {again}.{_notes(task)}"


def _kept(task: Task) -> str:
    """Whether the user has the file, or until when the link lives."""
    if task.saved_path:
        return f"Saved: {task.saved_path}."
    left = task.expires_at - time.time() if task.expires_at is not None else 86_400
    return f"Link dies in {time_left(left)}; download_video saves it." if left > 0 else "The link has died."


def unconfirmed(task: OrderedTask) -> str:
    """The one state that must never lead to a second order."""
    return (
        f"{task.id}: unconfirmed. The order may have been accepted and billed, but its answer was lost. "
        f'Do not order again; this looks it up: get_video_status(task_id="{task.id}", wait_seconds={WAIT_SECONDS}). '
        "If it stays unconfirmed, the user can look in the service's console."
    )


def failed(task: OrderedTask) -> str:
    """Why it failed, the service's words quoted."""
    if task.error is None:
        return "failed."
    said = task.error.message
    plain = next((reason for part, reason in _PLAIN_REASONS if part in said.lower()), task.error.code)
    words = f" (the service said: {quoted(said)})" if said else ""
    return f"failed: {plain}{words}."


def quoted(text: str) -> str:
    """The service's words in quotes that they cannot close, without what looks like markup."""
    return '"' + text.translate(str.maketrans('<>"', "   ")) + '"'


def _state(task: OrderedTask) -> str:
    return "queued" if task.status == "queued" else f"{task.status.replace('_', ' ')} {task.progress} %"


def _notes(task: OrderedTask) -> str:
    return "".join(f" {note}" for note in task.notes or [])
