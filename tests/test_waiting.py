import random
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from sora_mcp.errors import AuthFailed, RateLimited, TaskNotFound, UpstreamUnavailable
from sora_mcp.models import TaskReport
from sora_mcp.waiting import BACK_OFF_LIMIT_SECONDS, TASKS_REMEMBERED, Waiting, is_final

pytestmark = pytest.mark.anyio

TASK = "video_01"
POLL = 5.0
SHORT = 0.1
"""Real seconds, for what only a deadline can show."""

QUEUED = TaskReport(TASK, "queued", 0)
DONE = TaskReport(TASK, "completed", 100, urls=("https://files.example/a.mp4",))
LINKLESS = TaskReport(TASK, "completed", 100)
FAILED = TaskReport(TASK, "failed")


def running(progress):
    return TaskReport(TASK, "in_progress", progress)


def refused(retry_after=None):
    return RateLimited("Too many.", "Wait.", retry_after_seconds=retry_after)


def down():
    return UpstreamUnavailable("Down.", "Ask later.")


class Hangs:
    """An answer that never comes."""


class Clock:
    """A clock that moves by itself from one sleeper's end to the next, or only by hand."""

    def __init__(self, *, by_itself=True):
        self.now = 1000.0
        self.slept = []
        self._by_itself = by_itself
        self._moved = anyio.Event()

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        end = self.now + seconds
        if self._by_itself:
            await checkpoint()
            self.now = max(self.now, end)
        while self.now < end:
            await self._moved.wait()

    def move(self, seconds):
        self.now += seconds
        self._moved.set()
        self._moved = anyio.Event()


