import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sora_mcp.api.responses import read_balance, read_models, read_order, read_task, read_upload
from sora_mcp.models import Balance, Failure, TaskReport, Uploaded

LINK = "https://files.toapis.test/v.mp4?sig=1"
NAMES = ["id", "task_id", "status", "data", "result", "url", "videos", "error", "metadata", "progress", "message", "x"]
STATUSES = ["completed", "failed", "queued", "success", "odd", " FAILURE "]

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.sampled_from(STATUSES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=25,
)


def done(**fields):
    return {"id": "video_1", "status": "completed", **fields}


def test_the_reply_to_an_order_as_documented():
    payload = {
        "id": "video_01K8",
        "object": "generation.task",
        "model": "sora-2-official",
        "status": "queued",
        "progress": 0,
        "created_at": 1768380224,
        "metadata": {"size": "1280x720", "seconds": "12"},
    }
    assert read_order(payload) == TaskReport(
        id="video_01K8",
        status="queued",
        progress=0,
        model="sora-2-official",
        created_at=1768380224,
        size="1280x720",
        seconds="12",
    )


def test_the_reply_to_a_remix_as_documented():
    report = read_order(
        {
            "id": "video_68ff",
            "object": "video",
            "status": "queued",
            "remixed_from_video_id": "video_1",
            "seconds": 8,
            "size": "1280x720",
        }
    )
    assert (report.remixed_from_video_id, report.seconds, report.size) == ("video_1", "8", "1280x720")


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"id": "a", "task_id": "b"}, "a"),
        ({"task_id": "b", "data": {"id": "c"}}, "b"),
        ({"data": {"id": "c", "task_id": "d"}}, "c"),
        ({"data": {"task_id": "d"}}, "d"),
        ({"code": 200, "data": [{"status": "submitted", "task_id": "e"}]}, "e"),
        ({"data": [{"id": "f"}]}, "f"),
        ({"data": [{"task_id": "g", "id": "h"}, {"task_id": "i"}]}, "g"),
        ({"id": "", "task_id": "b"}, "b"),
        ({"id": 4711}, "4711"),
        ([{"id": "j"}], "j"),
        ({"id": "k", "status": "failed", "error": {"message": "x"}}, "k"),
        ({"id": "l", "status": "no_such_status"}, "l"),
        ({"id": "m", "status": 7}, "m"),
    ],
)
def test_an_order_is_a_task_as_soon_as_there_is_an_id(payload, expected):
    assert read_order(payload).id == expected


@pytest.mark.parametrize("payload", [None, [], {}, "video_1", {"id": None}, {"id": True}, {"error": {"message": "x"}}])
def test_an_order_without_an_id_is_no_task(payload):
    assert read_order(payload) is None


@pytest.mark.parametrize(
    ("word", "status"),
    [
        *((word, "queued") for word in ("pending", "queued", "submitted", "not_start", "NOT_START")),
        *((word, "in_progress") for word in ("in_progress", "processing", " Running ")),
        *((word, "completed") for word in ("completed", "succeeded", "SUCCESS")),
        *((word, "failed") for word in ("failed", "FAILURE", "error", "cancelled", "canceled", "expired")),
    ],
)
def test_every_known_status(word, status):
    assert read_task({"id": "a", "status": word}).status == status


@pytest.mark.parametrize(("progress", "status"), [(0, "queued"), (None, "queued"), ("40%", "in_progress")])
def test_an_unknown_status_is_pending_and_reported_cleaned(progress, status):
    seen = []
    payload = {"id": "a", "status": "Brand\x1b[31m new " + "x" * 100, "progress": progress}
    assert read_task(payload, on_unknown_status=seen.append).status == status
    assert seen == ["brand[31m new " + "x" * 25 + "…"]


def test_a_status_that_is_a_link_is_not_reported_as_one():
    seen = []
    read_task({"id": "a", "status": "see https://files.test/v.mp4?sig=secret"}, on_unknown_status=seen.append)
    assert seen == ["see [link]"]


