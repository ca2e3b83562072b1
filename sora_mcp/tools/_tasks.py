"""A task in one or two plain sentences. Many hosts give the model nothing else, and it pays for every word."""

from sora_mcp.models import OrderedTask, Task

WAIT_SECONDS = 50


def ordered(task: OrderedTask) -> str:
    """What was ordered and the next call to make."""
    if task.status == "unconfirmed":
        return unconfirmed(task)
    told = f"{task.id}: {_state(task)}, {_shape(task)}."
    return f"{told} {_next(task)}{_notes(task)}"


def asked(task: Task) -> str:
    """How far a task is, its link when it has one, and the next call to make."""
    if task.status == "unconfirmed":
        return unconfirmed(task)
    if task.status == "completed" and task.result:
        links = " ".join(file.url for file in task.result.data)
        return f"{task.id}: completed. {links}{_notes(task)}"
    if task.status == "failed":
        return f"{task.id}: {failed(task)}{_notes(task)}"
    return f"{task.id}: {_state(task)}. {_next(task)}{_notes(task)}"


def unconfirmed(task: OrderedTask) -> str:
    """The one state that must never lead to a second order."""
    return (
        f"{task.id}: unconfirmed. The order may have been accepted and billed, but its answer was lost. "
        f'Do not order again; this looks it up: get_video_status(task_id="{task.id}", wait_seconds={WAIT_SECONDS}). '
        "If it stays unconfirmed, the user can look in the service's console."
    )


def failed(task: OrderedTask) -> str:
    """Why it failed, the service's words quoted."""
    reason = f": {task.error.code}" if task.error else ""
    quoted = f' ("{task.error.message}")' if task.error and task.error.message else ""
    return f"failed{reason}{quoted}."


def _state(task: OrderedTask) -> str:
    return "queued" if task.status == "queued" else f"{task.status.replace('_', ' ')} {task.progress} %"


def _shape(task: OrderedTask) -> str:
    return f"{task.metadata.seconds} s {task.metadata.size}" if task.metadata else "size unknown"


def _next(task: OrderedTask) -> str:
    if task.status in {"completed", "failed"}:
        return f'Next: get_video_status(task_id="{task.id}").'
    return f'Next: get_video_status(task_id="{task.id}", wait_seconds={WAIT_SECONDS}).'


def _notes(task: OrderedTask) -> str:
    return "".join(f" {note}" for note in task.notes or [])
