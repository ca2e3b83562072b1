import pytest

from sora_mcp.errors import JournalUnavailable
from sora_mcp.journal import Journal, NotFound
from sora_mcp.models import Failure, TaskReport

pytestmark = pytest.mark.anyio

DAY = 86_400


async def test_an_accepted_order_is_found_by_both_ids(journal, accepted):
    order = await accepted(task_id="video_x")
    assert (order.state, order.status, order.id, order.task_id) == ("accepted", "queued", "video_x", "video_x")
    assert await journal.find("video_x") == await journal.find(order.order_id) == order
    assert await journal.find("video_y") is None


async def test_accepting_again_changes_nothing(journal, accepted, clock):
    order = await accepted(task_id="video_x")
    clock.now += 5
    assert await journal.accept(order.order_id, TaskReport("video_x", "queued")) == order
    assert (await journal.accept(order.order_id, TaskReport("video_other", "queued"))).task_id == "video_x"


async def test_a_handle_that_stood_for_the_task_gives_way_to_its_id(journal, new_order):
    order = new_order()
    await journal.begin(order, daily_seconds=0)
    await journal.accept(order.order_id, TaskReport(order.order_id, "queued"))
    found = await journal.record(TaskReport("video_x", "in_progress", client_business_id=order.order_id))
    assert found.id == "video_x"


async def test_progress_and_status_never_go_backwards(journal, accepted):
    await accepted(task_id="video_x")
    steps = [
        (TaskReport("video_x", "in_progress", progress=40), ("in_progress", 40)),
        (TaskReport("video_x", "queued", progress=10), ("in_progress", 40)),
        (TaskReport("video_x", "in_progress", progress=-5), ("in_progress", 40)),
        (TaskReport("video_x", "in_progress", progress=900), ("in_progress", 100)),
        (TaskReport("video_x", "completed", completed_at=5, expires_at=9), ("completed", 100)),
        (TaskReport("video_x", "in_progress", progress=3), ("completed", 100)),
        (TaskReport("video_x", "failed", failure=Failure("expired", "gone")), ("completed", 100)),
    ]
    for report, expected in steps:
        order = await journal.record(report)
        assert (order.status, order.progress) == expected
    assert (order.completed_at, order.expires_at, order.error_code) == (5, 9, None)


async def test_a_failed_task_stays_failed_unless_it_is_completed_after_all(journal, accepted):
    await accepted(task_id="video_x", seconds=8)
    failed = await journal.record(TaskReport("video_x", "failed", failure=Failure("moderation_blocked", "no")))
    assert (failed.status, failed.error_code, failed.error_message) == ("failed", "moderation_blocked", "no")
    assert await journal.record(TaskReport("video_x", "in_progress")) == failed
    assert await journal.record(TaskReport("video_x", "failed")) == failed
    assert (await journal.ordered_seconds())[0] == 0
    completed = await journal.record(TaskReport("video_x", "completed"))
    assert (completed.status, completed.error_code, completed.error_message) == ("completed", None, None)
    assert (await journal.ordered_seconds())[0] == 8


async def test_a_report_adds_what_it_knows_and_takes_nothing_away(journal, accepted):
    await accepted(task_id="video_x")
    full = TaskReport(
        "video_x", "in_progress", created_at=7, size="720x1280", seconds="12", remixed_from_video_id="video_0"
    )
    order = await journal.record(full)
    assert (order.created_at, order.size, order.seconds, order.remixed_from_video_id) == (7, "720x1280", 12, "video_0")
    assert await journal.record(TaskReport("video_x", "in_progress")) == order


@pytest.mark.parametrize("seconds", ["", "abc", "-4", "0", "99999", "9" * 30, "\u0664"])
async def test_an_absurd_length_is_not_believed(journal, accepted, seconds):
    await accepted(task_id="video_x", seconds=8)
    assert (await journal.record(TaskReport("video_x", "in_progress", seconds=seconds))).seconds == 8


async def test_absurd_figures_and_texts_never_keep_a_task_from_being_written_down(journal, new_order, clock):
    order = new_order()
    await journal.begin(order, daily_seconds=0)
    report = TaskReport(
        "video_x",
        "failed",
        progress=10**30,
        created_at=10**30,
        completed_at=-1,
        expires_at=10**30,
        size="\ud800",
        failure=Failure("\udfff", "\ud83d"),
    )
    kept = await journal.accept(order.order_id, report)
    assert (kept.created_at, kept.completed_at, kept.expires_at) == (int(clock.now), None, None)
    assert (kept.size, kept.error_code, kept.error_message) == ("?", "?", "?")


async def test_a_report_that_says_nothing_new_writes_nothing(journal, accepted, clock):
    order = await accepted(task_id="video_x")
    clock.now += 60
    assert await journal.record(TaskReport("video_x", "queued", progress=0)) == order
    assert (await journal.record(TaskReport("video_x", "queued", progress=1))).updated_at == clock.now


async def test_a_task_from_elsewhere_is_not_recorded(journal):
    assert await journal.record(TaskReport("video_x", "queued", client_business_id="theirs")) is None
    assert await journal.save("video_x", "/videos/x.mp4", 10, "ab") is None
    assert (await journal.list()).orders == ()


