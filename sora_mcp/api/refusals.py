"""What the service means when it says no: its codes, statuses and words, turned into one of our errors.

A code is believed before an HTTP status, a status before words.
"""

import math
import re
from http import HTTPStatus
from typing import Literal

from sora_mcp.api.fields import parse_json
from sora_mcp.api.words import Words, read_words
from sora_mcp.errors import (
    AuthFailed,
    ContentRejected,
    InsufficientBalance,
    ModelUnavailable,
    RateLimited,
    SoraMcpError,
    SubmissionFailed,
    TaskNotFound,
    UploadFailed,
    UpstreamInvalid,
    UpstreamUnavailable,
)

Asked = Literal["order", "remix", "upload", "task", "account"]
"""What the request was for: it decides which errors make sense, and their words."""

Kind = type[SoraMcpError]

ASK_LATER = "This says nothing about any task: ask in a minute."

_CODES: dict[str, Kind] = {
    **dict.fromkeys(("unauthorized", "invalid_api_key", "invalid_token", "authentication_error"), AuthFailed),
    **dict.fromkeys(
        ("insufficient_quota", "insufficient_user_quota", "insufficient_balance", "pre_consume_token_quota_failed"),
        InsufficientBalance,
    ),
    **dict.fromkeys(
        ("content_policy_violation", "moderation_blocked", "content_filter", "sensitive_words_detected"),
        ContentRejected,
    ),
    **dict.fromkeys(("rate_limit_exceeded", "rate_limit_unavailable", "too_many_requests"), RateLimited),
    **dict.fromkeys(
        ("model_not_found", "model_not_available", "model_not_supported", "get_channel_failed"), ModelUnavailable
    ),
    **dict.fromkeys(("task_not_exist", "task_not_found"), TaskNotFound),
}
_GENERIC_CODES: dict[str, Kind] = {
    **dict.fromkeys(("invalid_request", "invalid_request_error", "bad_request"), SubmissionFailed),
    **dict.fromkeys(("internal_error", "internal_server_error", "service_unavailable"), UpstreamUnavailable),
}
_STATUSES: dict[int, Kind] = {
    401: AuthFailed,
    402: InsufficientBalance,
    404: TaskNotFound,
    408: UpstreamUnavailable,
    410: ModelUnavailable,
    425: UpstreamUnavailable,
    429: RateLimited,
}
_GENERIC_STATUSES: dict[int, Kind] = {
    **dict.fromkeys((400, 405, 409, 413, 415), SubmissionFailed),
    403: AuthFailed,
    422: ContentRejected,
}
# Balance before key: "this token's quota is used up" names both. The Chinese texts are, in order: not enough balance,
# not enough quota, quota used up, quota could not be reserved; token not valid, token given none, token out of use;
# sensitive, breach of the rules, moderation; no channel, no such model; no such task; requests too frequent.
_WORDS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    (SubmissionFailed, ("must match the requested width and height", "invalid url")),
    (
        InsufficientBalance,
        (
            "quota is not enough",
            "insufficient quota",
            "insufficient balance",
            "insufficient credit",
            "not enough credit",
            "余额不足",
            "额度不足",
            "额度已用尽",
            "预扣费额度失败",
        ),
    ),
    (
        AuthFailed,
        (
            "invalid token",
            "invalid api key",
            "incorrect api key",
            "unauthorized",
            "无效的令牌",
            "未提供令牌",
            "令牌状态不可用",
        ),
    ),
    (
        ContentRejected,
        (
            "moderation",
            "content policy",
            "content_policy",
            "people-in-user-uploads",
            "safety system",
            "sensitive content",
            "sensitive word",
            "敏感",
            "违规",
            "审核",
        ),
    ),
    (
        ModelUnavailable,
        ("no available channel", "unsupported model", "model_not_found", "无可用渠道", "模型不存在"),
    ),
    (TaskNotFound, ("task_not_exist", "task not exist", "task not found", "task_not_found", "任务不存在")),
    (RateLimited, ("rate limit", "too many requests", "过于频繁")),
    (UpstreamUnavailable, ("heavy load", "负载")),
)

_MODEL_GONE = re.compile(
    r"(the |this |requested ){0,2}model\W{1,3}(\S{1,60} )?(is |was |has been )?"
    r"(not found|not supported|not available|no longer|does not exist|deprecated|retired)"
)

