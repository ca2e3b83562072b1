"""What became of an order: the five outcomes that decide whether it may be sent once more."""

from dataclasses import dataclass

from sora_mcp.errors import RateLimited, SoraMcpError
from sora_mcp.models import TaskReport


@dataclass(frozen=True, slots=True)
class Accepted:
    """The service answered 2xx with an id: the task exists and will be billed unless it fails."""

    report: TaskReport


@dataclass(frozen=True, slots=True)
class NeverSent:
    """No connection came about, so no byte of the order left: it may be sent once more, under the same order id."""

    error: SoraMcpError


@dataclass(frozen=True, slots=True)
class Rejected:
    """The service said no. Nothing was placed, and the same order would be refused once more."""

    error: SoraMcpError


@dataclass(frozen=True, slots=True)
class Throttled:
    """Too many requests. To be sent once more only after a pause, and after a look-up of the order id.

    ``retry_after_seconds`` is the service's own wish, 0 to 3600, or ``None`` when it gave none that can be used.
    """

    error: RateLimited
    retry_after_seconds: float | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A byte may have left and no clear answer came: the order may be placed and billed. Never to be sent once more."""

    error: SoraMcpError


Verdict = Accepted | NeverSent | Rejected | Throttled | Unknown
