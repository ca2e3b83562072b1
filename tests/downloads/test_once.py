"""One video is one file: calls that repeat, meet, or follow a crash."""

import json
import os

import anyio
import pytest

from sora_mcp.downloads import SavedVideo, parts
from sora_mcp.downloads.names import hidden_stem, short_id
from sora_mcp.errors import ResultExpired

pytestmark = pytest.mark.anyio

TASK = "video_01abc"
NAME = f"2026-11-23 a golden retriever running {short_id(TASK)}"


@pytest.fixture
def hidden(folder):
    folder.mkdir(exist_ok=True)
    return lambda ending: folder / f"{hidden_stem(TASK)}.{ending}"


async def test_second_call_finds_the_known_file_without_a_question(save, server, links):
    saved, _ = await save()
    link = links(server.link)
    assert await save(known=saved, link=link) == (saved, True)
    assert link.asked == 0
    assert len(server.seen) == 1


async def test_a_known_file_counts_wherever_it_lies(save, server, tmp_path):
    saved, _ = await save()
    known = SavedVideo(saved.path.rename(tmp_path / "moved.mp4"), saved.size, saved.sha256)
    assert await save(known=known) == (known, True)
    assert len(server.seen) == 1


async def test_a_crash_before_the_note_makes_no_second_copy(save, server, links, entries):
    saved, _ = await save()
    link = links(server.link)
    # Neither the words nor the day have to be the same for the file to be found.
    assert await save(link=link, prompt=None, created_at=None) == (saved, True)
    assert link.asked == 0
    assert entries() == [saved.path.name]


@pytest.mark.parametrize("harm", ["removed", "cut", "folder"])
async def test_a_known_file_that_is_gone_is_fetched_anew(harm, save, video):
    saved, _ = await save()
    saved.path.unlink()
    if harm == "cut":
        saved.path.write_bytes(video[:-1])
    elif harm == "folder":
        saved.path.mkdir()
    again, already = await save(known=saved)
    assert not already
    assert again.path.read_bytes() == video
    assert again.path.name == (f"{NAME}.mp4" if harm == "removed" else f"{NAME} (2).mp4")


async def test_a_known_path_that_cannot_be_is_no_obstacle(save, tmp_path):
    _, already = await save(known=SavedVideo(tmp_path / "nul\0", 1, ""))
    assert not already


async def test_a_known_file_that_was_renamed_in_its_folder_is_found_by_its_bytes(save, folder, video):
    saved, _ = await save()
    other = saved.path.rename(folder / f"2020-01-01 {short_id(TASK)} (7).mp4")
    edited = folder / f"2020-01-01 {short_id(TASK)}.mp4"
    edited.write_bytes(video[:-1] + bytes([video[-1] ^ 1]))
    assert await save(known=saved) == (SavedVideo(other, saved.size, saved.sha256), True)


async def test_an_existing_file_of_the_same_name_is_left_alone(save, folder, video):
    folder.mkdir()
    mine = {f"{NAME}.mp4": b"not a video", f"{NAME} (2).mp4": video[:-5]}
    for name, content in mine.items():
        (folder / name).write_bytes(content)
    (folder / f"{NAME} (3).mp4").symlink_to(folder / "elsewhere")
    saved, already = await save()
    assert saved.path == folder / f"{NAME} (4).mp4"
    assert not already
    assert {name: (folder / name).read_bytes() for name in mine} == mine
    assert not (folder / "elsewhere").exists()


async def test_two_tasks_of_one_process_make_one_transfer(save, server, entries):
    server.usual.pause = 0.01
    results = []

    async def one():
        results.append(await save())

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(one)
    assert [already for _, already in results] == [False, True, True]
    assert len({saved for saved, _ in results}) == 1
    assert len(server.seen) == 1
    assert entries() == [f"{NAME}.mp4"]


async def test_when_the_first_is_cancelled_the_second_takes_over(save, server, video, answer, silence):
    server.answers = [answer(block=100_000, pause=30)]
    results = []

    async def second():
        results.append(await save())

    async with anyio.create_task_group() as group, anyio.create_task_group() as first:
        first.start_soon(save)
        await silence()
        group.start_soon(second)
        await anyio.sleep(0.1)
        assert not results
        first.cancel_scope.cancel()
    assert results[0][0].path.read_bytes() == video
    assert server.ranges == [None, "bytes=100000-"]
    assert len(list(results[0][0].path.parent.iterdir())) == 1


async def test_different_tasks_do_not_wait_for_each_other(save, server, answer, silence):
    server.answers = [answer(block=100_000, pause=30)]
    async with anyio.create_task_group() as group:
        group.start_soon(save, "video_slow")
        await silence()
        saved, _ = await save("video_fast")
        assert len(server.seen) == 2
        group.cancel_scope.cancel()
    assert saved.path.exists()


async def test_a_complete_part_is_published_without_a_transfer(save, server, hidden, video, links):
    hidden("part").write_bytes(video)
    hidden("json").write_text(json.dumps({"synced": len(video), "etag": None, "modified": None, "total": len(video)}))
    link = links(server.link)
    saved, already = await save(link=link)
    assert (saved.path.read_bytes(), already, link.asked) == (video, False, 0)


