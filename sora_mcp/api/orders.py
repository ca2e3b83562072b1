"""The verdict on an answer to an order (safety.md, section 1, step 4)."""

from collections.abc import Callable
from http import HTTPStatus
from typing import cast

from sora_mcp.api.fields import parse_json
from sora_mcp.api.refusals import Asked, read_error, read_words
from sora_mcp.api.responses import read_order
from sora_mcp.api.verdicts import Accepted, Rejected, Throttled, Unknown, Verdict
from sora_mcp.errors import InsufficientBalance, RateLimited, UpstreamInvalid, UpstreamUnavailable

REJECTED = frozenset({400, 401, 402, 403, 404, 405, 410, 413, 415, 422})
"""Statuses that are a clear no. 410 means a model or route that is gone: there is nothing left to have charged."""

_LOOK_IT_UP = "The order may have been accepted and billed: look it up."


def judge(
    status_code: int,
    body: bytes,
    asked: Asked,
    retry_after: float | None = None,
    on_unknown_status: Callable[[str], None] = lambda _status: None,
) -> Verdict:
    """Tell what became of an order by the answer to it.

    Args:
        status_code: The HTTP status.
        body: Its body, of any kind, cut or whole.
        asked: ``"order"`` or ``"remix"``.
        retry_after: Seconds that the service asked to wait, already checked.
        on_unknown_status: Called with the cleaned word when the task's status is one that nobody knows.
    """
    payload = parse_json(body)
    if 200 <= status_code < 300:  # noqa: PLR2004
        report = read_order(payload, on_unknown_status=on_unknown_status)
        if report is not None:
            return Accepted(report)
        return Unknown(
            UpstreamInvalid(
                "The service answered the order without an id.",
                _LOOK_IT_UP,
                upstream_message=read_words(payload).text or None,
            )
        )
    words = read_words(payload)
    throttled = status_code == HTTPStatus.TOO_MANY_REQUESTS
    rejected = status_code in REJECTED
    if status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        # The two codes with which a server error is a clear word after all.
        throttled = "rate_limit_unavailable" in words.codes
        rejected = "model_not_found" in words.codes
    error = read_error(status_code, body, asked=asked, retry_after=retry_after)
    if throttled and not isinstance(error, InsufficientBalance):  # waiting does not fill an account
        if not isinstance(error, RateLimited):
            error = read_error(HTTPStatus.TOO_MANY_REQUESTS, b"", asked=asked, retry_after=retry_after)
        return Throttled(cast("RateLimited", error), retry_after)
    if rejected or throttled:
        return Rejected(error)
    if 300 <= status_code < 500:  # noqa: PLR2004
        happened = f"The service gave an odd answer to the order (HTTP {status_code})."
        return Unknown(UpstreamInvalid(happened, _LOOK_IT_UP, upstream_message=words.text or None))
    happened = f"The service failed while it took the order (HTTP {status_code})."
    return Unknown(UpstreamUnavailable(happened, _LOOK_IT_UP, upstream_message=words.text or None))
