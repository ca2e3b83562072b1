"""Questions about tasks: put to the service, written down, and answered with patience for a service that lags."""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
from anyio.abc import TaskGroup

from sora_mcp.errors import JournalUnavailable, ResultMissing, TaskNotFound
from sora_mcp.journal import Order
from sora_mcp.models import FINAL_STATUSES, TaskReport
from sora_mcp.ordering import ids_kept_for
from sora_mcp.service import Service
from sora_mcp.waiting import OnChange, Waiting

logger = logging.getLogger(__name__)

QUESTION_SECONDS = 12.0
LATE_TASK_SECONDS = 600.0
"""How long after an order a "not found" only means that the service is behind with its own list."""
NOT_FOUND_PAUSES = (1.0, 1.0)
JOURNAL_PATIENCE_SECONDS = 2.0
RECORD_PATIENCE_SECONDS = 0.5
FINISHED_SECONDS = 5.0
"""How long the order of a finished task is believed without looking into the journal."""
TASKS_RECORDED = 1024

OnTaskChanged = Callable[[str], Awaitable[None]]


class Asking:
    """What is known of tasks, here and at the service.

    Args:
        open_service: The way to the service, opened on first use.
        task_group: Lives as long as the server.
        poll_seconds: The shortest time between two questions about one task.
        on_changed: Awaited with the id of each task whose status or progress has changed.
        clock: Unix seconds.
        sleep: Waits for seconds.
    """

    def __init__(
        self,
        open_service: Callable[[], Awaitable[Service]],
        task_group: TaskGroup,
        *,
        poll_seconds: float,
        on_changed: OnTaskChanged | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """Nothing is asked yet."""
        self._open = open_service
        self._task_group = task_group
        self._on_changed = on_changed
        self._clock = clock
        self._sleep = sleep
        self._finished: dict[str, tuple[Order, float]] = {}
        self._recorded: dict[str, tuple[str, int | None]] = {}
        self._waiting = Waiting(self.ask, task_group, poll_seconds=poll_seconds, sleep=sleep)

    def retry_after_seconds(self, task_id: str) -> int:
        """Whole seconds until a new question about the task makes sense."""
        return self._waiting.retry_after_seconds(task_id)

    async def order(self, task_id: str) -> Order | None:
        """The order behind a task, if it is ours and the journal answers soon."""
        finished, until = self._finished.get(task_id, (None, 0.0))
        if finished and anyio.current_time() < until:
            return finished
        service = await self._open()
        with anyio.move_on_after(JOURNAL_PATIENCE_SECONDS):
            try:
                order = await service.journal.find(task_id)
            except JournalUnavailable as error:
                logger.warning("the journal cannot be read: %s", error)
            else:
                self._remember(task_id, order)
                return order
        return None

    def forget_order(self, task_id: str) -> None:
        """Make the next look at an order go to the journal: it has changed."""
        self._finished.pop(task_id, None)

    def _remember(self, task_id: str, order: Order | None) -> None:
        """Of an order that is over only the saved path can change, and not behind our back for long."""
        if order and order.status in FINAL_STATUSES:
            if len(self._finished) >= TASKS_RECORDED:
                self._finished.clear()
            self._finished[task_id] = (order, anyio.current_time() + FINISHED_SECONDS)

    async def wait(self, task_id: str, wait_seconds: float, on_change: OnChange | None = None) -> TaskReport:
        """The task's state: at once when it is final, else after at most ``wait_seconds``.

        Raises:
            ResultMissing: Completed, without a link.
            SoraMcpError: No answer came; the task itself is not touched by that.
        """
        known = self._waiting.known(task_id)
        if known and known.expires_at is not None and known.expires_at <= self._clock():
            self._waiting.forget(task_id)
        report = await self._waiting.wait(task_id, wait_seconds, on_change)
        if report.status == "completed" and not report.urls:
            raise no_link(task_id)
        return report

    async def ask(self, task_id: str) -> TaskReport:
        """Put one question about a task; a "not found" counts only when it is said three times.

        Raises:
            TaskNotFound: Neither the service nor, for a fresh one, the journal knows it.
            SoraMcpError: No usable answer.
        """
        service = await self._open()
        for pause in (*NOT_FOUND_PAUSES, None):
            try:
                report = await service.api.status(task_id, deadline=QUESTION_SECONDS)
            except TaskNotFound as error:
                if pause is None:
                    return await self._late_or_lost(task_id, error)
                await self._sleep(pause)
            else:
                # The id that was asked with is one that tools take; the one that is answered may be any text.
                report = replace(report, id=task_id)
                await self._note(service, task_id, report)
                return report
        raise AssertionError  # pragma: no cover - the last round returns or raises

    async def _late_or_lost(self, task_id: str, error: TaskNotFound) -> TaskReport:
        """A task that we ordered ourselves is never called missing while the service may just be behind."""
        order = await self.order(task_id)
        if order is None:
            raise TaskNotFound(
                f"The service does not know a task {task_id} for this key.",
                "Check the id; list_videos shows the tasks ordered from here.",
                upstream_message=error.upstream_message,
            )
        if self._clock() - order.sent_at < LATE_TASK_SECONDS:
            status = "in_progress" if order.status == "in_progress" else "queued"
            return TaskReport(id=task_id, status=status, progress=order.progress)
        raise TaskNotFound(
            f"The service no longer shows the task {task_id}, though it was ordered from here.",
            "Look for it in the service's console.",
            upstream_message=error.upstream_message,
        )

    async def _note(self, service: Service, task_id: str, report: TaskReport) -> None:
        """Write a change down beside the answer: a locked journal must not hold up a question.

        The end of a task is given a moment to be written, so that a list made right after it tells the same.
        """
        if self._recorded.get(task_id) != (report.status, report.progress):
            if len(self._recorded) >= TASKS_RECORDED:
                self._recorded.clear()
            self._recorded[task_id] = (report.status, report.progress)
            written = anyio.Event()
            self._task_group.start_soon(self._record, service, report, written)
            if report.status in FINAL_STATUSES:
                with anyio.move_on_after(RECORD_PATIENCE_SECONDS):
                    await written.wait()

    async def _record(self, service: Service, report: TaskReport, written: anyio.Event) -> None:
        try:
            order = await service.journal.record(report)
            if order and report.client_business_id == order.order_id:
                await service.journal.learn_ids_kept(ids_kept_for(order))
        except JournalUnavailable as error:
            logger.warning("the state of a task could not be written down: %s", error)
        written.set()
        if self._on_changed:
            await self._on_changed(report.id)


def no_link(task_id: str) -> ResultMissing:
    """The service says completed and gives no link; the task is not failed by that."""
    return ResultMissing(
        f"The video {task_id} is completed, but the service gave no link to it.",
        "Ask get_video_status again in a minute; the video is not lost.",
        retry_after_seconds=60,
    )