def test_a_full_progress_is_no_completion():
    assert read_task({"id": "a", "status": "in_progress", "progress": 100}).status == "in_progress"


@pytest.mark.parametrize(
    "payload",
    [
        {"code": "success", "message": "", "data": {"task_id": "a", "status": "SUCCESS", "url": LINK}},
        {"data": [{"task_id": "a", "status": "SUCCESS", "url": LINK}]},
        {"status": "success", "data": {"id": "a", "status": "completed", "data": {"url": LINK}}},
        {"data": {"id": "a", "status": "completed"}, "result": {"url": LINK}},
        [{"id": "a", "status": "completed", "url": LINK}],
        {"id": "a", "status": "completed", "url": LINK, "data": {"status": "queued"}},
        {"id": "evt", "data": {"task_id": "a", "status": "SUCCESS", "result": {"data": [{"url": LINK}]}}},
    ],
)
def test_envelopes_are_opened(payload):
    report = read_task(payload)
    assert (report.id, report.status, report.urls) == ("a", "completed", (LINK,))


def test_a_status_without_an_id_belongs_to_the_task_that_was_asked_for():
    assert read_task({"status": "queued"}, asked_id="smcp-1").id == "smcp-1"
    assert read_task({"status": "queued"}) is None


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        "completed",
        {"id": "a"},
        {"id": "a", "status": None},
        {"id": "a", "status": 404},
        {"id": "a", "status": "  "},
        {"error": {"code": "x", "message": "y"}},
        {"success": False, "message": "no"},
        {"status": "error", "message": "internal"},
        {"data": [{"status": "queued"}, {"status": "failed"}]},
    ],
)
def test_what_is_no_task(payload):
    assert read_task(payload, asked_id="video_1") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"result": {"type": "video", "data": [{"url": LINK, "format": "mp4"}]}},
        {"result": {"data": {"url": LINK}}},
        {"result": {"videos": [{"url": LINK}]}},
        {"result": {"videos": [{"url": [LINK]}]}},
        {"result": {"videos": [LINK]}},
        {"result": {"url": LINK}},
        {"video_url": LINK},
        {"url": LINK},
        {"metadata": {"url": LINK}},
        {"metadata": {"video_url": LINK}},
        {"url": LINK, "video_url": LINK, "result": {"data": [{"url": "file:///v.mp4"}]}},
    ],
)
def test_the_link_is_found_wherever_it_is(fields):
    assert read_task(done(**fields)).urls == (LINK,)


def test_several_links_are_kept_in_the_order_of_belief():
    links = [f"https://files.test/{n}" for n in range(8)]
    payload = done(
        metadata={"video_url": links[7], "url": links[6]},
        url=links[5],
        video_url=links[4],
        result={
            "url": links[3],
            "videos": [{"url": [links[2]]}],
            "data": [{"url": links[0]}, {"url": links[1]}, {"url": links[0]}],
        },
    )
    assert read_task(payload).urls == tuple(links)


def test_completed_without_a_link_stays_completed():
    report = read_task(done(result=None))
    assert (report.status, report.urls, report.failure) == ("completed", (), None)


def test_links_of_an_unfinished_task_are_not_results():
    assert read_task({"id": "a", "status": "queued", "url": LINK}).urls == ()


@pytest.mark.parametrize(
    ("fields", "expires_at"),
    [
        ({"completed_at": 1768380224}, 1768380224 + 86400),
        ({"completed_at": 1768380224, "expires_at": 1768400000}, 1768400000),
        ({"completed_at": 1768380224, "expires_at": -1}, 1768380224 + 86400),
        ({"completed_at": "1768380224000"}, 1768380224 + 86400),
        ({}, None),
    ],
)
def test_a_link_lives_a_day_unless_told(fields, expires_at):
    assert read_task(done(**fields)).expires_at == expires_at


