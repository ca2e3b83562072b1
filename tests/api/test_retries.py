import anyio
import pytest

from sora_mcp.api.retries import Retries, Transient, is_transient
from sora_mcp.errors import AuthFailed, RateLimited, TaskNotFound, UpstreamInvalid, UpstreamUnavailable

pytestmark = pytest.mark.anyio


def down():
    return Transient(UpstreamUnavailable("Down.", "Wait."))


class Attempts:
    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.made = 0

    async def __call__(self):
        self.made += 1
        outcome = self.outcomes[min(self.made, len(self.outcomes)) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
def retries(pauses):
    return Retries(clock=pauses.clock, sleep=pauses.sleep, random=lambda: 1.0)


async def test_an_answer_is_returned_at_once(retries, pauses):
    assert await retries.ask(Attempts("yes"), attempts=4, deadline=25) == "yes"
    assert pauses.slept == []


async def test_pauses_double_up_to_the_cap(retries, pauses):
    attempts = Attempts(*[down() for _ in range(6)], "yes")
    assert await retries.ask(attempts, attempts=7, deadline=100) == "yes"
    assert pauses.slept == [0.5, 1, 2, 4, 8, 8]


async def test_jitter_is_full(pauses):
    retries = Retries(clock=pauses.clock, sleep=pauses.sleep, random=lambda: 0.25)
    await retries.ask(Attempts(down(), down(), "yes"), attempts=4, deadline=25)
    assert pauses.slept == [0.125, 0.25]


async def test_attempts_are_limited_and_the_last_error_is_raised(retries):
    last = Transient(UpstreamUnavailable("Still down.", "Wait."))
    attempts = Attempts(down(), down(), down(), last)
    with pytest.raises(UpstreamUnavailable, match="Still down"):
        await retries.ask(attempts, attempts=4, deadline=25)
    assert attempts.made == 4


async def test_one_attempt_is_one_attempt(retries, pauses):
    attempts = Attempts(down())
    with pytest.raises(UpstreamUnavailable):
        await retries.ask(attempts, attempts=1, deadline=25)
    assert (attempts.made, pauses.slept) == (1, [])


async def test_an_error_that_will_not_pass_is_raised_at_once(retries):
    attempts = Attempts(AuthFailed("No.", "Check."))
    with pytest.raises(AuthFailed):
        await retries.ask(attempts, attempts=4, deadline=25)
    assert attempts.made == 1


async def test_answers_that_cannot_be_understood_are_asked_for_twice_more(retries):
    attempts = Attempts(Transient(UpstreamInvalid("What?", "Wait.")))
    with pytest.raises(UpstreamInvalid):
        await retries.ask(attempts, attempts=10, deadline=100)
    assert attempts.made == 3


async def test_retry_after_is_waited_out(retries, pauses):
    attempts = Attempts(Transient(RateLimited("Slow.", "Wait."), 7.0), "yes")
    assert await retries.ask(attempts, attempts=4, deadline=25) == "yes"
    assert pauses.slept == [7.0]


async def test_a_retry_after_past_the_deadline_is_raised_at_once(retries, pauses):
    attempts = Attempts(Transient(RateLimited("Slow.", "Wait.", retry_after_seconds=60), 60.0), "yes")
    with pytest.raises(RateLimited) as raised:
        await retries.ask(attempts, attempts=4, deadline=25)
    assert (raised.value.retry_after_seconds, pauses.slept, attempts.made) == (60, [], 1)


async def test_no_pause_goes_past_the_deadline(retries, pauses):
    with pytest.raises(UpstreamUnavailable):
        await retries.ask(Attempts(down()), attempts=100, deadline=4)
    assert pauses.slept == [0.5, 1, 2]


async def test_an_attempt_that_hangs_ends_with_the_deadline(retries):
    with anyio.fail_after(5), pytest.raises(UpstreamUnavailable, match="within 1 seconds"):
        await retries.ask(anyio.sleep_forever, attempts=4, deadline=0.05)


async def test_a_second_attempt_that_hangs_gives_the_first_ones_error(retries):
    first = True

    async def attempt():
        nonlocal first
        if first:
            first = False
            raise Transient(UpstreamUnavailable("Down.", "Wait."))
        await anyio.sleep_forever()

    with anyio.fail_after(5), pytest.raises(UpstreamUnavailable, match="Down"):
        await retries.ask(attempt, attempts=4, deadline=0.6)


async def test_cancellation_passes_through(retries):
    with anyio.move_on_after(0.05) as scope:
        await retries.ask(anyio.sleep_forever, attempts=4, deadline=25)
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        (RateLimited("a.", "b."), 429, True),
        (UpstreamUnavailable("a.", "b."), 502, True),
        (UpstreamInvalid("a.", "b."), 200, True),
        (UpstreamInvalid("a.", "b."), 307, False),
        (UpstreamInvalid("a.", "b."), 400, False),
        (TaskNotFound("a.", "b."), 404, False),
        (AuthFailed("a.", "b."), 401, False),
    ],
)
async def test_what_may_pass(error, status, expected):
    assert is_transient(error, status) is expected
