import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora_mcp.answers import LOST_NOTE, SIMULATED_NOTE, task_answer
from sora_mcp.journal import Order
from sora_mcp.models import Failure, Task, TaskReport

ORDER_ID = "smcp-" + "0" * 32
LINK = "https://files.example/a.mp4"


def order(**changes):
    values = {
        "order_id": ORDER_ID,
        "kind": "generate",
        "fingerprint": "f",
        "model": "sora-2-official",
        "prompt": "canary prompt",
        "seconds": 8,
        "aspect_ratio": "16:9",
        "size": "1280x720",
        "request": {"take": 1},
        "remixed_from_video_id": None,
        "state": "accepted",
        "task_id": "video_01",
        "status": "queued",
        "progress": 0,
        "created_at": 1_768_380_224,
        "sent_at": 1_768_380_224.5,
        "updated_at": 1_768_380_224.5,
        "completed_at": None,
        "expires_at": None,
        "error_code": None,
        "error_message": None,
        "saved_path": None,
        "saved_size": None,
        "saved_sha256": None,
    }
    return Order(**values | changes)


def answered(our_note, report=None, *, simulated=False, notes=None):
    """What is told, absent fields left out."""
    task = task_answer(our_note, report, retry_after_seconds=7, simulated=simulated, notes=notes)
    return task.model_dump(exclude_none=True)


def test_a_new_order_is_told_in_the_fields_of_the_api():
    assert answered(order()) == {
        "id": "video_01",
        "object": "generation.task",
        "model": "sora-2-official",
        "status": "queued",
        "progress": 0,
        "created_at": 1_768_380_224,
        "metadata": {"size": "1280x720", "seconds": "8"},
        "retry_after_seconds": 7,
    }


def test_a_completed_task_is_told_with_all_that_both_know():
    report = TaskReport(
        "video_01",
        "completed",
        97,
        completed_at=1_768_380_500,
        expires_at=1_768_466_900,
        urls=(LINK, f"{LINK}?2"),
        retry_after_seconds=30,
    )
    assert answered(order(saved_path="/videos/a.mp4", status="in_progress", progress=60), report) == {
        "id": "video_01",
        "object": "generation.task",
        "model": "sora-2-official",
        "status": "completed",
        "progress": 100,
        "created_at": 1_768_380_224,
        "metadata": {"size": "1280x720", "seconds": "8"},
        "completed_at": 1_768_380_500,
        "expires_at": 1_768_466_900,
        "result": {"type": "video", "data": [{"url": LINK, "format": "mp4"}, {"url": f"{LINK}?2", "format": "mp4"}]},
        "saved_path": "/videos/a.mp4",
    }


def test_where_both_know_a_thing_the_services_word_counts():
    report = TaskReport(
        "video_01",
        "in_progress",
        40,
        model="sora-2-vvip",
        created_at=2,
        size="720x1280",
        seconds="4",
        remixed_from_video_id="video_b",
    )
    told = answered(order(remixed_from_video_id="video_a"), report)
    assert told["model"] == "sora-2-vvip"
    assert told["created_at"] == 2
    assert told["metadata"] == {"size": "720x1280", "seconds": "4"}
    assert told["remixed_from_video_id"] == "video_b"


def test_what_the_service_leaves_out_is_told_from_our_note():
    noted = order(remixed_from_video_id="video_a", progress=30, status="in_progress", completed_at=5, expires_at=86_405)
    told = answered(noted, TaskReport("video_01", "completed", size="1x1", urls=(LINK,)))
    assert told["remixed_from_video_id"] == "video_a"
    assert told["metadata"] == {"size": "1280x720", "seconds": "8"}
    assert (told["completed_at"], told["expires_at"]) == (5, 86_405)


def test_a_task_ordered_elsewhere_is_told_from_the_report_alone():
    assert answered(None, TaskReport("video_02", "in_progress")) == {
        "id": "video_02",
        "object": "generation.task",
        "status": "in_progress",
        "progress": 0,
        "retry_after_seconds": 7,
    }


