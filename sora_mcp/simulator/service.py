"""The simulated service itself: what it remembers, and what it answers. It knows nothing of HTTP."""

import math
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sora_mcp.simulator.answers import App, Refusal
from sora_mcp.simulator.dialects import Dialect
from sora_mcp.simulator.faults import Faults
from sora_mcp.simulator.jobs import Job, outcome_of, work_seconds
from sora_mcp.simulator.limits import RateLimits
from sora_mcp.simulator.orders import EXACT_IMAGE_SIZE, Wanted
from sora_mcp.simulator.task_ids import Order, pack

OFFERED = ("sora-2-official", "sora-2-vvip")
CREDITS_PER_USD = 200
_REQUESTS_KEPT = 20_000
_UPLOADED_BYTES_KEPT = 200_000_000


@dataclass(frozen=True, slots=True)
class Charge:
    """One job that was created and billed; ``at`` is Unix time. ``client_business_id`` is as sent, kept or not."""

    task_id: str
    client_business_id: str | None
    model: str
    prompt: str
    seconds: int
    size: str
    kind: str
    credits: float
    at: float


@dataclass(frozen=True, slots=True)
class Received:
    """One request that arrived: header names in lower case, ``json`` only of a JSON body that was read."""

    method: str
    path: str
    headers: dict[str, str]
    json: Any
    at: float
    query: str = ""


