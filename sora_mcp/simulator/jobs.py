"""A job's life by the clock, and how a prompt or a reference image decides its end.

Words in a prompt that make something happen, in any case and combination:

=================  ==================================================================================
``[refuse]``       422 ``content_policy_violation`` at once; nothing is ordered or charged
``[moderation]``   the task fails: ``generation_failed``, with ``moderation_blocked`` in the message
``[fail]``         the task fails: ``video_generation_failed``
``[face]``         the task fails: ``generation_failed``, with ``people-in-user-uploads``
``[slow]``         the work takes ten times as long
=================  ==================================================================================

A reference image is never fetched. Of the simulator's own uploads the pixel size must be the ordered one; a foreign
link is taken to be right unless its path has ``wrong-size``, ``face`` or ends in ``.gif``.
"""

from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from sora_mcp.simulator.pixels import image_size, image_type
from sora_mcp.simulator.task_ids import Order, unpack

Status = Literal["queued", "in_progress", "completed", "failed"]

REFUSED = "[refuse]"
CREDITS_PER_SECOND = 20.0
"""No Sora price is published; this one is invented."""

LONGEST = 1e9
_QUEUE_SHARE = 0.1
_SLOW = 10
_FAILURES = {
    "moderation": ("generation_failed", "moderation_blocked: Your request was blocked by our moderation system."),
    "fail": ("video_generation_failed", "video_generation_failed: The video could not be generated. Please try later."),
    "face": ("generation_failed", "Your request was blocked (people-in-user-uploads): the image shows a person."),
    "wrong_size": ("generation_failed", "Inpaint image must match the requested width and height"),
    "wrong_type": ("generation_failed", "Unsupported reference image type: use image/jpeg, image/png or image/webp."),
    "lost_image": ("generation_failed", "Failed to download the reference image: 404 Not Found"),
}


@dataclass(slots=True)
class Job:
    """One order on its way. Times are Unix seconds; ``forced`` holds fields that a test has put over the truth."""

    task_id: str
    order: Order
    ends_at: float
    visible_at: float = 0.0
    client_business_id: str | None = None
    prompt: str = ""
    failure: tuple[str, str] | None = None
    forced: dict[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def remembered(cls, task_id: str) -> "Job | None":
        """The job that an id tells of, made by this simulator or by one before it."""
        order = unpack(task_id)
        if order is None:
            return None
        return cls(task_id, order, order.created + order.length, failure=_FAILURES.get(order.outcome))

    def status(self, now: float) -> Status:
        """Queued for a tenth of the time, then in progress, then at its end."""
        if now >= self.ends_at:
            return "failed" if self.failure else "completed"
        return "queued" if self._share(now) < _QUEUE_SHARE else "in_progress"

    def progress(self, now: float) -> int:
        """0 in the queue, 1-99 at work, 100 when completed; a failed job stops at 99."""
        status = self.status(now)
        if status == "queued":
            return 0
        if status == "completed":
            return 100
        return min(99, 1 + int(99 * (self._share(now) - _QUEUE_SHARE) / (1 - _QUEUE_SHARE)))

    def credits(self) -> float:
        """What the job costs."""
        return CREDITS_PER_SECOND * self.order.seconds * self.order.clips

    def _share(self, now: float) -> float:
        return (now - self.order.created) / max(self.ends_at - self.order.created, 1e-9)


def work_seconds(seconds: int, nonce: int, prompt: str, override: float | None) -> float:
    """How long the work takes in simulated seconds: 60-120 for a 4 s video, 120-240 for 12 s, as the nonce falls."""
    shortest = 30 + 7.5 * seconds
    length = shortest * (1 + nonce / 2**32) if override is None else override
    return min(length * (_SLOW if "[slow]" in prompt.lower() else 1), LONGEST)


def outcome_of(prompt: str, size: str, image_url: str | None, uploads: dict[str, bytes], *, exact_size: bool) -> str:
    """How the job will end. ``uploads`` maps the path of each uploaded image to its bytes."""
    words = prompt.lower()
    for outcome in ("moderation", "fail", "face"):
        if f"[{outcome}]" in words:
            return outcome
    if image_url is None:
        return "completed"
    path = urlsplit(image_url).path
    if path.startswith("/__files/uploads/"):
        return _own_image(uploads.get(path), size, exact_size=exact_size)
    lowered = path.lower()
    if "face" in lowered:
        return "face"
    if lowered.endswith(".gif"):
        return "wrong_type"
    return "wrong_size" if "wrong-size" in lowered and exact_size else "completed"


def _own_image(data: bytes | None, size: str, *, exact_size: bool) -> str:
    if data is None:
        return "lost_image"
    if image_type(data) == "gif":
        return "wrong_type"
    pixels = image_size(data)
    if exact_size and (pixels is None or f"{pixels[0]}x{pixels[1]}" != size):
        return "wrong_size"
    return "completed"
