"""What the order book holds, as Python: an order, what became of it, a page of them, a remembered upload.

The small answers are named tuples because a dataclass takes five times as long to make, and every start pays for it.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sora_mcp.models import TaskStatus

OrderState = Literal["sending", "accepted", "rejected", "unconfirmed", "absent"]

_TOOL_ID = re.compile(r"[A-Za-z0-9_-]{4,128}\Z")

PROOF_ANSWERS = 3
PROOF_SECONDS = 180.0
"""A task is missing only after this many spaced "not found" answers over at least this long: a fresh one may lag."""


@dataclass(frozen=True, slots=True, repr=False)
class NewOrder:
    """One order, as it is written down before anything is sent.

    ``seconds`` is the length of the video and what is reserved of the daily limit; for a remix it is the best guess.
    ``request`` is JSON: the arguments that are not columns of their own (take, image_urls, video_id).
    """

    order_id: str
    kind: Literal["generate", "remix"]
    fingerprint: str
    model: str
    prompt: str
    seconds: int
    aspect_ratio: str | None
    size: str | None
    request: dict[str, Any]
    remixed_from_video_id: str | None

    def __repr__(self) -> str:
        """Name the order and nothing of its content: a prompt must not get into a log or a traceback."""
        return f"{type(self).__name__}({self.order_id!r})"


@dataclass(frozen=True, slots=True, repr=False)
class Order(NewOrder):
    """A row of the order book. All times are Unix seconds; ``*_at`` floats are this machine's clock.

    ``status`` is ``unconfirmed`` while the answer to the order is not known (``sending`` and ``unconfirmed``),
    the service's word once it is accepted, and ``None`` for an order that is no video (``rejected``, ``absent``).
    ``created_at`` is the service's time once it has told one. ``sent_at`` is when the row was written, right before
    sending. ``error_code`` and ``error_message`` say why it was rejected or failed.
    """

    state: OrderState
    task_id: str | None
    status: TaskStatus | None
    progress: int
    created_at: int
    sent_at: float
    updated_at: float
    completed_at: int | None
    expires_at: int | None
    error_code: str | None
    error_message: str | None
    saved_path: str | None
    saved_size: int | None
    saved_sha256: str | None

    @property
    def id(self) -> str:
        """What the task is asked for by: the service's id, or the order id where there is none that can be passed on.

        An id of the service is any text; one that a tool would not take, or that reads like words, stays in here.
        """
        return self.task_id if self.task_id and _TOOL_ID.match(self.task_id) else self.order_id


class Joined(NamedTuple):
    """The same order is already live: nothing was written, nothing may be sent."""

    order: Order


class Reserved(NamedTuple):
    """The order stands in the book as ``sending``: the caller may send it now."""

    order: Order


class OverLimit(NamedTuple):
    """The daily limit has no room: nothing was written, nothing may be sent.

    ``frees_at`` (Unix seconds) is when this order would fit; ``None`` when it is longer than the limit itself.
    """

    ordered_seconds: int
    frees_at: float | None


Begun = Joined | Reserved | OverLimit


class Page(NamedTuple):
    """Orders, newest first, and the cursor of the next page, ``None`` at the end."""

    orders: tuple[Order, ...]
    next_cursor: str | None


class NotFound(NamedTuple):
    """The spaced "not found" answers about one order so far, and the seconds from the first to the last of them."""

    answers: int
    over_seconds: float

    @property
    def proven(self) -> bool:
        """Whether they prove, for a service that is known to keep our ids, that the order was never taken."""
        return self.answers >= PROOF_ANSWERS and self.over_seconds >= PROOF_SECONDS


class Upload(NamedTuple):
    """A reference image that the service already has. ``size`` is in bytes, ``width`` and ``height`` in pixels.

    ``changes`` are the sentences that told the user what was done to the image.
    """

    id: str
    url: str
    mime_type: str | None
    size: int | None
    width: int
    height: int
    created_at: float
    changes: tuple[str, ...] = ()


def new_order_id() -> str:
    """A look-up handle for one order, never reused: ``smcp-`` and 32 hex digits. Carries no data of the user."""
    return f"smcp-{os.urandom(16).hex()}"


def fingerprint(tool: str, account: str, model: str, prompt: str, arguments: Mapping[str, Any], take: int) -> str:
    """What makes two calls the same order: SHA-256, in hex, of their canonical JSON.

    The prompt counts in Unicode normal form C, so that two ways of typing one letter are one order. The caller
    resolves defaults first: an argument left out and the same argument given as its default are one order.
    """
    import hashlib  # noqa: PLC0415 - only an order needs it, start-up does not

    call = {
        "account": account,
        "arguments": dict(arguments),
        "model": model,
        "prompt": unicodedata.normalize("NFC", prompt),
        "take": take,
        "tool": tool,
    }
    canonical = json.dumps(call, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def folded(text: str) -> str:
    """Text as it is searched: without case, and with one spelling for what Unicode holds to be the same text."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