class Service:
    """Answers as it is told, in order, the last answer again and again; notes when it was asked."""

    def __init__(self, clock, *answers, takes=0.0):
        self.answers = list(answers)
        self.asked = []
        self.under_way = 0
        self.most_at_once = 0
        self.broken_off = 0
        self._clock = clock
        self._takes = takes

    async def __call__(self, task_id):
        self.asked.append((task_id, self._clock()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            await checkpoint()
            if answer is Hangs:
                await anyio.sleep_forever()
            self._clock.now += self._takes
        except anyio.get_cancelled_exc_class():
            self.broken_off += 1
            raise
        finally:
            self.under_way -= 1
        if isinstance(answer, Exception):
            raise answer
        return replace(answer, id=task_id)

    @property
    def gaps(self):
        times = [at for _, at in self.asked]
        return [later - earlier for earlier, later in pairwise(times)]


@asynccontextmanager
async def opened(service, clock, *, poll_seconds=POLL, jitter=lambda: 0.0):
    async with anyio.create_task_group() as task_group:
        yield Waiting(service, task_group, poll_seconds=poll_seconds, clock=clock, sleep=clock.sleep, jitter=jitter)
        task_group.cancel_scope.cancel()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def by_hand():
    return Clock(by_itself=False)


async def settle():
    """Let everything run that can run without the clock."""
    for _ in range(20):
        await checkpoint()


# One question at a time


async def test_twenty_waiters_share_one_poller(clock):
    service = Service(clock, QUEUED, running(30), running(70), DONE)
    reports = []
    async with opened(service, clock) as waiting, anyio.create_task_group() as callers:

        async def call():
            reports.append(await waiting.wait(TASK, 10))

        for _ in range(20):
            callers.start_soon(call)
    assert [report.status for report in reports] == ["completed"] * 20
    assert len(service.asked) == 4
    assert service.most_at_once == 1


async def test_two_tasks_are_asked_about_independently(clock):
    service = Service(clock, DONE)
    async with opened(service, clock) as waiting:
        await waiting.wait("video_a", 10)
        await waiting.wait("video_b", 10)
    assert [task_id for task_id, _ in service.asked] == ["video_a", "video_b"]


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
async def test_questions_are_an_interval_and_its_jitter_apart(clock, jitter):
    service = Service(clock, *map(running, range(10)), DONE)
    async with opened(service, clock, jitter=lambda: jitter) as waiting:
        await waiting.wait(TASK, 10)
    assert service.gaps == pytest.approx([POLL * (1 + jitter / 10)] * 10)


async def test_a_slow_answer_does_not_stretch_the_interval(clock):
    service = Service(clock, running(1), running(2), DONE, takes=3.0)
    async with opened(service, clock) as waiting:
        await waiting.wait(TASK, 10)
    assert service.gaps == [POLL, POLL]


async def test_calls_without_waiting_put_no_question_before_it_is_due(by_hand):
    service = Service(by_hand, running(10), running(20))
    async with opened(service, by_hand) as waiting:
        assert [(await waiting.wait(TASK, 0)).progress for _ in range(50)] == [10] * 50
        by_hand.move(POLL - 0.1)
        assert (await waiting.wait(TASK, 0)).progress == 10
        by_hand.move(0.1)
        assert (await waiting.wait(TASK, 0)).progress == 20
    assert service.gaps == [POLL]


async def test_a_final_task_is_never_asked_about_again(by_hand):
    for final in (DONE, FAILED):
        service = Service(by_hand, final)
        async with opened(service, by_hand) as waiting:
            assert await waiting.wait(TASK, 0) == final
            by_hand.move(86_400)
            with anyio.fail_after(1):
                assert await waiting.wait(TASK, 50) == final
        assert len(service.asked) == 1


async def test_polling_stops_when_nobody_waits(by_hand):
    service = Service(by_hand, running(10))
    async with opened(service, by_hand) as waiting:
        await waiting.wait(TASK, SHORT)
        by_hand.move(100)
        await settle()
        assert len(service.asked) == 1


# What the service asks for


async def test_a_retry_after_is_obeyed_by_waiters_and_by_callers_in_a_hurry(by_hand):
    service = Service(by_hand, refused(40), running(5))
    async with opened(service, by_hand) as waiting:
        with pytest.raises(RateLimited):
            await waiting.wait(TASK, 0)
        assert waiting.retry_after_seconds(TASK) == 40
        by_hand.move(39)
        with anyio.fail_after(1), pytest.raises(RateLimited) as error:
            await waiting.wait(TASK, 0)
        assert error.value.retry_after_seconds == 1
        by_hand.move(1)
        assert (await waiting.wait(TASK, 0)).progress == 5
    assert service.gaps == [40]


async def test_a_retry_after_beside_an_answer_is_obeyed_too(by_hand):
    service = Service(by_hand, replace(running(5), retry_after_seconds=30), running(6))
    async with opened(service, by_hand) as waiting:
        assert (await waiting.wait(TASK, 0)).progress == 5
        by_hand.move(29)
        assert (await waiting.wait(TASK, 0)).progress == 5
        by_hand.move(1)
        assert (await waiting.wait(TASK, 0)).progress == 6


async def test_refusals_double_the_interval_to_two_minutes_and_an_answer_ends_that(clock):
    service = Service(clock, *[refused() for _ in range(8)], running(1), running(2), DONE)
    async with opened(service, clock) as waiting:
        await waiting.wait(TASK, 10)
    assert service.gaps == [10, 20, 40, 80, 120, 120, 120, 120, POLL, POLL]


async def test_other_failures_neither_lengthen_nor_shorten_the_interval(clock):
    service = Service(clock, down(), down(), refused(), down(), down(), DONE)
    async with opened(service, clock) as waiting:
        await waiting.wait(TASK, 10)
    assert service.gaps == [POLL, POLL, 10, 10, 10]


@given(
    poll_seconds=st.floats(1e-6, 86_400),
    refusals=st.integers(0, 10_000),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_the_interval_is_never_shorter_than_set_nor_longer_than_the_limit(poll_seconds, refusals, jitter):
    class Watch:
        pass

    Watch.refusals = refusals
    waiting = Waiting(None, None, poll_seconds=poll_seconds, jitter=lambda: jitter)
    interval = waiting._interval(Watch)
    assert poll_seconds <= interval <= max(BACK_OFF_LIMIT_SECONDS, poll_seconds * 1.1)


async def test_a_caller_in_a_hurry_is_told_of_the_back_off_at_once(by_hand):
    service = Service(by_hand, running(40), refused(), running(50))
    async with opened(service, by_hand) as waiting:
        await waiting.wait(TASK, 0)
        by_hand.move(POLL)
        for _ in range(3):
            with anyio.fail_after(1), pytest.raises(RateLimited) as error:
                await waiting.wait(TASK, 0)
            assert error.value.retry_after_seconds == 10
        assert len(service.asked) == 2


async def test_a_caller_in_a_hurry_beside_a_waiter_in_back_off_is_told_at_once_too(by_hand):
    service = Service(by_hand, refused(60), DONE)
    async with opened(service, by_hand) as waiting, anyio.create_task_group() as callers:
        callers.start_soon(waiting.wait, TASK, 50)
        await settle()
        with anyio.fail_after(1), pytest.raises(RateLimited):
            await waiting.wait(TASK, 0)
        by_hand.move(60)
    assert len(service.asked) == 2


async def test_the_next_question_is_told_in_whole_seconds_rounded_up(by_hand):
    service = Service(by_hand, running(1))
    async with opened(service, by_hand, poll_seconds=2.2) as waiting:
        assert waiting.retry_after_seconds(TASK) == 3
        await waiting.wait(TASK, 0)
        by_hand.move(1)
        assert waiting.retry_after_seconds(TASK) == 2
        by_hand.move(1.1)
        assert waiting.retry_after_seconds(TASK) == 1
        by_hand.move(100)
        assert waiting.retry_after_seconds(TASK) == 3


# Deadlines and what counts as an answer


async def test_a_service_that_hangs_ends_the_wait_in_time_and_learns_nothing(clock):
    service = Service(clock, Hangs)
    async with opened(service, clock) as waiting:
        with anyio.fail_after(2), pytest.raises(UpstreamUnavailable, match="did not answer") as error:
            await waiting.wait(TASK, SHORT)
        assert error.value.retry_after_seconds == 5
        await settle()
    assert service.broken_off == 1


async def test_a_call_without_waiting_gives_up_on_a_service_that_hangs(clock, monkeypatch):
    monkeypatch.setattr("sora_mcp.waiting.FIRST_ANSWER_SECONDS", SHORT)
    async with opened(Service(clock, Hangs), clock) as waiting:
        with anyio.fail_after(2), pytest.raises(UpstreamUnavailable):
            await waiting.wait(TASK, 0)


async def test_the_wait_ends_with_the_newest_answer(by_hand):
    service = Service(by_hand, running(30))
    async with opened(service, by_hand) as waiting:
        with anyio.fail_after(2):
            assert (await waiting.wait(TASK, SHORT)).progress == 30


async def test_an_answer_of_this_call_outlives_a_failure_after_it(clock):
    service = Service(clock, running(30), down(), Hangs)
    async with opened(service, clock) as waiting:
        assert (await waiting.wait(TASK, SHORT)).progress == 30
    assert len(service.asked) == 3


async def test_a_failure_that_lasts_is_raised_when_the_time_is_over(by_hand):
    service = Service(by_hand, refused(300))
    async with opened(service, by_hand) as waiting:
        with pytest.raises(RateLimited) as error:
            await waiting.wait(TASK, SHORT)
        assert error.value.retry_after_seconds == 300


async def test_a_failure_that_passes_is_not_noticed(clock):
    service = Service(clock, down(), refused(), DONE)
    async with opened(service, clock) as waiting:
        assert await waiting.wait(TASK, 10) == DONE


@pytest.mark.parametrize("kind", [AuthFailed, TaskNotFound])
async def test_a_failure_that_will_not_pass_is_raised_at_once(by_hand, kind):
    service = Service(by_hand, running(3), kind("No.", "Look."))
    async with opened(service, by_hand) as waiting:
        await waiting.wait(TASK, 0)
        by_hand.move(POLL)
        for _ in range(2):
            with anyio.fail_after(2), pytest.raises(kind) as error:
                await waiting.wait(TASK, 50)
            assert error.value.retry_after_seconds is None
    assert len(service.asked) == 2


async def test_a_failure_is_asked_about_anew_once_the_interval_is_over(by_hand):
    service = Service(by_hand, AuthFailed("No.", "Look."), DONE)
    async with opened(service, by_hand) as waiting:
        with pytest.raises(AuthFailed):
            await waiting.wait(TASK, 0)
        by_hand.move(POLL)
        assert await waiting.wait(TASK, 0) == DONE


@pytest.mark.parametrize("failure", [down(), refused(), AuthFailed("No.", "Look.")], ids=lambda error: error.code)
async def test_a_failure_does_not_outlive_the_answer_after_it(by_hand, failure):
    service = Service(by_hand, failure, running(5))
    async with opened(service, by_hand) as waiting:
        with pytest.raises(type(failure)):
            await waiting.wait(TASK, 0)
        by_hand.move(2 * POLL)
        for _ in range(3):
            assert (await waiting.wait(TASK, 0)).progress == 5
    assert len(service.asked) == 2


async def test_an_old_failure_is_not_passed_off_as_the_reason_of_a_new_silence(by_hand):
    service = Service(by_hand, refused(), Hangs)
    async with opened(service, by_hand) as waiting:
        with pytest.raises(RateLimited):
            await waiting.wait(TASK, 0)
        by_hand.move(600)
        with pytest.raises(UpstreamUnavailable, match="did not answer"):
            await waiting.wait(TASK, SHORT)


async def test_a_stale_answer_is_not_passed_off_as_new(by_hand):
    service = Service(by_hand, running(30), Hangs)
    async with opened(service, by_hand) as waiting:
        await waiting.wait(TASK, 0)
        by_hand.move(POLL)
        with pytest.raises(UpstreamUnavailable):
            await waiting.wait(TASK, SHORT)


async def test_a_broken_off_question_does_not_make_an_old_answer_new(by_hand):
    service = Service(by_hand, running(30), Hangs, running(60))
    async with opened(service, by_hand) as waiting:
        await waiting.wait(TASK, 0)
        by_hand.move(600)
        with anyio.move_on_after(SHORT):
            await waiting.wait(TASK, 0)
        await settle()
        assert service.broken_off == 1
        by_hand.move(1)
        reports = []

        async def call():
            reports.append(await waiting.wait(TASK, 0))

        async with anyio.create_task_group() as callers:
            callers.start_soon(call)
            await settle()
            assert not reports
            by_hand.move(POLL - 1)
    assert [report.progress for report in reports] == [60]
    assert service.gaps == [600, POLL]


async def test_a_caller_in_a_hurry_shares_the_question_that_is_under_way(by_hand):
    answered = anyio.Event()
    asked = 0

    async def ask(_):
        nonlocal asked
        asked += 1
        if asked == 2:
            await answered.wait()
        return running(asked * 10)

    reports = []
    async with opened(ask, by_hand) as waiting:
        await waiting.wait(TASK, 0)
        by_hand.move(POLL)
        async with anyio.create_task_group() as callers:

            async def call(wait_seconds):
                reports.append(await waiting.wait(TASK, wait_seconds))

            callers.start_soon(call, 0.5)
            await settle()
            callers.start_soon(call, 0)
            await settle()
            assert not reports
            answered.set()
    assert [report.progress for report in reports] == [20, 20]
    assert asked == 2


async def test_a_fresh_answer_covers_a_wait_that_ends_during_the_next_question(by_hand):
    service = Service(by_hand, running(30), Hangs)
    async with opened(service, by_hand) as waiting, anyio.create_task_group() as callers:
        await waiting.wait(TASK, 0)
        by_hand.move(POLL - 1)

        async def call():
            assert (await waiting.wait(TASK, SHORT)).progress == 30

        callers.start_soon(call)
        await settle()
        by_hand.move(1)
        await settle()
        assert service.under_way == 1


async def test_a_fresh_answer_does_not_cover_a_silence_longer_than_an_interval(by_hand):
    service = Service(by_hand, running(30), Hangs)
    async with opened(service, by_hand) as waiting, anyio.create_task_group() as callers:
        await waiting.wait(TASK, 0)

        async def call():
            with pytest.raises(UpstreamUnavailable):
                await waiting.wait(TASK, SHORT)

        callers.start_soon(call)
        await settle()
        by_hand.move(POLL)
        await settle()
        by_hand.move(POLL)
    assert len(service.asked) == 2


async def test_a_wait_that_meets_only_failures_after_a_fresh_answer_says_so(by_hand):
    service = Service(by_hand, running(30), down())
    async with opened(service, by_hand) as waiting, anyio.create_task_group() as callers:
        await waiting.wait(TASK, 0)

        async def call():
            with pytest.raises(UpstreamUnavailable, match="Down"):
                await waiting.wait(TASK, SHORT)

        callers.start_soon(call)
        await settle()
        by_hand.move(POLL)


async def test_a_completed_task_without_a_link_is_answered_at_once_and_asked_about_anew(by_hand):
    service = Service(by_hand, LINKLESS, DONE)
    async with opened(service, by_hand) as waiting:
        with anyio.fail_after(2):
            assert await waiting.wait(TASK, 50) == LINKLESS
            assert await waiting.wait(TASK, 0) == LINKLESS
        async with anyio.create_task_group() as callers:

            async def call():
                assert await waiting.wait(TASK, 50) == DONE

            callers.start_soon(call)
            await settle()
            by_hand.move(POLL)


async def test_an_error_nobody_foresaw_reaches_the_caller_and_ends_nothing_else(by_hand):
    service = Service(by_hand, ZeroDivisionError("odd"), DONE)
    async with opened(service, by_hand) as waiting:
        with pytest.raises(ZeroDivisionError):
            await waiting.wait(TASK, 50)
        by_hand.move(POLL)
        assert await waiting.wait(TASK, 50) == DONE


async def test_the_trace_of_an_error_does_not_grow_with_each_caller(by_hand):
    service = Service(by_hand, refused(60))
    lengths = set()
    async with opened(service, by_hand) as waiting:
        for _ in range(5):
            with pytest.raises(RateLimited) as error:
                await waiting.wait(TASK, 0)
            lengths.add(len(error.traceback))
    assert len(lengths) == 1


# Cancellation


async def test_a_cancelled_waiter_stops_the_poller_and_the_question(clock):
    service = Service(clock, Hangs)
    async with opened(service, clock) as waiting:
        with anyio.move_on_after(SHORT):
            await waiting.wait(TASK, 50)
        await settle()
        assert service.under_way == 0
        assert service.broken_off == 1


async def test_a_cancelled_waiter_leaves_the_poller_to_the_others(by_hand):
    service = Service(by_hand, running(1), DONE)
    reports = []
    async with opened(service, by_hand) as waiting, anyio.create_task_group() as callers:

        async def call():
            reports.append(await waiting.wait(TASK, 50))

        callers.start_soon(call)
        with anyio.move_on_after(SHORT):
            await waiting.wait(TASK, 50)
        assert not reports
        by_hand.move(POLL)
    assert reports == [DONE]
    assert service.broken_off == 0


async def test_a_second_call_right_after_a_cancelled_one_keeps_the_interval(by_hand):
    service = Service(by_hand, Hangs, DONE)
    async with opened(service, by_hand) as waiting:
        with anyio.move_on_after(SHORT):
            await waiting.wait(TASK, 50)
        async with anyio.create_task_group() as callers:
            callers.start_soon(waiting.wait, TASK, 50)
            await settle()
            assert len(service.asked) == 1
            by_hand.move(POLL)
    assert service.gaps == [POLL]


async def test_a_call_that_is_cancelled_before_its_question_does_not_delay_the_next(by_hand):
    service = Service(by_hand, DONE)
    async with opened(service, by_hand) as waiting:
        async with anyio.create_task_group() as callers:
            callers.start_soon(waiting.wait, TASK, 50)
            # The waiter runs in this turn of the loop, the poller that it starts would in the next one.
            await checkpoint()
            assert not service.asked
            callers.cancel_scope.cancel()
        assert not service.asked
        with anyio.fail_after(2):
            assert await waiting.wait(TASK, 0) == DONE


async def test_a_broken_off_question_during_back_off_does_not_end_the_back_off(by_hand):
    service = Service(by_hand, refused(), refused(), Hangs, DONE)
    async with opened(service, by_hand) as waiting:
        for pause in (10, 20):
            with pytest.raises(RateLimited):
                await waiting.wait(TASK, 0)
            by_hand.move(pause)
        with anyio.move_on_after(SHORT):
            await waiting.wait(TASK, 0)
        assert waiting.retry_after_seconds(TASK) == 20


# Progress


async def test_each_change_is_told_once_and_progress_never_goes_backwards(clock):
    service = Service(
        clock, QUEUED, QUEUED, running(None), running(20), running(10), running(20), running(65), running(None), DONE
    )
    told = []

    async def on_change(report):
        told.append((report.status, report.progress))

    async with opened(service, clock) as waiting:
        await waiting.wait(TASK, 10, on_change)
    assert told == [("queued", 0), ("in_progress", 0), ("in_progress", 20), ("in_progress", 65), ("completed", 100)]


async def test_a_progress_that_nobody_told_stays_unknown(by_hand):
    service = Service(by_hand, running(None))
    async with opened(service, by_hand) as waiting:
        for _ in range(3):
            assert (await waiting.wait(TASK, 0)).progress is None
            by_hand.move(POLL)


async def test_a_waiter_that_comes_late_is_told_what_is_known(by_hand):
    service = Service(by_hand, running(40))
    told = []

    async def on_change(report):
        told.append(report.progress)

    async with opened(service, by_hand) as waiting:
        await waiting.wait(TASK, 0)
        await waiting.wait(TASK, SHORT, on_change)
    assert told == [40]


async def test_a_listener_that_hangs_does_not_hold_up_the_answer(clock):
    async def on_change(_):
        await anyio.sleep_forever()

    async with opened(Service(clock, running(40)), clock) as waiting:
        with anyio.fail_after(2):
            assert (await waiting.wait(TASK, SHORT, on_change)).progress == 40


async def test_a_change_during_a_slow_listener_is_not_missed(by_hand):
    service = Service(by_hand, running(40), DONE)
    told = []

    async def on_change(report):
        told.append(report.status)
        if report.status == "in_progress":
            await settle()
            by_hand.move(POLL)
            await settle()

    async with opened(service, by_hand) as waiting:
        with anyio.fail_after(2):
            assert await waiting.wait(TASK, 50, on_change) == DONE
    assert told == ["in_progress", "completed"]


async def test_a_listener_that_fails_ends_only_its_own_call(by_hand):
    async def on_change(_):
        raise ConnectionError

    service = Service(by_hand, running(40))
    async with opened(service, by_hand) as waiting:
        with pytest.raises(ConnectionError):
            await waiting.wait(TASK, 50, on_change)
        assert (await waiting.wait(TASK, 0)).progress == 40


# Memory


async def test_what_is_forgotten_is_asked_about_anew_when_it_is_due(by_hand):
    newer = replace(DONE, urls=("https://files.example/b.mp4",))
    service = Service(by_hand, DONE, newer)
    async with opened(service, by_hand) as waiting:
        waiting.forget("never_seen")
        assert waiting.known(TASK) is None
        await waiting.wait(TASK, 0)
        for _ in range(20):
            waiting.forget(TASK)
            assert await waiting.wait(TASK, 0) == DONE
        by_hand.move(POLL)
        waiting.forget(TASK)
        assert waiting.known(TASK) is None
        assert await waiting.wait(TASK, 0) == newer
        assert waiting.known(TASK) == newer
    assert service.gaps == [POLL]


async def test_forgetting_does_not_break_a_back_off(by_hand):
    service = Service(by_hand, refused(60), DONE)
    async with opened(service, by_hand) as waiting:
        with pytest.raises(RateLimited):
            await waiting.wait(TASK, 0)
        waiting.forget(TASK)
        with pytest.raises(RateLimited):
            await waiting.wait(TASK, 0)
    assert len(service.asked) == 1


async def test_the_memory_of_tasks_is_bounded_and_keeps_the_newest(clock):
    service = Service(clock, DONE)
    async with opened(service, clock) as waiting:
        for number in range(TASKS_REMEMBERED + 50):
            await waiting.wait(f"video_{number}", 0)
        remembered = [number for number in range(TASKS_REMEMBERED + 50) if waiting.known(f"video_{number}")]
        assert remembered == list(range(50, TASKS_REMEMBERED + 50))


async def test_a_task_that_is_waited_for_is_never_dropped(by_hand):
    service = Service(by_hand, running(1))
    tasks = [f"video_{number}" for number in range(TASKS_REMEMBERED + 10)]
    async with opened(service, by_hand) as waiting, anyio.create_task_group() as callers:
        for task_id in tasks:
            callers.start_soon(waiting.wait, task_id, 50)
        await settle()
        for task_id in tasks:
            callers.start_soon(waiting.wait, task_id, 50)
        await settle()
        assert [task_id for task_id, _ in service.asked] == tasks
        callers.cancel_scope.cancel()


async def test_waiters_whose_poller_was_stopped_with_the_server_go_at_their_deadline(by_hand):
    service = Service(by_hand, running(1))
    reports = []
    with anyio.fail_after(2):
        async with anyio.create_task_group() as callers:
            async with anyio.create_task_group() as server:
                waiting = Waiting(service, server, poll_seconds=POLL, clock=by_hand, sleep=by_hand.sleep)

                async def call():
                    reports.append(await waiting.wait(TASK, SHORT))

                callers.start_soon(call)
                await settle()
                server.cancel_scope.cancel()
            assert waiting._watches[TASK].poller is None
            assert not reports
    assert [report.progress for report in reports] == [1]


async def test_a_crowd_that_comes_and_goes_never_asks_too_often(clock):
    """Callers of every patience, cancelled at random, against a service that fails at random."""
    chance = random.Random(20_260_901)  # noqa: S311 - to be run again, no secret
    service = Service(clock, running(1))
    outcomes = [lambda: running(chance.randrange(100)), down, lambda: Hangs, lambda: refused(chance.choice([None, 7]))]

    async def ask(task_id):
        service.answers = [chance.choices(outcomes, [6, 1, 1, 1])[0]()]
        return await service(task_id)

    async with opened(ask, clock) as waiting, anyio.create_task_group() as callers:

        async def call():
            with anyio.move_on_after(chance.random() / 200):
                try:
                    await waiting.wait(TASK, chance.choice([0, 0.005, 0.01, 50]))
                except (RateLimited, UpstreamUnavailable):
                    return

        for _ in range(400):
            callers.start_soon(call)
            await anyio.sleep(chance.choice([0, 0, 0.001, 0.002]))
    assert len(service.asked) > 50
    assert min(service.gaps) >= POLL
    assert service.most_at_once == 1
    assert service.under_way == 0


@pytest.mark.parametrize(
    ("report", "final"),
    [(None, False), (QUEUED, False), (running(100), False), (LINKLESS, False), (DONE, True), (FAILED, True)],
)
def test_what_is_final(report, final):
    assert is_final(report) is final


async def test_the_usual_clock_and_jitter_are_those_of_the_event_loop():
    asked = []

    async def ask(task_id):
        asked.append(anyio.current_time())
        return running(1) if len(asked) < 3 else replace(DONE, id=task_id)

    async with anyio.create_task_group() as task_group:
        waiting = Waiting(ask, task_group, poll_seconds=0.02)
        assert (await waiting.wait(TASK, 5)).status == "completed"
    assert asked[1] - asked[0] >= 0.0199
    assert asked[2] - asked[1] >= 0.0199
