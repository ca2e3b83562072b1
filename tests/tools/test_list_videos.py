import time

import pytest
from conftest import text_of

from sora_mcp.journal import Journal, NewOrder
from sora_mcp.models import TaskReport
from sora_mcp.service import journal_path

pytestmark = pytest.mark.anyio


def an_order(number, prompt):
    return NewOrder(
        order_id=f"smcp-{number:032x}",
        kind="generate",
        fingerprint=f"{number:064x}",
        model="sora-2-official",
        prompt=prompt,
        seconds=4,
        aspect_ratio="9:16",
        size="720x1280",
        request={},
        remixed_from_video_id=None,
    )


async def written(settings, reports, prompt="a dog"):
    journal = Journal(journal_path(settings))
    for number, report in enumerate(reports):
        order = an_order(number, prompt)
        await journal.begin(order, daily_seconds=0)
        await journal.accept(order.order_id, report)
        await journal.record(report)
    await journal.aclose()


def completed(number=0, expires_in=3600.0):
    now = int(time.time())
    expires_at = int(now + expires_in)
    return TaskReport(
        id=f"video_{number:04d}",
        status="completed",
        progress=100,
        completed_at=expires_at - 86400,
        expires_at=expires_at,
        urls=("https://files.toapis.com/a.mp4",),
    )


async def test_nothing_ordered_is_an_empty_list(client):
    result = await client.call_tool("list_videos", {})
    assert result.structured_content == {"videos": []}
    assert text_of(result) == "No videos found."


async def test_orders_are_listed_newest_first_with_what_the_user_knows_them_by(client, sim):
    for prompt in ("a dog runs", "a cat sleeps", "x" * 500):
        await client.call_tool("generate_video", {"prompt": prompt})
    result = await client.call_tool("list_videos", {})
    videos = result.structured_content["videos"]
    assert [video["id"] for video in videos] == [charge.task_id for charge in reversed(sim.charges)]
    assert videos[0]["prompt"] == "x" * 200
    assert videos[2] == {
        "id": sim.charges[0].task_id,
        "status": "queued",
        "progress": 0,
        "prompt": "a dog runs",
        "model": "sora-2-official",
        "duration": 4,
        "aspect_ratio": "9:16",
        "created_at": videos[2]["created_at"],
    }
    assert "a cat sleeps" in text_of(result)
    assert max(map(len, text_of(result).splitlines())) < 160


async def test_pages_follow_the_cursor_and_searches_the_words(client):
    for number in range(5):
        await client.call_tool("generate_video", {"prompt": f"dog number {number}, Ärger im Park"})
    first = (await client.call_tool("list_videos", {"limit": 2})).structured_content
    second = (await client.call_tool("list_videos", {"limit": 2, "before": first["next"]})).structured_content
    last = (await client.call_tool("list_videos", {"limit": 2, "before": second["next"]})).structured_content
    prompts = [video["prompt"][11] for page in (first, second, last) for video in page["videos"]]
    assert prompts == ["4", "3", "2", "1", "0"]
    assert "next" not in last
    found = (await client.call_tool("list_videos", {"query": "ärger 3"})).structured_content["videos"]
    assert [video["prompt"][11] for video in found] == ["3"]
    assert not (await client.call_tool("list_videos", {"query": "100%"})).structured_content["videos"]


@pytest.mark.parametrize(
    "arguments",
    [{"limit": 0}, {"limit": 51}, {"limit": "10"}, {"status": "done"}, {"before": "nonsense"}, {"query": "x" * 1001}],
)
async def test_bad_arguments_are_invalid(client, arguments):
    result = await client.call_tool("list_videos", arguments)
    assert result.structured_content["error"]["code"] == "invalid_argument"


async def test_a_link_about_to_die_is_said_in_the_list(connect, settings):
    await written(settings, [completed(expires_in=3600)])
    async with connect() as client:
        result = await client.call_tool("list_videos", {"status": "completed"})
    assert "link dies in" in text_of(result)
    assert "download_video" in text_of(result)


async def test_a_link_about_to_die_is_said_once_in_another_answer(connect, settings, sim):
    await written(settings, [completed(expires_in=3600)])
    async with connect() as client:
        await client.call_tool("get_account", {})
        answers = [await client.call_tool("generate_video", {"prompt": f"dog {number}"}) for number in range(3)]
    told = [text_of(answer) for answer in answers if "Not saved yet: video_0000" in text_of(answer)]
    assert len(told) == 1
    assert 'download_video(task_id="video_0000")' in told[0]
    assert sim.charges


async def test_a_dead_link_and_a_saved_file_are_told_apart(connect, settings):
    await written(settings, [completed(0, expires_in=-5), completed(1)])
    journal = Journal(journal_path(settings))
    await journal.save("video_0001", "/videos/dog.mp4", 3, "ab" * 32)
    await journal.aclose()
    async with connect() as client:
        text = text_of(await client.call_tool("list_videos", {}))
    assert "its link has died" in text
    assert "saved: /videos/dog.mp4" in text


async def test_ten_thousand_tasks_are_searched_in_twenty_milliseconds(connect, settings):
    journal = Journal(journal_path(settings))
    await journal.begin(an_order(0, "first"), daily_seconds=0)
    await journal.aclose()
    fill(journal.path, 10_000)
    took = []
    async with connect() as client:
        await client.call_tool("list_videos", {"query": "dog"})
        for number in range(60):
            started = time.process_time()
            result = await client.call_tool("list_videos", {"query": f"number {number * 150}"})
            took.append(time.process_time() - started)
            assert result.structured_content["videos"]
    assert sorted(took)[56] <= 0.020


def fill(path, rows):
    """Copies of the one order that is there, each with a prompt of its own."""
    import sqlite3  # noqa: PLC0415
    from contextlib import closing  # noqa: PLC0415

    with closing(sqlite3.connect(path)) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(orders)") if row[1] != "seq"]
        new = {
            "order_id": "'smcp-copy-' || n",
            "fingerprint": "'copy-' || n",
            "prompt": "'a dog, number ' || n || ' runs'",
        }
        picked = ", ".join(new.get(column, column) for column in columns)
        connection.execute(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?) "  # noqa: S608
            f"INSERT INTO orders ({', '.join(columns)}) SELECT {picked} FROM orders, numbers WHERE seq = 1",
            (rows,),
        )
        connection.execute("INSERT INTO prompts SELECT seq, prompt FROM orders WHERE seq > 1")
        connection.commit()
