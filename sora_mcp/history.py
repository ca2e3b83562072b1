"""What was ordered: the pages of it, and the videos whose links are about to die unsaved."""

import time
from collections.abc import Callable

from sora_mcp.journal import Journal, Order
from sora_mcp.models import TaskStatus, Video, VideoPage

PROMPT_CHARACTERS = 200
LAST_HOURS_SECONDS = 6 * 3600.0


async def page_of_videos(
    journal: Journal, *, status: TaskStatus | None, query: str | None, limit: int, before: str | None
) -> VideoPage:
    """Orders of all this user's processes, newest first.

    Raises:
        InvalidArgument: ``before`` is no cursor, or the query is too long.
        JournalUnavailable: The history cannot be read.
    """
    page = await journal.list(status=status, query=query, limit=limit, before=before)
    return VideoPage(videos=[video_of(order) for order in page.orders], next=page.next_cursor)


def video_of(order: Order) -> Video:
    """An order as a line of the history."""
    return Video(
        id=order.id,
        status=order.status or "failed",
        progress=100 if order.status == "completed" else order.progress,
        prompt=order.prompt[:PROMPT_CHARACTERS],
        model=order.model,
        duration=order.seconds,
        aspect_ratio=order.aspect_ratio,
        created_at=order.created_at,
        expires_at=order.expires_at,
        saved_path=order.saved_path,
        remixed_from_video_id=order.remixed_from_video_id,
    )


def time_left(seconds: float) -> str:
    """Seconds in words, rounded down: a link is never said to live longer than it does."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return "less than a minute"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"  # noqa: PLR2004


class Reminders:
    """Says once of each completed, unsaved video in the last 6 hours of its link that it will be gone."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        """Nothing is known yet."""
        self._clock = clock
        self._told: set[str] = set()
        self._due: dict[str, float] = {}

    def look_at(self, orders: tuple[Order, ...]) -> None:
        """Take in which links are about to die."""
        now = self._clock()
        self._due = {
            order.id: order.expires_at
            for order in orders
            if order.expires_at
            and order.id not in self._told
            and not order.saved_path
            and now < order.expires_at < now + LAST_HOURS_SECONDS
        }

    def next_note(self, about: str | None = None) -> str | None:
        """A sentence for the next answer, if one is due; ``about`` is the task that the answer is about anyway."""
        for task_id, expires_at in list(self._due.items()):
            del self._due[task_id]
            self._told.add(task_id)
            left = expires_at - self._clock()
            if left > 0 and task_id != about:
                call = f'download_video(task_id="{task_id}")'
                return f"Not saved yet: {task_id}, its link dies in {time_left(left)}. Keep it with {call}."
        return None
