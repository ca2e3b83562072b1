"""One question about a task at a time, shared by all who wait for its answer."""

import math
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from sora_mcp.errors import RateLimited, ServiceError, SoraMcpError, UpstreamUnavailable
from sora_mcp.models import FINAL_STATUSES, TaskReport

FIRST_ANSWER_SECONDS = 15.0
"""How long a question without waiting may take, its repetitions included."""

BACK_OFF_LIMIT_SECONDS = 120.0
"""The longest interval after repeated 429s (api.md, section 4)."""

MAX_DOUBLINGS = 32
"""Enough for the shortest interval to reach the longest one; keeps the power finite."""

TASKS_REMEMBERED = 256

OnChange = Callable[[TaskReport], Awaitable[None]]


@dataclass(slots=True)
class _Watch:
    """What is known of one task, and who is waiting for more.

    ``error`` says why the last question brought nothing. ``settled``: the last question has its outcome, so none is
    under way and none was broken off.
    """

    report: TaskReport | None = None
    error: Exception | None = None
    settled: bool = False
    next_at: float = float("-inf")
    refusals: int = 0
    answers: int = 0
    outcomes: int = 0
    changed: anyio.Event = field(default_factory=anyio.Event)
    waiters: int = 0
    poller: anyio.CancelScope | None = None


