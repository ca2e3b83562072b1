import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sora_mcp import errors
from sora_mcp.api.orders import judge
from sora_mcp.api.verdicts import Accepted, NeverSent, Rejected, Throttled, Unknown


def coded(code, message="words"):
    return json.dumps({"error": {"code": code, "message": message}}).encode()


@pytest.mark.parametrize("status", [200, 201, 202, 299])
@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"video_1","status":"queued"}',
        b'{"code":200,"data":[{"status":"submitted","task_id":"video_1"}]}',
        b'{"id":"video_1","status":"failed","error":{"code":"x","message":"y"}}',
        b'{"id":"video_1","status":"brand_new"}',
        b'{"id":"video_1"}',
    ],
)
def test_a_success_with_an_id_is_accepted(status, body):
    verdict = judge(status, body, "order")
    assert isinstance(verdict, Accepted)
    assert verdict.report.id == "video_1"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>ok</html>",
        b'{"id":"video_1","stat',
        b"[" * 50_000,
        b'{"id":"\xff\xfe"}',
        b'{"status":"queued"}',
        b'{"id":""}',
        b'{"success":false,"message":"busy"}',
        coded("insufficient_quota"),
        coded("model_not_found"),
    ],
)
def test_a_success_without_an_id_is_unknown(body):
    verdict = judge(200, body, "order")
    assert isinstance(verdict, Unknown)
    assert isinstance(verdict.error, errors.UpstreamInvalid)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, b"{}", errors.SubmissionFailed),
        (400, coded("internal_error"), errors.SubmissionFailed),
        (401, b"<html>", errors.AuthFailed),
        (402, b"", errors.InsufficientBalance),
        (403, b"", errors.AuthFailed),
        (404, b"", errors.SubmissionFailed),
        (405, b"", errors.SubmissionFailed),
        (410, b"", errors.ModelUnavailable),
        (413, b"", errors.SubmissionFailed),
        (415, b"", errors.SubmissionFailed),
        (422, coded("content_policy_violation"), errors.ContentRejected),
        (422, b'{"trunc', errors.ContentRejected),
        (503, coded("model_not_found"), errors.ModelUnavailable),
        (429, coded("insufficient_quota"), errors.InsufficientBalance),
    ],
)
def test_a_clear_no_is_rejected(status, body, error):
    verdict = judge(status, body, "order")
    assert isinstance(verdict, Rejected)
    assert type(verdict.error) is error


def test_a_remix_of_a_missing_video_is_rejected():
    assert isinstance(judge(404, b"{}", "remix").error, errors.TaskNotFound)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, b""),
        (429, b"<html>"),
        (429, coded("rate_limit_exceeded")),
        (429, coded("model_not_found")),
        (503, coded("rate_limit_unavailable")),
    ],
)
def test_too_many_requests_are_throttled(status, body):
    verdict = judge(status, body, "order", retry_after=7.5)
    assert isinstance(verdict, Throttled)
    assert isinstance(verdict.error, errors.RateLimited)
    assert (verdict.retry_after_seconds, verdict.error.retry_after_seconds) == (7.5, 8)


@pytest.mark.parametrize(
    "status", [300, 302, 307, 308, 406, 408, 409, 418, 425, 451, 500, 501, 502, 503, 504, 520, 599]
)
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"id":"video_1","status":"queued"}', coded("insufficient_quota"), coded("invalid_request")],
)
def test_anything_else_is_unknown_and_invites_nothing(status, body):
    verdict = judge(status, body, "order")
    assert isinstance(verdict, Unknown)
    assert "again" not in str(verdict.error)
    assert "may have been accepted and billed" in str(verdict.error)


def test_a_500_that_names_a_missing_model_is_still_unknown():
    assert isinstance(judge(500, coded("model_not_found"), "order"), Unknown)


@settings(deadline=None)
@given(st.integers(100, 999), st.binary(max_size=300), st.none() | st.floats(0, 3600))
def test_any_answer_has_a_verdict(status, body, retry_after):
    verdict = judge(status, body, "order", retry_after)
    assert isinstance(verdict, Accepted | Rejected | Throttled | Unknown)
    assert not isinstance(verdict, NeverSent)
    if status >= 500 or 300 <= status < 400:
        assert isinstance(verdict, Unknown)