async def test_a_rejected_order_says_why_and_stays_rejected(journal, new_order):
    order = new_order()
    await journal.begin(order, daily_seconds=0)
    rejected = await journal.reject(order.order_id, "content_rejected", "The prompt was refused.")
    assert (rejected.state, rejected.status) == ("rejected", None)
    assert (rejected.error_code, rejected.error_message) == ("content_rejected", "The prompt was refused.")
    assert await journal.mark_unconfirmed(order.order_id) == rejected
    assert await journal.mark_absent(order.order_id) == rejected


@pytest.mark.parametrize("end", ["rejected", "absent"])
async def test_a_task_found_after_all_is_accepted_and_counts_again(journal, new_order, end):
    order = new_order(seconds=8)
    await journal.begin(order, daily_seconds=8)
    if end == "rejected":
        await journal.reject(order.order_id, "rate_limited", "busy")
    else:
        await journal.mark_unconfirmed(order.order_id)
        await journal.mark_absent(order.order_id)
    assert (await journal.ordered_seconds())[0] == 0
    found = await journal.record(TaskReport("video_x", "in_progress", progress=5, client_business_id=order.order_id))
    assert (found.state, found.status, found.task_id, found.error_code) == ("accepted", "in_progress", "video_x", None)
    assert (await journal.ordered_seconds())[0] == 8


async def test_an_order_that_is_not_in_the_book_cannot_be_changed(journal):
    with pytest.raises(JournalUnavailable, match="smcp-none is not in the order book") as refusal:
        await journal.accept("smcp-none", TaskReport("video_x", "queued"))
    assert "console" in str(refusal.value)


async def test_a_saved_video_is_remembered(journal, accepted):
    await accepted(task_id="video_x")
    saved = await journal.save("video_x", "/videos/x.mp4", 12_345, "ab" * 32)
    await journal.aclose()
    found = await journal.find("video_x")
    assert found == saved
    assert (found.saved_path, found.saved_size, found.saved_sha256) == ("/videos/x.mp4", 12_345, "ab" * 32)


async def test_unresolved_orders_are_those_left_alone_and_those_without_an_answer(journal, new_order, accepted, clock):
    sending, lost, answered = new_order(), new_order(), new_order()
    await journal.begin(sending, daily_seconds=0, lease_seconds=60)
    await journal.begin(lost, daily_seconds=0)
    await journal.begin(answered, daily_seconds=0)
    await journal.mark_unconfirmed(lost.order_id)
    await journal.reject(answered.order_id, "code", "words")
    await accepted()

    async def ids():
        return [order.order_id for order in await journal.unresolved()]

    assert await ids() == [lost.order_id]
    clock.now += 60
    assert await ids() == [sending.order_id, lost.order_id]
    clock.now += DAY
    assert await ids() == [sending.order_id]
    clock.now -= 3 * DAY  # set back: the lease of an hour ago cannot have days to go
    assert await ids() == [sending.order_id, lost.order_id]


async def test_only_one_process_at_a_time_recovers_an_order(journal, new_order, path, clock):
    other = Journal(path, clock=clock, process_id="theirs")
    order = new_order()
    await journal.begin(order, daily_seconds=0, lease_seconds=30)
    assert not await other.claim(order.order_id, 30)
    assert await journal.claim(order.order_id, 40)
    clock.now += 39
    assert not await other.claim(order.order_id, 30)
    clock.now += 1
    assert await other.claim(order.order_id, 30)
    assert not await journal.claim(order.order_id, 30)
    assert await other.claim(order.order_id, 0)
    assert await journal.claim(order.order_id, 10**9)
    clock.now += 600
    assert await other.claim(order.order_id, 30)
    clock.now -= DAY
    assert await journal.claim(order.order_id, 30)
    await journal.mark_unconfirmed(order.order_id)
    assert await journal.claim(order.order_id, 30)
    await journal.accept(order.order_id, TaskReport("video_x", "queued"))
    assert not await journal.claim(order.order_id, 30)
    assert not await journal.claim("smcp-none", 30)
    await other.aclose()


async def test_every_journal_has_an_owner_of_its_own(path):
    assert Journal(path)._process_id != Journal(path)._process_id


async def test_three_spaced_answers_over_three_minutes_are_proof(journal, new_order, clock, path):
    order = new_order()
    await journal.begin(order, daily_seconds=0)
    assert await journal.not_found(order.order_id) == NotFound(1, 0)
    for _ in range(5):
        clock.now += 10
        assert not (await journal.not_found(order.order_id)).proven
    assert await journal.not_found(order.order_id) == NotFound(1, 0)
    await journal.aclose()  # it is kept across processes
    later = Journal(path, clock=clock)
    clock.now += 70
    assert await later.not_found(order.order_id) == NotFound(2, 120)
    clock.now += 59
    assert await later.not_found(order.order_id) == NotFound(2, 120)
    clock.now += 1
    proof = await later.not_found(order.order_id)
    assert proof == NotFound(3, 180)
    assert proof.proven
    await later.aclose()


@pytest.mark.parametrize(("answers", "over", "proven"), [(3, 180, True), (2, 500, False), (9, 179, False)])
def test_proof_needs_both_the_number_and_the_time(answers, over, proven):
    assert NotFound(answers, over).proven is proven


async def test_a_clock_set_back_starts_the_proof_again(journal, new_order, clock):
    order = new_order()
    await journal.begin(order, daily_seconds=0)
    for _ in range(3):
        await journal.not_found(order.order_id)
        clock.now += 90
    clock.now -= DAY
    assert await journal.not_found(order.order_id) == NotFound(1, 0)