class Waiting:
    """Asks about tasks, never more often than ``poll_seconds`` for each, however many callers wait.

    ``ask`` puts one question to the service. ``clock`` and ``sleep`` default to the event loop's.
    """

    def __init__(
        self,
        ask: Callable[[str], Awaitable[TaskReport]],
        task_group: TaskGroup,
        *,
        poll_seconds: float,
        clock: Callable[[], float] = anyio.current_time,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Keep the parts; nothing is asked yet."""
        self._ask = ask
        self._task_group = task_group
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._watches: OrderedDict[str, _Watch] = OrderedDict()

    def known(self, task_id: str) -> TaskReport | None:
        """The last answer about a task, if there was one in this process."""
        watch = self._watches.get(task_id)
        return watch.report if watch else None

    def forget(self, task_id: str) -> None:
        """Have the service asked about the task again, final or not, as soon as the interval allows."""
        watch = self._watches.get(task_id)
        if watch and watch.next_at <= self._clock():
            watch.report = None

    def retry_after_seconds(self, task_id: str) -> int:
        """Whole seconds, at least 1, until a new question about the task makes sense."""
        watch = self._watches.get(task_id)
        rest = watch.next_at - self._clock() if watch else 0.0
        return max(1, math.ceil(rest if rest > 0 else self._poll_seconds))

    async def wait(self, task_id: str, wait_seconds: float, on_change: OnChange | None = None) -> TaskReport:
        """Answer with the task's state: at once when it is over, else after at most ``wait_seconds``.

        With ``wait_seconds=0`` one question is put, unless the last one was answered and the next is not due yet.
        ``on_change`` is awaited with each answer that shows another status or progress.

        Raises:
            SoraMcpError: No answer came in this time; the last reason why.
        """
        with self._watching(task_id) as watch:
            outcome = await self._follow(task_id, watch, wait_seconds, on_change)
        if isinstance(outcome, TaskReport):
            return outcome
        pause = self.retry_after_seconds(task_id)
        if outcome is None:
            raise UpstreamUnavailable(
                f"The service did not answer about {task_id} in time; the task itself goes on.",
                f"Ask get_video_status again in {pause} s.",
                retry_after_seconds=pause,
            )
        if isinstance(outcome, SoraMcpError) and outcome.retryable:
            outcome.retry_after_seconds = pause
        # One error is raised to all who wait, and again to those who come too soon: their traces must not pile up.
        raise outcome.with_traceback(None)

    async def _follow(
        self, task_id: str, watch: _Watch, wait_seconds: float, on_change: OnChange | None
    ) -> TaskReport | Exception | None:
        """Wait until enough is known or the time is over; ``None`` when nothing was learned that is not stale."""
        answers, outcomes = watch.answers, watch.outcomes
        fresh = watch.settled and watch.next_at > self._clock()

        def outcome() -> TaskReport | Exception | None:
            """What came during this call, or was new when it began and is not overdue since."""
            if is_final(watch.report):
                return watch.report
            if watch.outcomes == outcomes and not (fresh and watch.next_at > self._clock()):
                return None
            may_pass = watch.answers > answers and isinstance(watch.error, ServiceError)
            return watch.report if may_pass else watch.error or watch.report

        def ends_the_wait(so_far: TaskReport | Exception) -> bool:
            """A task that is over, or an error that does not pass; a link that was missing before is asked for anew."""
            if isinstance(so_far, TaskReport):
                return is_final(so_far) or (so_far.status == "completed" and watch.answers > answers)
            return not isinstance(so_far, ServiceError)

        told: TaskReport | None = None
        with anyio.move_on_after(wait_seconds or FIRST_ANSWER_SECONDS):
            while True:
                changed, so_far = watch.changed, outcome()
                if isinstance(so_far, TaskReport) and on_change and (not told or _shown(so_far) != _shown(told)):
                    told = so_far
                    await on_change(so_far)
                if so_far is not None and (not wait_seconds or ends_the_wait(so_far)):
                    break
                self._keep_asking(task_id, watch)
                await changed.wait()
        return outcome()

    @contextmanager
    def _watching(self, task_id: str) -> Generator[_Watch]:
        """Count a waiter in and out; the last one takes the poller away."""
        watch = self._watches.setdefault(task_id, _Watch())
        self._watches.move_to_end(task_id)
        watch.waiters += 1
        self._drop_old_ones()
        try:
            yield watch
        finally:
            watch.waiters -= 1
            if not watch.waiters and watch.poller:
                watch.poller.cancel()
                watch.poller = None

    def _drop_old_ones(self) -> None:
        for task_id, watch in list(self._watches.items()):
            if len(self._watches) <= TASKS_REMEMBERED:
                return
            if not watch.waiters:
                del self._watches[task_id]

    def _keep_asking(self, task_id: str, watch: _Watch) -> None:
        if watch.poller is None:
            watch.poller = anyio.CancelScope()
            self._task_group.start_soon(self._poll, task_id, watch, watch.poller)

    async def _poll(self, task_id: str, watch: _Watch, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                while not is_final(watch.report):
                    # A poller that is called off before it begins must not put off the question of the next one.
                    await checkpoint()
                    if (rest := watch.next_at - self._clock()) > 0:
                        await self._sleep(rest)
                    await self._ask_once(task_id, watch)
        finally:
            if watch.poller is scope:
                watch.poller = None

    async def _ask_once(self, task_id: str, watch: _Watch) -> None:
        asked_at = self._clock()
        watch.settled = False
        # Set before the answer: a question that is broken off must not leave a door for a faster one.
        watch.next_at = asked_at + self._interval(watch)
        answer_asks_for = 0
        try:
            report = await self._ask(task_id)
        except Exception as error:  # noqa: BLE001 - raised to those who wait; here it would end the server
            watch.error = error
            watch.refusals += isinstance(error, RateLimited)
            if isinstance(error, SoraMcpError):
                answer_asks_for = error.retry_after_seconds or 0
        else:
            watch.report = _never_backwards(report, watch.report)
            watch.error, watch.refusals = None, 0
            watch.answers += 1
            answer_asks_for = report.retry_after_seconds or 0
        watch.settled = True
        watch.outcomes += 1
        watch.next_at = max(asked_at + self._interval(watch), self._clock() + answer_asks_for)
        changed, watch.changed = watch.changed, anyio.Event()
        changed.set()

    def _interval(self, watch: _Watch) -> float:
        """Seconds between two questions: doubled by each 429 up to the limit, and never under ``poll_seconds``."""
        usual = self._poll_seconds * (1 + self._jitter() / 10)
        return max(usual, min(usual * 2 ** min(watch.refusals, MAX_DOUBLINGS), BACK_OFF_LIMIT_SECONDS))


def is_final(report: TaskReport | None) -> bool:
    """Whether nothing more can be learned; a completed task without a link may still get one when asked again."""
    return report is not None and report.status in FINAL_STATUSES and (report.status == "failed" or bool(report.urls))


def _shown(report: TaskReport) -> tuple[str, int]:
    return report.status, report.progress or 0


def _never_backwards(new: TaskReport, old: TaskReport | None) -> TaskReport:
    if old is None or old.progress is None or new.status in FINAL_STATUSES:
        return new
    return replace(new, progress=max(new.progress or 0, old.progress))