class Simulator:
    """The service. Every public attribute may be set while it runs; ``app`` is what answers over HTTP."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        speed: float = 1.0,
        public_url: str | None = None,
        keys: Collection[str] | None = None,
        balance_credits: float | None = 100_000.0,
        job_seconds: float | None = None,
        link_seconds: float = 86_400,
        keeps_ids: bool = True,  # noqa: FBT001, FBT002 - a switch among the settings of one object
        dialect: str = "plain",
        *,
        result_seconds: float = 86_400,
    ) -> None:
        """Make a service with nothing in it.

        Args:
            clock: Unix time in seconds.
            speed: How many times faster than real the jobs are.
            public_url: What links begin with; ``None``: the address that each request was sent to.
            keys: The bearer keys that are good; ``None``: any.
            balance_credits: What the account has; ``None``: unlimited.
            job_seconds: How long the work takes at speed 1; ``None``: 60-240 s, by the video's length and the id.
            link_seconds: How long one link to a result works; a new status has a new link.
            keeps_ids: Whether ``client_business_id`` is kept, echoed and looked up.
            dialect: A name of ``DIALECTS``, or several joined by ``+``.
            result_seconds: How long after its completion a result is there at all (``expires_at``).

        Raises:
            ValueError: The dialect is unknown, or the speed is not above 0.
        """
        self.clock, self.public_url, self.keys = clock, public_url, keys
        self.balance_credits, self.job_seconds, self.link_seconds = balance_credits, job_seconds, link_seconds
        self.keeps_ids, self.result_seconds = keeps_ids, result_seconds
        self.key_credits: float | None = None
        self.models: Sequence[str] = OFFERED
        self.enforce_limits = False
        self.remix_keeps_ids = True
        self.charges: list[Charge] = []
        self.requests: list[Received] = []
        self.faults = Faults()
        self.limits = RateLimits()
        self.uploads: dict[str, bytes] = {}
        self._jobs: dict[str, Job] = {}
        self._by_business_id: dict[str, Job] = {}
        self._speed = 1.0
        self.speed = speed
        self.speech = Dialect(dialect)

    @cached_property
    def app(self) -> App:
        """The ASGI app, faults included; the first use loads Starlette."""
        from sora_mcp.simulator.app import build_app  # noqa: PLC0415 - only a simulator that answers needs it

        return build_app(self)

    @property
    def dialect(self) -> str:
        """The dialect that is spoken; set it by name."""
        return self.speech.name

    @dialect.setter
    def dialect(self, name: str) -> None:
        self.speech = Dialect(name)

    @property
    def speed(self) -> float:
        """How many times faster than real the jobs are. What is left of running jobs is scaled when it changes."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        if not 0 < speed < math.inf:
            raise ValueError("speed is a number above 0")
        now = self.clock()
        for job in self._jobs.values():
            if job.ends_at > now:
                job.ends_at = now + (job.ends_at - now) * self._speed / speed
        self._speed = speed

    def create(self, wanted: Wanted, *, kind: str = "generate", late: float = 0.0) -> Job:
        """Order a job and charge for it; questions find it ``late`` seconds after.

        Raises:
            Refusal: 402 when the account or the key has too few credits.
        """
        now, nonce = self.clock(), int.from_bytes(os.urandom(4), "big")
        length = work_seconds(wanted.seconds, nonce, wanted.prompt, self.job_seconds) / self.speed
        exact = wanted.model in EXACT_IMAGE_SIZE
        outcome = outcome_of(wanted.prompt, wanted.size, wanted.image_url, self.uploads, exact_size=exact)
        order = Order(wanted.model, wanted.seconds, wanted.size, kind, outcome, wanted.clips, now, length, nonce)
        job = Job.remembered(pack(order))
        assert job is not None  # noqa: S101 - an id that was just made can be read
        for remaining in (self.remaining(), self.remaining(of_key=True)):
            if remaining is not None and remaining < job.credits():
                raise Refusal(402, "insufficient_quota", "user quota is not enough")
        job.prompt, job.visible_at = wanted.prompt, now + late
        if self.keeps_ids and wanted.client_business_id and (kind == "generate" or self.remix_keeps_ids):
            job.client_business_id = wanted.client_business_id
            self._by_business_id[wanted.client_business_id] = job
        self._jobs[job.task_id] = job
        self.charges.append(
            Charge(
                job.task_id,
                wanted.client_business_id,
                wanted.model,
                wanted.prompt,
                wanted.seconds,
                wanted.size,
                kind,
                job.credits(),
                now,
            )
        )
        return job

    def find(self, reference: str, *, lag: float = 0.0) -> Job | None:
        """The job of a task id or a ``client_business_id``; one younger than ``lag`` seconds is not found yet."""
        job = self._jobs.get(reference) or (self._by_business_id.get(reference) if self.keeps_ids else None)
        job = job or Job.remembered(reference)
        now = self.clock()
        if job is None or now < job.visible_at or (lag and now < job.order.created + lag):
            return None
        return job

    def report(self, job: Job, base_url: str) -> dict[str, Any]:
        """What a status tells (api.md, section 4); links begin with ``base_url``."""
        now = self.clock()
        status = job.status(now)
        told: dict[str, Any] = {
            "id": job.task_id,
            "object": "generation.task",
            "model": job.order.model,
            "status": status,
            "progress": job.progress(now),
            "created_at": int(job.order.created),
        }
        if job.client_business_id and self.keeps_ids:
            told["client_business_id"] = job.client_business_id
        if status == "failed" and job.failure:
            told["error"] = {"code": job.failure[0], "message": job.failure[1]}
        if status == "completed":
            told |= {"completed_at": int(job.ends_at), "expires_at": int(self.expires_at(job))}
            ends = int(min(now + self.link_seconds, self.expires_at(job)) * 1000)
            links = [f"{base_url}/__files/{job.task_id}.{clip}.mp4?expires={ends}" for clip in range(job.order.clips)]
            told["result"] = {"type": "video", "data": [{"url": link, "format": "mp4"} for link in links]}
        return told | job.forced

    def expires_at(self, job: Job) -> float:
        """The Unix time from which on a completed job's video is gone."""
        return int(job.ends_at) + self.result_seconds

    def used(self) -> float:
        """Credits spent; a failed job is paid back."""
        now = self.clock()
        jobs = (self._jobs[charge.task_id] for charge in self.charges)
        return sum(job.credits() for job in jobs if job.status(now) != "failed")

    def remaining(self, *, of_key: bool = False) -> float | None:
        """Credits left of the account or of the key, ``None`` when unlimited. A key has the account's unless set."""
        total = self.key_credits if of_key and self.key_credits is not None else self.balance_credits
        return None if total is None else max(0.0, total - self.used())

    def keep_upload(self, data: bytes, suffix: str) -> str:
        """Keep an uploaded image and return its file name; the oldest go when they come to 200 MB."""
        name = f"upload_{os.urandom(12).hex()}.{suffix}"
        self.uploads[f"/__files/uploads/{name}"] = data
        while sum(map(len, self.uploads.values())) > _UPLOADED_BYTES_KEPT:
            del self.uploads[next(iter(self.uploads))]
        return name

    def record(self, received: Received) -> None:
        """Keep a request; of very many only the newest."""
        self.requests.append(received)
        if len(self.requests) > 2 * _REQUESTS_KEPT:
            del self.requests[:-_REQUESTS_KEPT]

    def finish(self, task_id: str) -> None:
        """Let a job reach its end now."""
        self._known(task_id).ends_at = self.clock()

    def fail(self, task_id: str, *, code: str = "generation_failed", message: str = "video_generation_failed") -> None:
        """Let a job fail now, with these words."""
        job = self._known(task_id)
        job.failure, job.ends_at = (code, message), self.clock()

    def set_status(self, task_id: str, **fields: Any) -> None:
        """Put ``fields`` over what the status of a job tells, such as ``status="rendering"``; none: the truth again."""
        self._known(task_id).forced = fields

    def _known(self, task_id: str) -> Job:
        job = self._jobs.get(task_id) or Job.remembered(task_id)
        if job is None:
            raise KeyError(task_id)
        return self._jobs.setdefault(task_id, job)