@pytest.mark.parametrize(
    ("fields", "failure"),
    [
        (
            {"error": {"code": "generation_failed", "message": "bad"}, "type": "video"},
            Failure("generation_failed", "bad"),
        ),
        ({"error": {"code": 500, "message": '{"error":{"message":"deep"}}'}}, Failure("500", "deep")),
        ({"error": "a face in the image"}, Failure("generation_failed", "a face in the image")),
        ({"error": None, "fail_reason": "额度不足"}, Failure("generation_failed", "额度不足")),
        ({"result": {"error": {"code": "x", "message": "y"}}}, Failure("x", "y")),
        ({}, Failure("generation_failed", "The service gave no reason.")),
        ({"status": "cancelled"}, Failure("cancelled", "The service gave no reason.")),
        ({"error": {"code": "\x00", "message": "\u202eabc\x1b"}}, Failure("generation_failed", "abc")),
    ],
)
def test_why_a_task_failed(fields, failure):
    assert read_task({"id": "a", "status": "failed", **fields}).failure == failure


def test_an_error_beside_the_task_in_an_envelope_is_found():
    payload = {"data": {"id": "a", "status": "FAILURE"}, "error": {"code": "x", "message": "y"}}
    assert read_task(payload).failure == Failure("x", "y")


def test_the_handle_of_the_order_is_read_back():
    assert read_task({"id": "a", "status": "queued", "client_business_id": "smcp-1"}).client_business_id == "smcp-1"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (
            {
                "success": True,
                "message": "",
                "data": {"id": "upload_1", "url": LINK, "mime_type": "image/jpeg", "size": 89234},
            },
            Uploaded("upload_1", LINK, "image/jpeg", 89234),
        ),
        ({"data": [{"url": LINK, "size": "12"}]}, Uploaded("", LINK, None, 12)),
        ({"url": LINK, "size": -1}, Uploaded("", LINK, None, None)),
        ({"success": False, "data": {"url": LINK}}, None),
        ({"success": True, "data": {"id": "upload_1"}}, None),
        ({"success": True, "data": {"url": "file:///etc/passwd"}}, None),
        (None, None),
    ],
)
def test_uploads(payload, expected):
    assert read_upload(payload) == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"success": True, "object": "list", "data": [{"id": "a"}, {"id": "b"}, {"id": "a"}]}, ("a", "b")),
        ({"data": ["a", None, 7, {"id": ""}, []]}, ("a", "7")),
        ([{"id": "a"}], ("a",)),
        ({"data": []}, ()),
        ({"data": {}}, None),
        ({"success": False, "data": []}, None),
        (None, None),
    ],
)
def test_models(payload, expected):
    assert read_models(payload) == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (
            {
                "success": True,
                "remain_balance": 5,
                "used_balance": 1,
                "remain_credits": 1000,
                "used_credits": "200",
                "credits_per_usd": 200,
                "unlimited_quota": False,
            },
            Balance(1000.0, 200.0, unlimited=False),
        ),
        ({"data": {"remain_credits": "12.5"}}, Balance(12.5, None)),
        ({"remain_balance": 2, "used_balance": "1", "credits_per_usd": 100}, Balance(200.0, 100.0)),
        ({"remain_balance": 2, "credits_per_usd": 0}, Balance(400.0, None)),
        ({"remain_balance": -1, "used_credits": 3}, Balance(None, 3.0, unlimited=True)),
        ({"unlimited_quota": True, "remain_credits": 9}, Balance(None, None, unlimited=True)),
        ({"remain_credits": 0}, Balance(0.0, None)),
        ({"success": False, "remain_credits": 5}, None),
        ({"success": True}, None),
        ({"remain_credits": float("nan")}, None),
        (None, None),
    ],
)
def test_balances(payload, expected):
    assert read_balance(payload) == expected


@settings(deadline=None)
@given(any_json)
def test_any_json_gives_a_value_or_nothing(payload):
    for report in (read_task(payload, asked_id="a"), read_order(payload)):
        assert report is None or (report.id and report.status in {"queued", "in_progress", "completed", "failed"})
    read_upload(payload)
    read_models(payload)
    read_balance(payload)
