import json
import logging

import anyio
import httpx
import pytest
from pydantic import SecretStr

from sora_mcp import errors
from sora_mcp.api.client import ApiClient
from sora_mcp.api.verdicts import Accepted, NeverSent, Rejected, Throttled, Unknown
from sora_mcp.models import Balance, GenerateRequest, RemixRequest, Uploaded

pytestmark = pytest.mark.anyio

KEY = "sk-canary-0123456789"
PROMPT = "canary-prompt: a lighthouse at dusk"
LINK = "https://files.toapis.test/v.mp4?sig=canary-link"


def order(**fields):
    return GenerateRequest(
        model="sora-2-official", prompt=PROMPT, client_business_id="smcp-" + "0" * 32, **{"duration": 8, **fields}
    )


REMIX = RemixRequest(model="sora-2-official", prompt=PROMPT, client_business_id="smcp-" + "1" * 32)


class Service:
    """Answers in turn; the last answer for ever."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def __call__(self, request):
        self.requests.append(request)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, json=answer)


@pytest.fixture
def talk(make_client):
    def start(*answers):
        service = Service(*answers)
        return make_client(httpx.MockTransport(service)), service

    return start


async def test_an_order_is_sent_as_documented(talk):
    client, service = talk({"id": "video_1", "status": "queued"})
    verdict = await client.generate(order(aspect_ratio="16:9", image_urls=["https://files.toapis.test/a.jpg"]))
    assert isinstance(verdict, Accepted)
    (request,) = service.requests
    assert (request.method, str(request.url)) == ("POST", "https://toapis.test/v1/videos/generations")
    assert json.loads(request.content) == {
        "model": "sora-2-official",
        "prompt": PROMPT,
        "duration": 8,
        "aspect_ratio": "16:9",
        "image_urls": ["https://files.toapis.test/a.jpg"],
        "client_business_id": "smcp-" + "0" * 32,
    }
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["user-agent"].startswith("sora-mcp/0.")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["connection"] == "close"


async def test_a_remix_is_sent_as_documented(talk):
    client, service = talk({"id": "video_2", "status": "queued", "remixed_from_video_id": "video_1"})
    verdict = await client.remix("video/../1 ü", REMIX)
    assert verdict.report.remixed_from_video_id == "video_1"
    (request,) = service.requests
    assert request.url.raw_path == b"/v1/videos/video%2F..%2F1%20%C3%BC/remix"
    assert json.loads(request.content) == REMIX.body()


@pytest.mark.parametrize("video_id", ["", "..", "a\nb", "x" * 201, "\ud800"])
async def test_an_id_that_cannot_be_one_is_never_sent(talk, video_id):
    client, service = talk({})
    verdict = await client.remix(video_id, REMIX)
    assert isinstance(verdict, Rejected)
    assert isinstance(verdict.error, errors.InvalidArgument)
    with pytest.raises(errors.InvalidArgument):
        await client.status(video_id)
    assert service.requests == []


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("late"),
        httpx.PoolTimeout("full"),
        httpx.ProxyError("407"),
        httpx.UnsupportedProtocol("odd"),
    ],
)
async def test_an_order_without_a_connection_was_never_sent(talk, error):
    client, service = talk(error)
    verdict = await client.generate(order())
    assert isinstance(verdict, NeverSent)
    assert isinstance(verdict.error, errors.UpstreamUnavailable)
    assert "Nothing was ordered or charged" in str(verdict.error)
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    "error",
    [
        httpx.ReadError(""),
        httpx.WriteError(""),
        httpx.CloseError(""),
        httpx.ReadTimeout(""),
        httpx.WriteTimeout(""),
        httpx.RemoteProtocolError(""),
        httpx.LocalProtocolError(""),
        httpx.InvalidURL(""),
        RuntimeError(KEY),
        OSError(PROMPT),
    ],
)
async def test_an_order_that_broke_after_the_connection_is_unknown(talk, error):
    client, service = talk(error)
    verdict = await client.generate(order())
    assert isinstance(verdict, Unknown)
    assert "may have been accepted and billed" in str(verdict.error)
    assert "again" not in str(verdict.error)
    assert KEY not in str(verdict.error)
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (httpx.Response(402), Rejected),
        (httpx.Response(503, json={"error": {"code": "model_not_found"}}), Rejected),
        (httpx.Response(307, headers={"Location": "https://evil.test/"}), Unknown),
        *(
            (httpx.Response(302, headers={"Location": location}), Unknown)
            for location in ("https://[bad", "gopher://evil.test", "https:", "https://a b", "\\\\evil", "x" * 70_000)
        ),
        (httpx.Response(502, html="<html>"), Unknown),
        (httpx.Response(200, html="<html>"), Unknown),
    ],
)
async def test_an_order_is_sent_once_whatever_the_answer(talk, response, kind):
    client, service = talk(response)
    assert isinstance(await client.generate(order()), kind)
    assert [request.url.host for request in service.requests] == ["toapis.test"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("Wed, 14 Jan 2026 08:44:04 GMT", 20.0), ("-1", None), ("99999", None), ("soon", None)],
)
async def test_a_throttled_order_carries_the_wait(talk, header, seconds):
    client, _ = talk(httpx.Response(429, headers={"Retry-After": header}))
    verdict = await client.generate(order())
    assert isinstance(verdict, Throttled)
    assert verdict.retry_after_seconds == seconds


async def test_a_status_question_by_either_id(talk):
    client, service = talk({"id": "video_1", "status": "completed", "result": {"data": [{"url": LINK}]}})
    report = await client.status("smcp-" + "0" * 32)
    assert (report.id, report.urls) == ("video_1", (LINK,))
    assert service.requests[0].url.path == "/v1/videos/generations/smcp-" + "0" * 32


async def test_a_wait_asked_for_with_a_status_is_passed_on(talk):
    client, _ = talk(httpx.Response(200, json={"id": "a", "status": "queued"}, headers={"Retry-After": "12.2"}))
    assert (await client.status("video_1")).retry_after_seconds == 13


@pytest.mark.parametrize(
    "first",
    [
        httpx.ReadError(""),
        httpx.ConnectError(""),
        httpx.Response(408),
        httpx.Response(500),
        httpx.Response(502, html="<html>"),
        httpx.Response(429),
        httpx.Response(200, html="<html>"),
        httpx.Response(200, content=b'{"id":"a","sta'),
        httpx.Response(200, json={"error": {"code": "internal_error"}}),
        httpx.Response(200, json=None),
    ],
)
async def test_a_passing_fault_is_asked_through(talk, pauses, first):
    client, service = talk(first, {"id": "a", "status": "queued"})
    assert (await client.status("video_1")).status == "queued"
    assert (len(service.requests), pauses.slept) == (2, [0.5])


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (httpx.Response(404, json={"error": {"code": 404}}), errors.TaskNotFound),
        (httpx.Response(400, json={"message": "task_not_exist"}), errors.TaskNotFound),
        (httpx.Response(401), errors.AuthFailed),
        (httpx.Response(400), errors.UpstreamInvalid),
        (httpx.Response(307, headers={"Location": "https://evil.test/"}), errors.UpstreamInvalid),
    ],
)
async def test_a_lasting_fault_is_raised_at_once(talk, response, error):
    client, service = talk(response)
    with pytest.raises(error):
        await client.status("video_1")
    assert [request.url.host for request in service.requests] == ["toapis.test"]


async def test_a_service_that_stays_down_is_asked_four_times(talk, pauses):
    client, service = talk(httpx.Response(502))
    with pytest.raises(errors.UpstreamUnavailable, match="HTTP 502"):
        await client.status("video_1")
    assert (len(service.requests), pauses.slept) == (4, [0.5, 1, 2])


async def test_an_unreachable_service_says_so(talk):
    client, service = talk(httpx.ConnectError(LINK))
    with pytest.raises(errors.UpstreamUnavailable, match="could not be reached") as raised:
        await client.status("video_1", attempts=2)
    assert len(service.requests) == 2
    assert LINK not in str(raised.value)


async def test_a_long_wait_is_raised_instead_of_slept(talk, pauses):
    client, _ = talk(httpx.Response(429, headers={"Retry-After": "60"}))
    with pytest.raises(errors.RateLimited) as raised:
        await client.status("video_1", deadline=30)
    assert (raised.value.retry_after_seconds, pauses.slept) == (60, [])


async def test_an_unknown_status_is_logged_once_and_without_ids(talk, caplog):
    client, _ = talk({"id": "video_secret", "status": "warming_up"})
    with caplog.at_level(logging.DEBUG, logger="sora_mcp"):
        for _ in range(3):
            assert (await client.status("video_secret")).status == "queued"
    assert [record.getMessage() for record in caplog.records] == [
        "the service used a status that is not known here, taken as pending: 'warming_up'"
    ]


async def test_a_service_that_makes_up_statuses_does_not_fill_the_log(make_client, caplog):
    count = iter(range(1000))
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"id": "a", "status": f"odd_{next(count)}"}))
    client = make_client(transport)
    for _ in range(150):
        await client.status("video_1")
    assert len(caplog.records) == 100


async def test_an_upload_is_multipart_under_a_random_name(talk):
    reply = {
        "success": True,
        "data": {"id": "upload_1", "url": LINK, "mime_type": "image/jpeg", "size": 3},
    }
    client, service = talk(reply)
    assert await client.upload_image(b"\xff\xd8\xff", "image/jpeg") == Uploaded("upload_1", LINK, "image/jpeg", 3)
    await client.upload_image(b"\xff\xd8\xff", "image/jpeg")
    bodies = [request.content for request in service.requests]
    assert service.requests[0].url.path == "/v1/uploads/images"
    assert service.requests[0].headers["content-type"].startswith("multipart/form-data; boundary=")
    assert all(b'name="purpose"\r\n\r\ngeneration\r\n' in body for body in bodies)
    assert all(b"Content-Type: image/jpeg\r\n\r\n\xff\xd8\xff\r\n" in body for body in bodies)
    names = {body.split(b'filename="')[1].split(b'"')[0] for body in bodies}
    assert len(names) == 2
    assert all(len(name) == 36 and name.endswith(b".jpg") for name in names)


async def test_an_upload_is_tried_twice(talk):
    client, service = talk(httpx.ReadError(""), httpx.Response(500), {"data": {"url": LINK}})
    with pytest.raises(errors.UpstreamUnavailable):
        await client.upload_image(b"x", "image/png")
    assert len(service.requests) == 2
    assert (await client.upload_image(b"x", "image/png")).url == LINK


async def test_a_refused_upload_is_tried_once(talk):
    client, service = talk(httpx.Response(400, json={"success": False, "message": "Unsupported image type. Use PNG"}))
    with pytest.raises(errors.UploadFailed) as raised:
        await client.upload_image(b"x", "image/tiff")
    assert raised.value.upstream_message == "Unsupported image type. Use PNG"
    assert len(service.requests) == 1


async def test_models_and_balances(talk):
    client, service = talk(
        {"success": True, "data": [{"id": "sora-2-official"}]},
        {"success": True, "remain_credits": 5},
        {"success": True, "remain_credits": 7},
    )
    assert await client.video_models() == ("sora-2-official",)
    assert await client.key_balance() == Balance(5.0, None)
    assert await client.account_balance() == Balance(7.0, None)
    assert [request.url.raw_path for request in service.requests] == [
        b"/v1/models?type=video",
        b"/v1/balance",
        b"/v1/user/balance",
    ]


@pytest.mark.parametrize(
    ("message", "error"),
    [("无效的令牌", errors.AuthFailed), ("余额不足", errors.InsufficientBalance), ("odd", errors.UpstreamInvalid)],
)
async def test_a_balance_that_fails_with_200_is_an_error(talk, message, error):
    client, _ = talk({"success": False, "message": message})
    with pytest.raises(error) as raised:
        await client.key_balance()
    assert raised.value.upstream_message == message


async def test_an_empty_answer_to_models_is_no_answer(talk):
    client, _ = talk({"success": True})
    with pytest.raises(errors.UpstreamInvalid):
        await client.video_models()


async def test_an_echoed_key_never_comes_back(talk):
    client, _ = talk(httpx.Response(401, json={"error": {"message": f"Invalid token {KEY} at {LINK}"}}))
    with pytest.raises(errors.AuthFailed) as raised:
        await client.status("video_1")
    assert raised.value.upstream_message == "Invalid token [key] at [link]"


async def test_a_key_too_short_to_be_one_leaves_answers_alone():
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"id": "abc", "status": "queued"}))
    client = ApiClient(base_url="https://toapis.test", api_key=SecretStr("abc"), transport=transport)
    assert (await client.status("abc")).id == "abc"


async def test_an_asgi_app_can_stand_in_for_the_service(make_client):
    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"id":"video_1",', "more_body": True})
        await send({"type": "http.response.body", "body": b'"status":"queued"}'})

    client = make_client(httpx.ASGITransport(app))
    assert isinstance(await client.generate(order()), Accepted)
    assert (await client.status("video_1")).status == "queued"


async def test_an_app_that_crashes_leaves_an_order_unknown(make_client):
    async def app(_scope, _receive, _send):
        raise ZeroDivisionError

    assert isinstance(await make_client(httpx.ASGITransport(app)).generate(order()), Unknown)


async def test_nothing_secret_is_logged_or_shown(talk, caplog):
    failing = httpx.Response(502, json={"error": {"message": f"{KEY} {LINK}"}})
    answers = [failing, failing, failing, {"id": "video_1", "status": "completed", "url": LINK}]
    client, _ = talk(*answers)
    with caplog.at_level(logging.DEBUG, logger="sora_mcp"):
        verdict = await client.generate(order())
        report = await client.status("video_1")
    assert report.urls == (LINK,)
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert "attempt 1 ended in upstream_unavailable" in logged
    for text in (logged, repr(client), repr(verdict), str(verdict.error)):
        assert KEY not in text
        assert PROMPT not in text
        assert "canary-link" not in text


@pytest.mark.parametrize("key", ["", "sk with space", "sk-ü", "sk-\n"])
def test_a_key_that_no_header_can_carry_is_refused_unseen(key):
    with pytest.raises(errors.AuthFailed) as raised:
        ApiClient(base_url="https://toapis.test", api_key=SecretStr(key))
    assert not key or key not in str(raised.value)


def test_a_base_address_that_is_none_is_refused():
    with pytest.raises(errors.InvalidArgument):
        ApiClient(base_url="https://toapis.test:port", api_key=SecretStr(KEY))


async def test_a_closed_client_sends_nothing(talk):
    client, service = talk({"id": "a", "status": "queued"})
    await client.status("video_1")
    await client.aclose()
    assert isinstance(await client.generate(order()), NeverSent)
    with pytest.raises(errors.UpstreamUnavailable):
        await client.status("video_1")
    assert len(service.requests) == 1


async def test_cancellation_passes_through_an_order_and_a_question(make_client):
    async def hang(_request):
        await anyio.sleep_forever()

    client = make_client(httpx.MockTransport(hang))
    for call in (client.generate(order()), client.status("video_1"), client.upload_image(b"x", "image/png")):
        with anyio.move_on_after(0.02) as scope:
            await call
        assert scope.cancelled_caught


async def test_cookies_are_neither_kept_nor_sent(talk):
    crumb = {"Set-Cookie": "edge=1; Path=/; expires=Thu, 01 Jan 99999 00:00:00 GMT"}
    client, service = talk(httpx.Response(200, json={"id": "a", "status": "queued"}, headers=crumb))
    await client.status("video_1")
    await client.status("video_1")
    assert "cookie" not in service.requests[1].headers
