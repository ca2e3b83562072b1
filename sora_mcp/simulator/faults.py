"""What may go wrong, on request. A fault is data; ``gate.py`` makes it happen.

=================  =====================================================================================
``what``           what the client meets
=================  =====================================================================================
``refuse``         the connection ends before anything is read; nothing is recorded
``reset``          the connection is reset before the body is read; ``after_work``: once the work is done
``hang``           no answer, ever, until the client leaves; ``after_work``: once the work is done
``slow``           the answer comes ``seconds`` later, the work before (``after_work``) or after the wait
``rate_limited``   429 ``rate_limit_exceeded`` with ``retry_after``
``error``          ``status`` (500), with the body that the service or its edge has for it, or ``body``
``html``           an HTML page with 200, or ``status``
``not_found``      404 for a task; ``task_not_exist``: the same as 400 with that message
``redirect``       307 (or ``status``) to the same path with ``?redirected=1``
``answer``         ``status`` (200), ``headers`` and ``body``: text and bytes as they are, else as JSON
``null list number deep bad_utf8 empty huge``    200 with a body that is no task; ``huge`` is 100 MB, streamed
``no_id``          the true answer without any id
``truncated``      the true answer cut at byte ``at`` (its middle), and the length says so
``cut``            the same, but the length promises all of it and the connection ends
``wrong_length``   the true answer, whole, with a length that promises 100 bytes more
``drip``           the true answer in 20 pieces over ``seconds``
``late``           for orders: the task exists from ``seconds`` later on, to every question
``lag``            for look-ups: a task is not found until it is ``seconds`` old; stays until cleared
=================  =====================================================================================

``where`` is a route. ``status`` are questions by task id, ``lookup`` those by ``client_business_id``. ``slow``,
``late`` and ``lag`` go together with any other fault; of the others the one added first comes first. A fault that
answers instead of the service leaves the work undone unless ``after_work`` is set. ``times`` is how often, ``None``
for ever; ``skip`` lets that many requests pass before. ``retry_after`` is sent as it is; ``"http-date"`` becomes
the date ``seconds`` from now. Waiting is in real seconds; ``late`` and ``lag`` go by the simulator's clock.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, cast, get_args, get_type_hints

from sora_mcp.simulator.answers import Answer, Refusal, html_answer, json_answer

PLACES = frozenset(
    {"generate", "remix", "status", "lookup", "upload", "models", "balance", "file", "any"},
)
BODIES = {
    "null": b"null",
    "list": b"[]",
    "number": b"42",
    "deep": b"[" * 10_000 + b"]" * 10_000,
    "bad_utf8": b'{"id":"video_\xff\xfe","status":"queued"}',
    "empty": b"",
}
COMPANIONS = frozenset({"slow", "late", "lag"})
"""Faults that another one may go with."""
ALTERATIONS = frozenset({"no_id", "truncated", "cut", "wrong_length", "drip"})
"""Faults of the true answer: the work is always done."""
_ANSWERS = {"rate_limited", "error", "html", "not_found", "task_not_exist", "redirect", "answer", "huge", *BODIES}
KINDS = frozenset({"refuse", "reset", "hang", *_ANSWERS, *ALTERATIONS, *COMPANIONS})

_REFUSALS = {
    400: ("invalid_request", "Invalid request"),
    401: ("unauthorized", "Invalid token"),
    402: ("insufficient_quota", "user quota is not enough"),
    403: ("forbidden", "Access denied"),
    404: ("task_not_found", "Task not found"),
    422: ("content_policy_violation", "Your prompt was refused: it violates the content policy."),
    429: ("rate_limit_exceeded", "Rate limit exceeded, please try again later"),
    500: ("internal_error", "We're under heavy load, please try again later"),
    503: ("rate_limit_unavailable", "The rate limiter is not available"),
}
_STATUSES = {"rate_limited": 429, "error": 500, "redirect": 307, "not_found": 404, "task_not_exist": 400}
_EDGE = {502: "502 Bad Gateway", 504: "504 Gateway Time-out"}


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong at one place; the module tells the words.

    Raises:
        ValueError: ``where`` or ``what`` is no such word, or a number is negative.
    """

    where: str = "any"
    what: str = "error"
    times: int | None = 1
    after_work: bool = False
    seconds: float = 0.0
    status: int | None = None
    body: Any = None
    headers: dict[str, str] | None = None
    retry_after: int | float | str | None = None
    at: int | None = None
    skip: int = 0

    def __post_init__(self) -> None:
        if self.where not in PLACES:
            raise ValueError(f"unknown place {self.where!r}; there are {', '.join(sorted(PLACES))}")
        if self.what not in KINDS:
            raise ValueError(f"unknown fault {self.what!r}; there are {', '.join(sorted(KINDS))}")
        if min(self.seconds, self.skip, self.at or 0, 0 if self.times is None else self.times) < 0:
            raise ValueError("times, seconds, skip and at are 0 or more")

    @classmethod
    def from_json(cls, content: Any) -> "Fault":
        """A fault from JSON, each field of the type that it is declared with.

        Raises:
            ValueError: A field is unknown or of another type, or see the class.
        """
        if not isinstance(content, dict):
            raise ValueError("a fault is a JSON object")  # noqa: TRY004 - one kind of error for all of the input
        hints, values = get_type_hints(cls), cast("dict[str, Any]", content)
        for name, value in values.items():
            if name not in hints:
                raise ValueError(f"unknown field {name!r}; there are {', '.join(field.name for field in fields(cls))}")
            allowed = tuple(getattr(kind, "__origin__", kind) for kind in get_args(hints[name]) or (hints[name],))
            number = isinstance(value, int) and float in allowed and not isinstance(value, bool)
            odd_switch = isinstance(value, bool) and bool not in allowed
            if Any not in allowed and (odd_switch or not (number or isinstance(value, allowed))):
                raise ValueError(f"{name} is of the wrong type")
        return cls(**values)

    def answer(self, refuse: Callable[[Refusal, str], Answer], path: str, now: float) -> Answer:
        """What is answered instead of the truth. ``refuse(refusal, path)`` speaks the dialect of the day."""
        headers = {**(self.headers or {})}
        if self.retry_after == "http-date":
            from email.utils import formatdate  # noqa: PLC0415 - a third of the import time of the whole package

            headers["retry-after"] = formatdate(now + self.seconds, usegmt=True)
        elif self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        status = self.status or _STATUSES.get(self.what, 200)
        body = {"task_not_exist": {"message": "task_not_exist"}, "redirect": b"", **BODIES}.get(self.what, self.body)
        if self.what == "redirect":
            headers = {"location": f"{path}?redirected=1", **headers}
        if self.what == "answer" or body is not None:
            raw = body.encode() if isinstance(body, str) else body
            typed = {"content-type": "application/json", **headers}
            return Answer(status, raw, typed) if isinstance(raw, bytes) else json_answer(raw, status, headers)
        if self.what == "html" or status in _EDGE:
            return html_answer(_EDGE.get(status, "Welcome"), status, headers)
        code, message = _REFUSALS.get(status, ("error", f"Error {status}"))
        return refuse(Refusal(status, code, message, headers), path)


class Faults:
    """The faults that wait to happen."""

    def __init__(self) -> None:
        """Nothing goes wrong until it is asked for."""
        self.pending: list[Fault] = []

    def add(self, *faults: Fault) -> None:
        """Let these happen, after those that wait already. A fault is counted down in place."""
        self.pending.extend(faults)

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        self.pending.clear()

    def take(self, place: str) -> list[Fault]:
        """The faults for one request at ``place``: every companion, and the first of the others."""
        taken: list[Fault] = []
        for fault in list(self.pending):
            main = fault.what not in COMPANIONS
            if fault.where not in {place, "any"} or (main and any(one.what not in COMPANIONS for one in taken)):
                continue
            if fault.skip:
                fault.skip -= 1
            elif fault.times != 0:
                if fault.times is not None and fault.what != "lag":
                    fault.times -= 1
                taken.append(fault)
        self.pending = [fault for fault in self.pending if fault.times != 0]
        return taken


def without_ids(value: Any) -> Any:
    """A body without any ``id`` or ``task_id``, however deep."""
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return {key: without_ids(item) for key, item in pairs if key not in {"id", "task_id"}}
    if isinstance(value, list):
        return [without_ids(item) for item in cast("list[Any]", value)]
    return value