@given(
    noted=st.integers(0, 100),
    told=st.none() | st.integers(0, 100),
    status=st.sampled_from(["queued", "in_progress"]),
)
def test_progress_never_falls_behind_what_was_noted(noted, told, status):
    progress = answered(order(progress=noted), TaskReport("video_01", status, told))["progress"]
    assert progress == max(noted, told or 0)


def test_a_completed_task_without_a_link_has_no_result():
    told = answered(order(), TaskReport("video_01", "completed"))
    assert told["progress"] == 100
    assert "result" not in told


def test_a_failed_task_says_why_and_asks_for_no_new_question():
    report = TaskReport("video_01", "failed", 40, failure=Failure("generation_failed", "Too hard."))
    told = answered(order(progress=60), report)
    assert told["status"] == "failed"
    assert told["error"] == {"code": "generation_failed", "message": "Too hard."}
    assert "retry_after_seconds" not in told
    assert "result" not in told


def test_a_failure_known_from_our_note_is_told_when_the_service_is_silent_about_it():
    noted = order(status="failed", error_code="moderation", error_message="No faces.")
    assert answered(noted)["error"] == {"code": "moderation", "message": "No faces."}
    assert answered(noted, TaskReport("video_01", "failed"))["error"] == {"code": "moderation", "message": "No faces."}


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        (None, "No faces.", {"code": "generation_failed", "message": "No faces."}),
        ("moderation", None, {"code": "moderation", "message": "The service gave no reason."}),
        (None, None, None),
    ],
)
def test_half_a_reason_is_told_as_far_as_it_goes(code, message, error):
    assert answered(order(status="failed", error_code=code, error_message=message)).get("error") == error


@pytest.mark.parametrize("status", ["queued", "in_progress", "completed"])
def test_an_old_failure_does_not_stick_to_a_task_that_goes_on(status):
    noted = order(status="failed", error_code="moderation", error_message="No faces.")
    assert "error" not in answered(noted, TaskReport("video_01", status, urls=(LINK,)))


def test_an_unconfirmed_order_is_told_under_its_order_id_and_never_to_be_ordered_again():
    told = answered(order(state="unconfirmed", status="unconfirmed", task_id=None), notes=["Another note."])
    assert told["id"] == ORDER_ID
    assert told["status"] == "unconfirmed"
    assert told["retry_after_seconds"] == 7
    assert told["notes"] == [LOST_NOTE, "Another note."]
    assert "Do not order it again" in LOST_NOTE


@pytest.mark.parametrize("state", ["absent", "rejected"])
def test_an_order_that_never_became_a_task_is_failed_and_not_charged(state):
    told = answered(order(state=state, status=None, task_id=None))
    assert told["status"] == "failed"
    assert told["error"] == {
        "code": "submission_failed",
        "message": "The order never reached the service: nothing was charged.",
    }
    assert "retry_after_seconds" not in told


def test_a_refused_order_keeps_the_reason_that_was_noted():
    noted = order(state="rejected", status=None, error_code="content_rejected", error_message="Refused.")
    assert answered(noted)["error"] == {"code": "content_rejected", "message": "Refused."}


def test_an_order_of_unknown_size_has_no_metadata():
    assert "metadata" not in answered(order(kind="remix", size=None))


def test_a_simulated_answer_says_so_after_all_else():
    assert answered(order(), simulated=True)["notes"] == [SIMULATED_NOTE]
    given_notes = ["Only the first is used."]
    assert answered(order(), simulated=True, notes=given_notes)["notes"] == ["Only the first is used.", SIMULATED_NOTE]
    assert given_notes == ["Only the first is used."]


def test_no_answer_holds_the_prompt():
    told = task_answer(order(), None, retry_after_seconds=1, simulated=True)
    assert isinstance(told, Task)
    assert "canary" not in told.model_dump_json()
