"""An order, step by step: at most one charge for one request, and nothing that was paid for is lost.

The order runs in the server's own task group, never in the tool's body: a client's cancel, a dropped connection or
the end of stdin must not stop it between the POST and the note of its id. The service has no idempotency key, so a
request that may have arrived is never sent again; it is looked up by the order id that it carried instead.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import anyio
from anyio.abc import TaskGroup

from sora_mcp.api.verdicts import Accepted, NeverSent, Rejected, Throttled, Unknown, Verdict
from sora_mcp.errors import (
    BY_CODE,
    BudgetExceeded,
    JournalUnavailable,
    RateLimited,
    SoraMcpError,
    SubmissionFailed,
    TaskNotFound,
)
from sora_mcp.journal import Journal, NewOrder, Order, OverLimit, Reserved
from sora_mcp.models import TaskReport

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 40.0
"""A call answers within this time, whatever the service does: hosts cut calls off at 60 s."""

RECOVERY_SECONDS = 15.0
RECOVERY_FIRST_PAUSE = 0.3
BACKGROUND_FIRST_PAUSE = 5.0
BACKGROUND_LAST_PAUSE = 600.0
GIVE_UP_SECONDS = 24 * 3600.0

CONNECT_TRIES = 3
THROTTLED_TRIES = 3
THROTTLED_SECONDS = 20.0
THROTTLED_LOOK_UP_PAUSES = (0.5, 1.5)
THROTTLED_LAST_PAUSE = 1.5

WRITE_DOWN_SECONDS = 15.0
"""How long an order may wait for its turn to be written down; after that it is not sent any more."""

LEASE_SECONDS = 5.0
"""How long others believe that a silent process is still sending. Short, so that a killed one is noticed soon;
a process that lives renews it. Recovering only asks, so a lease that ends too early cannot cost anything."""

Send = Callable[[], Awaitable[Verdict]]
LookUp = Callable[[str], Awaitable[TaskReport]]


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of a call: the order as it stands, and whether an earlier one was joined."""

    order: Order
    joined: bool


