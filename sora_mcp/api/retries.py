"""When to ask once more, and how long to wait before it. For questions and uploads only, never for an order."""

import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio

from sora_mcp.api.refusals import ASK_LATER
from sora_mcp.errors import RateLimited, SoraMcpError, UpstreamInvalid, UpstreamUnavailable

BASE_SECONDS = 0.5
CAP_SECONDS = 8.0
MAX_UNREADABLE = 3
"""Answers that cannot be understood before giving up: they seldom mend, unlike an overload."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Transient(Exception):
    """An attempt that failed in a way that may pass; ``error`` is what to raise when no attempt is left."""

    def __init__(self, error: SoraMcpError, retry_after: float | None = None) -> None:
        """``retry_after``: seconds that the service asked to wait, already checked."""
        super().__init__(error.code)
        self.error = error
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Retries:
    """Asks until an answer comes, the attempts are used up or the time is over.

    ``clock`` gives seconds, ``sleep`` waits for seconds, ``random`` gives a number from 0 to 1.
    """

    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]

    async def ask(self, attempt: Callable[[], Awaitable[T]], *, attempts: int, deadline: float) -> T:
        """Call ``attempt`` until it returns, at most ``attempts`` times and ``deadline`` seconds in all.

        Pauses have full jitter: anything from nothing to 0.5, 1, 2 ... 8 s. A ``Retry-After`` is waited out instead
        when it fits into the time that is left; when it does not, the error is raised at once.

        Raises:
            SoraMcpError: The last attempt's error, or the first one that will not pass.
        """
        ends = self.clock() + deadline
        last: SoraMcpError | None = None
        unreadable = 0
        # The scope holds however slowly an answer dribbles in; the clock decides whether a pause is worth starting.
        with anyio.move_on_after(deadline):
            for number in range(1, max(1, attempts) + 1):
                try:
                    return await attempt()
                except Transient as transient:
                    last, wait = transient.error, transient.retry_after
                unreadable += isinstance(last, UpstreamInvalid)
                pause = wait or self.random() * min(CAP_SECONDS, BASE_SECONDS * 2 ** (number - 1))
                if number >= attempts or unreadable >= MAX_UNREADABLE or self.clock() + pause >= ends:
                    break
                logger.debug("attempt %d ended in %s; the next one in %.2f s", number, last.code, pause)
                await self.sleep(pause)
        if last is None:
            raise UpstreamUnavailable(
                f"The service did not answer within {math.ceil(deadline)} seconds.",
                ASK_LATER,
            )
        raise last


def is_transient(error: SoraMcpError, status_code: int) -> bool:
    """Whether an answer's error may pass: overload, a server's fault, or a success that cannot be understood."""
    if isinstance(error, UpstreamInvalid):
        return 200 <= status_code < 300  # noqa: PLR2004
    return isinstance(error, RateLimited | UpstreamUnavailable)
