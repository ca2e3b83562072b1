"""The rate limits of api.md, section 7: told in headers on every answer, enforced only when asked for."""

from dataclasses import dataclass

PER_SECOND = {"submit": 5, "query": 50}
PER_MINUTE = {"submit": 300, "query": 3000}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a caller stands after one more request: ``retry_after`` is in seconds, 0 while within the limits."""

    headers: dict[str, str]
    retry_after: int


class RateLimits:
    """Counts requests of the account in whole seconds and minutes of the clock."""

    def __init__(self) -> None:
        """Start with nothing used."""
        self._counts: dict[str, tuple[int, int]] = {}

    def count(self, category: str, now: float) -> Standing:
        """Count one request of ``submit`` or ``query`` at Unix time ``now``."""
        in_second = self._add(f"{category}/s", int(now))
        minute = int(now // 60)
        in_minute = self._add(f"{category}/min", minute)
        reset = (minute + 1) * 60
        if in_minute > PER_MINUTE[category]:
            retry_after = max(1, reset - int(now))
        else:
            retry_after = 1 if in_second > PER_SECOND[category] else 0
        headers = {
            "X-RateLimit-Limit": str(PER_MINUTE[category]),
            "X-RateLimit-Remaining": str(max(0, PER_MINUTE[category] - in_minute)),
            "X-RateLimit-Reset": str(reset),
            "X-RateLimit-Category": category,
        }
        return Standing(headers, retry_after)

    def _add(self, name: str, window: int) -> int:
        last, count = self._counts.get(name, (window, 0))
        count = count + 1 if last == window else 1
        self._counts[name] = (window, count)
        return count