class _Outcome:
    """A result handed from the order's task to the caller, if the caller is still there."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.begun: Placed | None = None
        self.placed: Placed | None = None
        self.error: Exception | None = None


class Ordering:
    """Places orders and finds the lost ones.

    Args:
        journal: The order book.
        look_up: Asks the service about an order id; one question, raises ``TaskNotFound`` for an unknown one.
        task_group: Lives as long as the server.
        daily_seconds: Seconds of video that may be ordered in any 24 hours; 0 for no limit.
        clock: Unix seconds.
        sleep: Waits for seconds.
    """

    def __init__(
        self,
        journal: Journal,
        look_up: LookUp,
        task_group: TaskGroup,
        *,
        daily_seconds: int,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """Keep the parts; nothing runs yet."""
        self._journal = journal
        self._look_up = look_up
        self._task_group = task_group
        self._daily_seconds = daily_seconds
        self._clock = clock
        self._sleep = sleep
        self._in_flight = 0
        self._idle = anyio.Event()
        self._sending: set[str] = set()
        self._recovering: set[str] = set()

    async def place(self, order: NewOrder, send: Send) -> Placed:
        """Place one order and answer within 40 s, or join the live one that is the same.

        The answer may be an order that is still ``sending`` or ``unconfirmed``: it goes on in the background.

        Raises:
            BudgetExceeded: The daily limit has no room; nothing was sent.
            JournalUnavailable: The order could not be written down first; nothing was sent.
            SoraMcpError: The service refused it, or could not be reached at all; nothing was charged.
        """
        outcome = _Outcome()
        self._in_flight += 1
        self._task_group.start_soon(self._run, order, send, outcome)
        with anyio.move_on_after(ANSWER_SECONDS):
            await outcome.done.wait()
        if outcome.error:
            raise outcome.error
        placed = outcome.placed or outcome.begun
        if placed is None:
            raise _not_written_down()
        return placed

    async def finish(self, seconds: float) -> None:
        """Let orders in flight end, for at most ``seconds``: the process is about to go."""
        with anyio.move_on_after(seconds):
            while self._in_flight:
                self._idle = anyio.Event()
                await self._idle.wait()

    async def _run(self, order: NewOrder, send: Send, outcome: _Outcome) -> None:
        try:
            outcome.placed = await self._begin(order, send, outcome)
        except Exception as error:  # noqa: BLE001 - raised to the caller; here it would end the server
            if not isinstance(error, SoraMcpError):
                logger.error("order %s ended in %s", order.order_id, type(error).__name__)  # noqa: TRY400
            outcome.error = error
        finally:
            self._in_flight -= 1
            self._idle.set()
            outcome.done.set()

    async def _begin(self, order: NewOrder, send: Send, outcome: _Outcome) -> Placed:
        asked_at = anyio.current_time()
        begun = await self._journal.begin(order, daily_seconds=self._daily_seconds, lease_seconds=LEASE_SECONDS)
        if isinstance(begun, OverLimit):
            raise self._over_limit(order, begun)
        joined = not isinstance(begun, Reserved)
        outcome.begun = Placed(begun.order, joined)
        if joined:
            return Placed(await self._settled(begun.order), joined)
        if anyio.current_time() - asked_at > WRITE_DOWN_SECONDS:
            # The caller is about to be told that nothing was ordered, or has been: then nothing may be.
            error = _not_written_down()
            await self._journal.reject(order.order_id, error.code, str(error))
            raise error
        return Placed(await self._send_reserved(begun.order, send), joined)

    def _over_limit(self, order: NewOrder, over: OverLimit) -> BudgetExceeded:
        if over.frees_at is None:
            when = "This order alone is longer than the limit."
        else:
            when = f"There is room for it in {_hours(over.frees_at - self._clock())}."
        return BudgetExceeded(
            f"{over.ordered_seconds} s of video were ordered in the last 24 hours, and the user's limit is "
            f"{self._daily_seconds} s: {order.seconds} s more would pass it. Nothing was ordered.",
            f"{when} Only the user can raise the limit, with the variable SORA_MCP_DAILY_SECONDS.",
        )

    async def _settled(self, order: Order) -> Order:
        """Wait for the process that sends a joined order; look it up when that process is gone.

        Raises:
            SoraMcpError: The order that was joined has been refused.
        """
        pause = 0.1
        while order.state == "sending":
            await self._sleep(pause)
            pause = min(pause * 1.5, 1.0)
            if await self._left_behind(order.order_id):
                return await self.recover(order, RECOVERY_SECONDS)
            order = await self._journal.find(order.order_id) or order
        if order.state == "rejected":
            raise _same_refusal(order)
        return order

    async def _left_behind(self, order_id: str) -> bool:
        """Whether the process that was sending an order is gone, and this one may look after it."""
        if order_id in self._sending or all(order.order_id != order_id for order in await self._journal.unresolved()):
            return False
        return await self._journal.claim(order_id, LEASE_SECONDS)

    async def _send_reserved(self, order: Order, send: Send) -> Order:
        """Send an order that stands in the book, and judge what comes back.

        Raises:
            SoraMcpError: Refused, or never sent; the order is written down as rejected.
        """
        self._sending.add(order.order_id)
        self._task_group.start_soon(self._renew_lease, order.order_id)
        try:
            verdict = await self._send_until_clear(order, send)
        except BaseException:
            # The process is going, or something is wrong with it: whatever was sent must be looked up.
            with anyio.CancelScope(shield=True):
                await self._write_down(self._journal.mark_unconfirmed(order.order_id), order)
            raise
        finally:
            self._sending.discard(order.order_id)
        if isinstance(verdict, Accepted):
            return await self._accept(order, verdict.report)
        if isinstance(verdict, Unknown):
            lost = await self._write_down(self._journal.mark_unconfirmed(order.order_id), order)
            return await self.recover(replace(lost, state="unconfirmed", status="unconfirmed"), RECOVERY_SECONDS)
        error = verdict.error
        written = await self._write_down(self._journal.reject(order.order_id, error.code, str(error)), order)
        if written.state == "unconfirmed":
            # Another process took this one for dead and began to look for the order, which is now known not to be.
            await self._write_down(self._journal.mark_absent(order.order_id), order)
        raise error

    async def _send_until_clear(self, order: Order, send: Send) -> Verdict:
        """Send; send again only what certainly never arrived."""
        connects, throttles, waited = 0, 0, 0.0
        while True:
            verdict = await send()
            if isinstance(verdict, NeverSent):
                connects += 1
                if connects == CONNECT_TRIES:
                    return verdict
                await self._sleep(0.5 * connects)
            elif isinstance(verdict, Throttled):
                throttles += 1
                pause = 2.0 * throttles if verdict.retry_after_seconds is None else verdict.retry_after_seconds
                last = throttles == THROTTLED_TRIES or waited + pause > THROTTLED_SECONDS
                if not last:
                    await self._sleep(pause)
                    waited += pause
                try:
                    return Accepted(await self._ask_spaced(order))
                except TaskNotFound:
                    if last:
                        return Rejected(_rate_limited(verdict))
                except SoraMcpError as error:
                    # Whether the throttled order is there cannot be said: it may not be sent again.
                    return Unknown(error)
            else:
                return verdict

    async def _renew_lease(self, order_id: str) -> None:
        while order_id in self._sending:
            await self._sleep(LEASE_SECONDS / 2)
            try:
                await self._journal.claim(order_id, LEASE_SECONDS)
            except JournalUnavailable as error:
                logger.warning("the lease of an order could not be renewed: %s", error)

    async def _accept(self, order: Order, report: TaskReport) -> Order:
        """Write down the task id before answering; if that fails, answer all the same and go on trying."""
        taken = replace(order, state="accepted", task_id=report.id, status=report.status, progress=report.progress or 0)
        try:
            accepted = await self._journal.accept(order.order_id, report)
            if report.client_business_id == order.order_id:
                await self._journal.learn_ids_kept(ids_kept_for(order))
        except JournalUnavailable as error:
            logger.error("order %s was accepted but could not be written down yet: %s", order.order_id, error)  # noqa: TRY400
            self._task_group.start_soon(self._accept_later, order, report)
            accepted = taken
        return accepted

    async def _accept_later(self, order: Order, report: TaskReport) -> None:
        pause = 0.5
        while self._clock() - order.sent_at < GIVE_UP_SECONDS:
            await self._sleep(pause)
            pause = min(pause * 2, 60.0)
            try:
                await self._journal.accept(order.order_id, report)
            except JournalUnavailable:
                continue
            return

    async def _write_down(self, change: Awaitable[Order], order: Order) -> Order:
        """Make a change that must not hide what the service said: a failure is logged, recovery mends it later."""
        try:
            return await change
        except JournalUnavailable as error:
            logger.error("order %s: its new state could not be written down: %s", order.order_id, error)  # noqa: TRY400
            return order

    async def recover(self, order: Order, seconds: float) -> Order:
        """Look a lost order up for at most ``seconds``, then go on in the background."""
        pause, waited = RECOVERY_FIRST_PAUSE, 0.0
        with anyio.move_on_after(seconds):
            while waited + pause <= seconds:
                await self._sleep(pause)
                waited, pause = waited + pause, pause * 2
                order = await self.look_up_once(order)
                if order.state not in {"sending", "unconfirmed"}:
                    return order
        self.recover_in_background(order)
        return order

    async def resolve(self, order: Order, seconds: float) -> Order:
        """Find out what became of an order that is not accepted yet, within about ``seconds``; at least ask once."""
        if order.state == "sending":
            with anyio.move_on_after(max(seconds, 1.0)):
                while order.state == "sending" and not await self._left_behind(order.order_id):
                    await self._sleep(0.2)
                    order = await self._journal.find(order.order_id) or order
            if order.order_id in self._sending:
                return order
        if order.state in {"sending", "unconfirmed"}:
            return await (self.recover(order, seconds) if seconds else self.look_up_once(order))
        return order

    async def look_up_once(self, order: Order) -> Order:
        """Ask the service for a lost order once; what it says is written down."""
        try:
            report = await self._ask(order)
        except TaskNotFound:
            return await self._not_found(order)
        except SoraMcpError as error:
            logger.info("order %s could not be looked up: %s", order.order_id, error.code)
            return await self._lost(order)
        with anyio.CancelScope(shield=True):
            order = await self._accept(order, report)
            await self._write_down_known(ids_kept_for(order))
        return order

    async def _ask(self, order: Order) -> TaskReport:
        """Look an order up under its own id.

        Raises:
            TaskNotFound: Unknown there, or the answer speaks of another order.
            SoraMcpError: No usable answer.
        """
        report = await self._look_up(order.order_id)
        if report.client_business_id not in {None, order.order_id}:
            raise TaskNotFound("The service answered with another order.", "")
        return report

    async def _ask_spaced(self, order: Order) -> TaskReport:
        """Look an order up three times over some seconds: one that was taken just now may not be listed yet.

        Raises:
            TaskNotFound: Three times.
            SoraMcpError: No usable answer.
        """
        for pause in THROTTLED_LOOK_UP_PAUSES:
            await self._sleep(pause)
            try:
                return await self._ask(order)
            except TaskNotFound:
                continue
        await self._sleep(THROTTLED_LAST_PAUSE)
        return await self._ask(order)

    async def _write_down_known(self, kind_of_order: str) -> None:
        try:
            await self._journal.learn_ids_kept(kind_of_order)
        except JournalUnavailable as error:
            logger.warning("that the service keeps order ids could not be written down: %s", error)

    async def _not_found(self, order: Order) -> Order:
        """Count a "not found": proof only when spaced, repeated, and from a service that keeps our ids."""
        try:
            order = await self._lost(order)
            answers = await self._journal.not_found(order.order_id)
            if answers.proven and await self._journal.ids_kept(ids_kept_for(order)):
                return await self._journal.mark_absent(order.order_id)
        except JournalUnavailable as error:
            logger.warning("order %s: its look-up could not be written down: %s", order.order_id, error)
        return order

    async def _lost(self, order: Order) -> Order:
        if order.state != "sending":
            return order
        marked = await self._write_down(self._journal.mark_unconfirmed(order.order_id), order)
        return replace(marked, state="unconfirmed", status="unconfirmed") if marked.state == "sending" else marked

    def recover_in_background(self, order: Order) -> None:
        """Look for a lost order at growing intervals for 24 hours, in one process at a time."""
        if order.order_id not in self._recovering:
            self._recovering.add(order.order_id)
            self._task_group.start_soon(self._recover_later, order)

    async def _recover_later(self, order: Order) -> None:
        pause = BACKGROUND_FIRST_PAUSE
        try:
            while self._clock() - order.sent_at < GIVE_UP_SECONDS:
                await self._sleep(pause)
                try:
                    mine = await self._journal.claim(order.order_id, pause)
                    order = await self.look_up_once(order) if mine else await self._journal.find(order.id) or order
                except JournalUnavailable as error:
                    logger.warning("order %s cannot be recovered for now: %s", order.order_id, error)
                if order.state not in {"sending", "unconfirmed"}:
                    return
                pause = min(pause * 2, BACKGROUND_LAST_PAUSE)
        finally:
            self._recovering.discard(order.order_id)

    async def resume(self) -> None:
        """Take up the orders that a process left behind when it ended, now and from time to time."""
        pause = LEASE_SECONDS
        while True:
            try:
                for order in await self._journal.unresolved():
                    if order.order_id not in self._recovering and await self._left_behind(order.order_id):
                        self.recover_in_background(await self.look_up_once(order))
            except JournalUnavailable as error:
                logger.warning("lost orders cannot be looked for: %s", error)
            await self._sleep(pause)
            pause = min(pause * 2, 60.0)


def ids_kept_for(order: Order) -> str:
    """What is learned when the service answers to an order id: remixes may keep them or not, whatever others do."""
    return order.model if order.kind == "generate" else f"{order.model} {order.kind}"


def _not_written_down() -> JournalUnavailable:
    return JournalUnavailable(
        "No video was ordered: the order book was busy for too long.",
        "Close other programs that use it, then order when the user wants it.",
    )


def _rate_limited(verdict: Throttled) -> RateLimited:
    pause = verdict.error.retry_after_seconds or 30
    return RateLimited(
        "The service takes no more orders for now. Nothing was ordered.",
        f"Wait {pause} s before the next order.",
        retry_after_seconds=pause,
        upstream_message=verdict.error.upstream_message,
    )


def _same_refusal(order: Order) -> SoraMcpError:
    kind = BY_CODE.get(order.error_code or "", SubmissionFailed)
    return kind(order.error_message or "The service refused the order. Nothing was charged.", "")


def _hours(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"  # noqa: PLR2004