async def test_a_part_that_already_has_its_name_is_never_written_to(
    save, server, hidden, folder, video, make_mp4, entries
):
    # Killed between the link and the unlink: both names are the user's one video.
    hidden("part").write_bytes(video)
    hidden("json").write_text(json.dumps({"synced": 100, "etag": '"v1"', "modified": None, "total": len(video)}))
    os.link(hidden("part"), folder / "renamed by the user.mp4")
    server.body = make_mp4(seed=2)
    saved, already = await save()
    assert not already
    assert (folder / "renamed by the user.mp4").read_bytes() == video
    assert entries() == [saved.path.name, "renamed by the user.mp4"]


NOTE = {"synced": 50_000, "etag": '"v1"', "modified": None, "total": 200_000}


@pytest.mark.parametrize(
    ("note", "part"),
    [
        (json.dumps(NOTE), None),
        (json.dumps(NOTE), b"\0\0\0\x18ftyp"),
        (json.dumps(NOTE), b"<html>" * 10_000),
        (json.dumps({**NOTE, "synced": "50000"}), "video"),
        (json.dumps({**NOTE, "synced": -1}), "video"),
        (json.dumps({**NOTE, "etag": 1}), "video"),
        (json.dumps({**NOTE, "modified": []}), "video"),
        (json.dumps({**NOTE, "total": "1"}), "video"),
        ("{}", "video"),
        ("[]", "video"),
        ("\xff{", "video"),
        (None, "video"),
    ],
)
async def test_a_part_that_cannot_be_trusted_is_replaced(note, part, save, server, hidden, video, entries):
    if note is not None:
        hidden("json").write_bytes(note.encode("latin-1"))
    if part is not None:
        hidden("part").write_bytes(video if part == "video" else part)
    saved, _ = await save()
    assert saved.path.read_bytes() == video
    assert server.ranges == [None]
    assert entries() == [saved.path.name]


async def test_only_the_bytes_that_were_certain_are_used_again(save, server, hidden, video):
    hidden("part").write_bytes(video[:50_000] + bytes(4096))
    hidden("json").write_text(json.dumps(NOTE))
    saved, _ = await save()
    assert saved.path.read_bytes() == video
    assert server.ranges == ["bytes=50000-"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("trap", ["link", "pipe"])
async def test_something_else_in_the_place_of_the_part_is_not_followed(trap, save, hidden, tmp_path, video):
    hidden("json").write_text(json.dumps(NOTE))
    treasure = tmp_path / "treasure"
    treasure.write_bytes(video)
    if trap == "link":
        hidden("part").symlink_to(treasure)
    else:
        os.mkfifo(hidden("part"))
    saved, _ = await save()
    assert not saved.path.is_symlink()
    assert saved.path.read_bytes() == treasure.read_bytes() == video


async def test_a_lock_file_without_an_owner_is_no_obstacle(save, hidden, entries):
    hidden("lock").write_bytes(b"")
    saved, _ = await save()
    assert entries() == [saved.path.name]


async def test_given_up_files_of_other_tasks_are_swept_after_two_days(save, folder, entries):
    folder.mkdir()
    old = folder / f"{hidden_stem('video_old')}.part"
    young = folder / f"{hidden_stem('video_young')}.part"
    foreign = folder / ".sora-notes.txt"
    for path in (old, young, foreign):
        path.write_bytes(b"x")
    os.utime(old, (1, 1))
    os.utime(foreign, (1, 1))
    saved, _ = await save()
    assert entries() == sorted([saved.path.name, young.name, foreign.name])


async def test_a_disk_without_hard_links_publishes_all_the_same(save, folder, video, monkeypatch, entries):
    def refuse(*_arguments, **_more):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    folder.mkdir()
    (folder / f"{NAME}.mp4").write_bytes(b"mine")
    saved, _ = await save()
    assert saved.path == folder / f"{NAME} (2).mp4"
    assert saved.path.read_bytes() == video
    assert entries() == [f"{NAME} (2).mp4", f"{NAME}.mp4"]


async def test_a_name_claimed_by_a_dead_process_is_used(save, folder, video, entries):
    folder.mkdir()
    (folder / f"{NAME}.mp4").touch()
    saved, already = await save()
    assert not already
    assert entries() == [f"{NAME}.mp4"]
    assert saved.path.read_bytes() == video


async def test_expired_removes_the_part_that_nobody_can_finish(save, server, hidden, video, entries):
    hidden("part").write_bytes(video[:50_000])
    hidden("json").write_text(json.dumps(NOTE))
    server.usual.status = 403
    with pytest.raises(ResultExpired):
        await save()
    assert entries() == []


def test_a_part_is_written_only_while_it_is_open(tmp_path):
    with pytest.raises(ValueError, match="not open"):
        parts.Part(tmp_path, ".sora-x").write(b"data")
