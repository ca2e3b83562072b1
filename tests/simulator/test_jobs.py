import pytest

from sora_mcp.simulator import Simulator
from sora_mcp.simulator.jobs import LONGEST, work_seconds
from tests.simulator.conftest import GENERATIONS, caller, picture

pytestmark = pytest.mark.anyio


async def test_job_goes_from_queued_to_completed_by_the_clock(client, clock):
    task = await client.order(duration=8, aspect_ratio="16:9")
    seen = []
    for _ in range(11):
        told = await client.ask(task["id"])
        seen.append((told["status"], told["progress"]))
        clock.now += 9.99
    assert seen[0] == ("queued", 0)
    assert {status for status, _ in seen[2:]} == {"in_progress"}
    assert [progress for _, progress in seen] == sorted(progress for _, progress in seen)
    assert 90 <= seen[-1][1] <= 99
    assert "result" not in told
    clock.now = task["created_at"] + 100
    told = await client.ask(task["id"])
    assert (told["status"], told["progress"]) == ("completed", 100)
    assert told["completed_at"] == task["created_at"] + 100
    assert told["expires_at"] == told["completed_at"] + 86_400
    assert told["result"]["type"] == "video"
    assert told["result"]["data"][0]["format"] == "mp4"


def test_work_takes_one_to_four_minutes_and_longer_for_longer_videos():
    lengths = {seconds: [work_seconds(seconds, nonce, "", None) for nonce in (0, 2**32 - 1)] for seconds in (4, 8, 12)}
    assert lengths == {4: [60, pytest.approx(120)], 8: [90, pytest.approx(180)], 12: [120, pytest.approx(240)]}
    assert work_seconds(4, 0, "a [SLOW] pan", None) == 600
    assert work_seconds(4, 5, "", 3.0) == 3.0
    assert work_seconds(4, 5, "", float("inf")) == LONGEST


async def test_speed_makes_work_shorter_and_a_change_scales_what_is_left(clock):
    sim = Simulator(clock=clock, speed=10, job_seconds=100)
    async with caller(sim) as client:
        done = await client.order()
        clock.now += 10
        assert (await client.ask(done["id"]))["status"] == "completed"
        task = await client.order()
        clock.now += 5
        sim.speed = 1
        assert (await client.ask(done["id"]))["status"] == "completed"
        clock.now += 49
        assert (await client.ask(task["id"]))["status"] == "in_progress"
        clock.now += 1
        assert (await client.ask(task["id"]))["status"] == "completed"


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_speed_that_cannot_be_is_refused(speed):
    with pytest.raises(ValueError, match="speed"):
        Simulator(speed=speed)


FAILURES = [
    ("a [moderation] test", "generation_failed", "moderation_blocked"),
    ("a [FAIL] test", "video_generation_failed", "video_generation_failed"),
    ("a [face] test", "generation_failed", "people-in-user-uploads"),
]


@pytest.mark.parametrize(("prompt", "code", "words"), FAILURES)
async def test_marked_prompt_fails_with_http_200_and_is_paid_back(client, sim, clock, prompt, code, words):
    task = await client.order(prompt)
    assert (await client.ask(task["id"]))["status"] == "queued"
    assert sim.used() == 80
    clock.now += 100
    told = await client.ask(task["id"])
    assert told["status"] == "failed"
    assert told["error"]["code"] == code
    assert words in told["error"]["message"]
    assert "result" not in told
    assert "completed_at" not in told
    assert sim.used() == 0
    assert len(sim.charges) == 1


INPAINT = "Inpaint image must match the requested width and height"
IMAGES = [
    ("PNG", (1280, 720), "16:9", None),
    ("JPEG", (720, 1280), "9:16", None),
    ("WEBP", (1280, 720), "16:9", None),
    ("PNG", (1280, 720), "9:16", INPAINT),
    ("PNG", (1279, 720), "16:9", INPAINT),
    ("GIF", (1280, 720), "16:9", "Unsupported reference image type"),
]


@pytest.mark.parametrize(("kind", "size", "ratio", "words"), IMAGES)
async def test_uploaded_reference_image_must_have_the_size_of_the_video(client, sim, kind, size, ratio, words):
    url = (await client.upload(picture(kind, size))).json()["data"]["url"]
    task = await client.order(image_urls=[url, "https://example.com/face/wrong-size.gif"], aspect_ratio=ratio)
    sim.finish(task["id"])
    told = await client.ask(task["id"])
    if words is None:
        assert told["status"] == "completed"
    else:
        assert words in told["error"]["message"]


async def test_vvip_states_no_size_for_its_image(client, sim):
    url = (await client.upload(picture("PNG", (100, 100)))).json()["data"]["url"]
    for images in ([url], ["https://example.com/wrong-size.png"]):
        task = await client.order(model="sora-2-vvip", image_urls=images)
        sim.finish(task["id"])
        assert (await client.ask(task["id"]))["status"] == "completed"


async def test_broken_upload_and_lost_upload_fail_the_job(client, sim):
    url = (await client.upload(b"\xff\xd8\xff\xe0 no frame")).json()["data"]["url"]
    broken, lost = await client.order(image_urls=[url]), await client.order(image_urls=[url + "x"])
    sim.finish(broken["id"])
    sim.finish(lost["id"])
    assert (await client.ask(broken["id"]))["error"]["message"] == INPAINT
    assert "download" in (await client.ask(lost["id"]))["error"]["message"]


FOREIGN = [
    ("https://example.com/ok.png", None),
    ("https://example.com/wrong-size.png?x=1", INPAINT),
    ("https://example.com/my-Face.jpg", "people-in-user-uploads"),
    ("https://example.com/a.GIF", "Unsupported reference image type"),
    ("https://face.example/wrong-size/", INPAINT),
]


@pytest.mark.parametrize(("url", "words"), FOREIGN)
async def test_foreign_image_is_taken_by_its_name(client, sim, url, words):
    task = await client.order(image_urls=[url])
    sim.finish(task["id"])
    told = await client.ask(task["id"])
    assert (words in told["error"]["message"]) if words else told["status"] == "completed"


async def test_restarted_simulator_still_knows_its_ids(client, clock):
    good = await client.order(duration=12, aspect_ratio="16:9", client_business_id="smcp-1")
    bad = await client.order("[moderation]")
    async with caller(Simulator(clock=clock, speed=7)) as after:
        assert (await after.ask(good["id"]))["status"] == "queued"
        clock.now += 99
        assert (await after.ask(good["id"]))["status"] == "in_progress"
        clock.now += 1
        assert "moderation_blocked" in (await after.ask(bad["id"]))["error"]["message"]
        told = await after.ask(good["id"])
        assert "client_business_id" not in told
        film = await after.get(told["result"]["data"][0]["url"])
        assert film.status_code == 200
        assert film.content[4:8] == b"ftyp"
        assert (await after.get(f"{GENERATIONS}/smcp-1")).status_code == 404
        assert (
            await after.post(f"/v1/videos/{good['id']}/remix", json={"model": "sora-2-official", "prompt": "b"})
        ).json()["seconds"] == "12"


async def test_test_may_force_an_end_or_a_status(client, sim):
    task = (await client.order())["id"]
    sim.set_status(task, status="rendering", progress=250)
    told = await client.ask(task)
    assert (told["status"], told["progress"]) == ("rendering", 250)
    sim.set_status(task)
    assert (await client.ask(task))["status"] == "queued"
    sim.fail(task, message="heavy load")
    assert (await client.ask(task))["error"] == {"code": "generation_failed", "message": "heavy load"}
    with pytest.raises(KeyError):
        sim.finish("video_unknown")
