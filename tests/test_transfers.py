import logging

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sora_mcp.errors import DiskFull, NotReady
from sora_mcp.models import DownloadedVideo
from sora_mcp.transfers import Transfers

pytestmark = pytest.mark.anyio

TASK = "video_01"
VIDEO = DownloadedVideo(task_id=TASK, path="/videos/a.mp4", size=3, sha256="ab" * 32, already_downloaded=False)


async def silent(received, total):
    pass


async def settle():
    for _ in range(20):
        await checkpoint()


class Transfer:
    """A transfer that goes on when it is told to; notes how often it was begun."""

    def __init__(self, *steps, ends=VIDEO):
        self.begun = 0
        self.go = anyio.Event()
        self._steps = steps
        self._ends = ends

    async def __call__(self, _task_id, on_progress):
        self.begun += 1
        for step in self._steps:
            await on_progress(*step)
            await settle()
        await self.go.wait()
        if isinstance(self._ends, Exception):
            raise self._ends
        return self._ends


@pytest.fixture
async def task_group():
    async with anyio.create_task_group() as task_group:
        yield task_group
        task_group.cancel_scope.cancel()


async def test_all_who_ask_at_once_get_the_one_transfer(task_group):
    transfer = Transfer()
    transfers = Transfers(transfer, task_group)
    answers = []

    async def call():
        answers.append(await transfers.wait(TASK, silent))

    async with anyio.create_task_group() as callers:
        for _ in range(20):
            callers.start_soon(call)
        await settle()
        transfers.start(TASK)
        transfer.go.set()
    assert answers == [VIDEO] * 20
    assert transfer.begun == 1


async def test_a_call_after_the_end_begins_anew(task_group):
    transfer = Transfer()
    transfer.go.set()
    transfers = Transfers(transfer, task_group)
    await transfers.wait(TASK, silent)
    await transfers.wait(TASK, silent)
    assert transfer.begun == 2


async def test_two_tasks_are_two_transfers(task_group):
    transfer = Transfer()
    transfers = Transfers(transfer, task_group)
    assert transfers.start("video_a") is not transfers.start("video_b")
    await settle()
    assert transfer.begun == 2


async def test_a_cancelled_caller_does_not_end_the_transfer(task_group):
    transfer = Transfer()
    transfers = Transfers(transfer, task_group)
    with anyio.move_on_after(0.05):
        await transfers.wait(TASK, silent)
    transfer.go.set()
    assert await transfers.wait(TASK, silent) == VIDEO
    assert transfer.begun == 1


async def test_a_long_transfer_is_answered_in_time_and_goes_on(task_group, monkeypatch):
    monkeypatch.setattr("sora_mcp.transfers.ANSWER_SECONDS", 0.05)
    transfer = Transfer((1_500_000, 9_000_000))
    transfers = Transfers(transfer, task_group)
    with pytest.raises(NotReady, match=r"1\.5 MB so far.* call download_video again") as error:
        await transfers.wait(TASK, silent)
    assert error.value.retry_after_seconds == 20
    transfer.go.set()
    assert await transfers.wait(TASK, silent) == VIDEO
    assert transfer.begun == 1


async def test_bytes_are_told_and_never_fall_when_a_transfer_starts_over(task_group):
    transfer = Transfer((0, None), (10, None), (0, 40), (10, 40), (30, 40))
    transfer.go.set()
    told = []

    async def on_progress(received, total):
        told.append((received, total))

    await Transfers(transfer, task_group).wait(TASK, on_progress)
    assert told == [(10, None), (30, 40)]


async def test_a_caller_that_comes_late_is_told_what_is_there(task_group):
    transfer = Transfer((10, 40))
    transfers = Transfers(transfer, task_group)
    transfers.start(TASK)
    await settle()
    told = []

    async def on_progress(received, total):
        told.append((received, total))
        transfer.go.set()

    await transfers.wait(TASK, on_progress)
    assert told == [(10, 40)]


async def test_a_listener_that_hangs_holds_up_neither_the_answer_nor_the_transfer(task_group, monkeypatch):
    monkeypatch.setattr("sora_mcp.transfers.ANSWER_SECONDS", 0.05)
    transfer = Transfer((10, 40))
    transfer.go.set()

    async def on_progress(_received, _total):
        await anyio.sleep_forever()

    assert await Transfers(transfer, task_group).wait(TASK, on_progress) == VIDEO


async def test_a_failure_reaches_all_who_wait_and_the_next_call_tries_again(task_group, caplog):
    transfer = Transfer(ends=DiskFull("No space is left.", "Make room."))
    transfers = Transfers(transfer, task_group)
    codes = []

    async def call():
        with pytest.raises(DiskFull) as error:
            await transfers.wait(TASK, silent)
        codes.append(error.value.code)

    async with anyio.create_task_group() as callers:
        callers.start_soon(call)
        callers.start_soon(call)
        await settle()
        transfer.go.set()
    assert codes == ["disk_full"] * 2
    await call()
    assert transfer.begun == 2
    assert caplog.record_tuples[0] == (
        "sora_mcp.transfers",
        logging.WARNING,
        f"the video of {TASK} was not saved: disk_full",
    )


async def test_a_failure_that_nobody_waits_for_is_logged(task_group, caplog):
    transfer = Transfer(ends=DiskFull("No space is left.", "Make room."))
    transfer.go.set()
    Transfers(transfer, task_group).start(TASK)
    await settle()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_an_error_nobody_foresaw_reaches_the_caller_and_ends_nothing_else(task_group, caplog):
    transfer = Transfer(ends=ZeroDivisionError("https://files.example/secret"))
    transfer.go.set()
    transfers = Transfers(transfer, task_group)
    with pytest.raises(ZeroDivisionError):
        await transfers.wait(TASK, silent)
    assert not task_group.cancel_scope.cancel_called
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text


async def test_a_transfer_that_the_servers_end_stops_keeps_nobody_waiting():
    with anyio.fail_after(5):
        async with anyio.create_task_group() as callers:  # noqa: SIM117 - the server's ends first
            async with anyio.create_task_group() as server:
                transfers = Transfers(Transfer(), server)

                async def call():
                    with pytest.raises(NotReady):
                        await transfers.wait(TASK, silent)

                callers.start_soon(call)
                await settle()
                server.cancel_scope.cancel()
