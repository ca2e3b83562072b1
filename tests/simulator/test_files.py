from pathlib import Path

import pytest

import sora_mcp.simulator
from tests.simulator.conftest import caller

pytestmark = pytest.mark.anyio
CLIPS = Path(sora_mcp.simulator.__file__).with_name("clips")


@pytest.fixture
async def link(client, sim):
    task = await client.order()
    sim.finish(task["id"])
    return (await client.ask(task["id"]))["result"]["data"][0]["url"]


@pytest.fixture
def card():
    return (CLIPS / "720x1280-4.mp4").read_bytes()


@pytest.mark.parametrize("seconds", [4, 8, 12])
@pytest.mark.parametrize(("ratio", "size"), [("16:9", "1280x720"), ("9:16", "720x1280")])
async def test_result_is_the_test_card_of_the_ordered_size_and_length(client, sim, seconds, ratio, size):
    task = await client.order(duration=seconds, aspect_ratio=ratio)
    sim.finish(task["id"])
    async with caller(sim) as stranger:
        del stranger.headers["Authorization"]
        film = await stranger.get((await client.ask(task["id"]))["result"]["data"][0]["url"])
    assert film.status_code == 200
    assert film.content == (CLIPS / f"{size}-{seconds}.mp4").read_bytes()
    assert film.headers["content-type"] == "video/mp4"
    assert film.headers["accept-ranges"] == "bytes"
    assert int(film.headers["content-length"]) == len(film.content)


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=0-", slice(0, None)),
        ("bytes=100-199", slice(100, 200)),
        ("bytes=17000-99999999", slice(17000, None)),
        ("bytes=-10", slice(-10, None)),
        ("bytes=-99999999", slice(0, None)),
    ],
)
async def test_one_range_is_served(client, link, card, wanted, part):
    answer = await client.get(link, headers={"Range": wanted})
    assert answer.status_code == 206
    assert answer.content == card[part]
    begin, end, whole = part.indices(len(card))[0], part.indices(len(card))[1] - 1, len(card)
    assert answer.headers["content-range"] == f"bytes {begin}-{end}/{whole}"
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize("wanted", ["bytes=99999999-", "bytes=-0"])
async def test_range_beyond_the_end_is_a_416_that_tells_the_length(client, link, card, wanted):
    answer = await client.get(link, headers={"Range": wanted})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(card)}"
    assert answer.content == b""


@pytest.mark.parametrize("wanted", ["bytes=5-2", "bytes=-", "bytes=0-1,5-6", "lines=1-2", "bytes=a-b", ""])
async def test_unreadable_range_is_ignored(client, link, card, wanted):
    answer = await client.get(link, headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (200, card)


async def test_head_tells_the_length_alone(client, link, card):
    answer = await client.head(link)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == len(card)


async def test_link_dies_and_a_fresh_status_has_a_fresh_one(client, sim, clock):
    sim.link_seconds = 60
    task = await client.order()
    sim.finish(task["id"])
    old = (await client.ask(task["id"]))["result"]["data"][0]["url"]
    clock.now += 59.9
    assert (await client.get(old)).status_code == 200
    clock.now += 0.1
    assert (await client.get(old)).status_code == 403
    told = await client.ask(task["id"])
    fresh = told["result"]["data"][0]["url"]
    assert fresh != old
    assert (await client.get(fresh)).status_code == 200
    clock.now = told["expires_at"]
    last = (await client.ask(task["id"]))["result"]["data"][0]["url"]
    assert [(await client.get(url)).status_code for url in (old, fresh, last)] == [403, 403, 403]


async def test_result_lives_as_long_as_it_is_told_to(client, sim, clock):
    sim.result_seconds = 600
    task = await client.order()
    sim.finish(task["id"])
    told = await client.ask(task["id"])
    assert told["expires_at"] == told["completed_at"] + 600
    clock.now += 600
    assert (await client.get(told["result"]["data"][0]["url"])).status_code == 403


@pytest.mark.parametrize("change", [("?expires=", "?expired="), ("?expires=1", "?expires=x"), ("video_", "video_x")])
async def test_link_that_was_never_given_does_not_work(client, link, change):
    assert change[0] in link
    assert (await client.get(link.replace(*change))).status_code in {403, 404}


async def test_unfinished_video_has_no_file(client):
    task = await client.order()
    assert (await client.get(f"/__files/{task['id']}.0.mp4?expires=99999999999999")).status_code == 404