_SAID: dict[Kind, tuple[str, str]] = {
    AuthFailed: (
        "The service does not accept the API key.",
        "Check the key, or make a new one in the service's console.",
    ),
    InsufficientBalance: (
        "The account or the key has too few credits.",
        "Add credits, or raise the key's limit, in the service's console.",
    ),
    ContentRejected: (
        "The service's moderation refused the prompt or the image.",
        "Change it: real people, faces in images, copyrighted characters or music, and adult content are refused.",
    ),
    ModelUnavailable: ("The service does not offer this model.", "Choose a model that it does offer."),
    TaskNotFound: (
        "The service does not know this task.",
        "Check the id; a task made a moment ago may take a minute to show.",
    ),
    SubmissionFailed: (
        "The service refused the order.",
        "Nothing was ordered or charged: correct what it names.",
    ),
    UploadFailed: (
        "The service did not take the image.",
        "Give another image, or the same one in another format or size.",
    ),
    UpstreamInvalid: (
        "The service gave an answer that cannot be understood.",
        ASK_LATER,
    ),
}


def read_error(
    status_code: int, body: bytes, *, asked: Asked = "task", retry_after: float | None = None
) -> SoraMcpError:
    """Turn an answer that is no success into one of our errors.

    Args:
        status_code: The HTTP status; 2xx for an answer that failed all the same.
        body: What came with it, cut or whole, of any kind.
        asked: What the request was for.
        retry_after: Seconds that the service asked to wait, already checked.
    """
    payload = parse_json(body)
    words = read_words(payload)
    kind = _sensible(_classify(status_code, words), asked, status_code, is_json=payload is not None or not body.strip())
    happened, next_step = _say(kind, asked, status_code, words)
    wait = None if retry_after is None else math.ceil(retry_after)
    return kind(happened, next_step, retry_after_seconds=wait, upstream_message=words.text or None)


def _classify(status_code: int, words: Words) -> Kind:
    for code in words.codes:
        if kind := _CODES.get(code):
            return kind
    status = status_code
    if _is_success(status):
        # A failure in a 2xx carries the status that it would have had as its code.
        status = next((int(code) for code in words.codes if re.fullmatch("[45][0-9]{2}", code)), status_code)
    text = words.text.lower()
    by_words = next((kind for kind, marks in _WORDS if any(mark in text for mark in marks)), None)
    if _MODEL_GONE.match(text):
        by_words = ModelUnavailable
    if status == HTTPStatus.NOT_FOUND and by_words in {SubmissionFailed, ModelUnavailable}:
        return by_words  # "invalid URL", "no such model": it is these that are unknown, not the task
    by_code = next((_GENERIC_CODES[code] for code in words.codes if code in _GENERIC_CODES), None)
    return _STATUSES.get(status) or by_words or by_code or _GENERIC_STATUSES.get(status) or _by_status(status)


def _by_status(status_code: int) -> Kind:
    return UpstreamUnavailable if status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else UpstreamInvalid


def _is_success(status_code: int) -> bool:
    return 200 <= status_code < 300  # noqa: PLR2004 - what 2xx means


def _sensible(kind: Kind, asked: Asked, status_code: int, *, is_json: bool) -> Kind:
    """Keep to the errors that can be true of what was asked."""
    if asked in {"order", "remix"}:
        if kind is TaskNotFound and asked == "remix":
            return kind
        return SubmissionFailed if kind in {TaskNotFound, UpstreamUnavailable, UpstreamInvalid} else kind
    if asked == "upload":
        no_word = kind in {TaskNotFound, ModelUnavailable, SubmissionFailed}
        refused = kind is UpstreamInvalid and is_json and not 300 <= status_code < 400  # noqa: PLR2004
        return UploadFailed if no_word or refused else kind
    if kind is TaskNotFound and asked == "task":
        # An edge's "not found" page or a server in distress is no word about the task: to believe it would let an
        # order that was placed count as absent.
        said_so = status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST} or _is_success(status_code)
        return kind if is_json and said_so else _by_status(status_code)
    no_answer = {TaskNotFound, ContentRejected, ModelUnavailable, SubmissionFailed}
    return _by_status(status_code) if kind in no_answer else kind


def _say(kind: Kind, asked: Asked, status_code: int, words: Words) -> tuple[str, str]:
    if kind is UpstreamUnavailable:
        status = f" (HTTP {status_code})" if status_code >= HTTPStatus.BAD_REQUEST else ""
        return f"The service is out of order{status}.", ASK_LATER
    if kind is RateLimited:
        return "The service takes no more requests for the moment.", "Wait as long as it asks, or a minute."
    if kind is TaskNotFound and asked == "remix":
        return "The service does not know the video to remix.", "Give the id of a completed video of this account."
    if kind is SubmissionFailed and "requested width and height" in words.text.lower():
        return (
            "The service refused the order: the reference image has another size than the video.",
            "Nothing was ordered or charged: prepare the image for this aspect ratio and give its new link.",
        )
    if kind is UpstreamInvalid and 300 <= status_code < 400:  # noqa: PLR2004
        return "The service sent us to another address, which is never followed.", "Check the service's base address."
    return _SAID[kind]
