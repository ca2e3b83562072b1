import re

import pytest

from tests.simulator.conftest import GENERATIONS, caller, picture

pytestmark = pytest.mark.anyio
REMIX = {"model": "sora-2-official", "prompt": "make the kite blue"}


async def test_order_is_answered_and_charged_as_documented(client, sim, clock):
    task = await client.order("a red kite", duration=12, aspect_ratio="16:9", client_business_id="smcp-1")
    assert task == {
        "id": task["id"],
        "object": "generation.task",
        "model": "sora-2-official",
        "status": "queued",
        "progress": 0,
        "created_at": int(clock.now),
        "metadata": {"size": "1280x720", "seconds": "12"},
    }
    assert re.fullmatch(r"video_[A-Za-z0-9_-]{1,122}", task["id"])
    (charge,) = sim.charges
    assert (charge.task_id, charge.client_business_id, charge.prompt) == (task["id"], "smcp-1", "a red kite")
    assert (charge.model, charge.seconds, charge.size, charge.kind) == ("sora-2-official", 12, "1280x720", "generate")
    assert (charge.credits, charge.at) == (240, clock.now)


async def test_everything_that_arrives_is_written_down(client, sim, clock):
    await client.order()
    await client.get("/v1/models?type=video")
    order, models = sim.requests
    assert (order.method, order.path, order.at) == ("POST", GENERATIONS, clock.now)
    assert order.json == {"model": "sora-2-official", "prompt": "a red kite"}
    assert order.headers["authorization"] == "Bearer sk-test"
    assert (models.path, models.query, models.json) == ("/v1/models", "type=video", None)


async def test_requests_are_not_kept_without_end(sim, client, monkeypatch):
    monkeypatch.setattr("sora_mcp.simulator.service._REQUESTS_KEPT", 3)
    for _ in range(7):
        await client.get("/v1/balance")
    assert len(sim.requests) == 3


async def test_status_answers_to_the_business_id_and_echoes_it(client, sim):
    task = await client.order(client_business_id="smcp-1")
    assert (await client.ask("smcp-1"))["id"] == task["id"]
    assert (await client.ask(task["id"]))["client_business_id"] == "smcp-1"
    assert "client_business_id" not in await client.ask((await client.order())["id"])
    assert len(sim.charges) == 2


async def test_the_same_business_id_orders_again(client, sim):
    first, second = [await client.order(client_business_id="smcp-1") for _ in range(2)]
    assert first["id"] != second["id"]
    assert len(sim.charges) == 2
    assert (await client.ask("smcp-1"))["id"] == second["id"]


async def test_service_that_keeps_no_ids_neither_echoes_nor_finds_them(client, sim):
    sim.keeps_ids = False
    task = await client.order(client_business_id="smcp-1")
    assert "client_business_id" not in await client.ask(task["id"])
    assert (await client.get(f"{GENERATIONS}/smcp-1")).status_code == 404
    assert sim.charges[0].client_business_id == "smcp-1"


@pytest.mark.parametrize("reference", ["nope", "video_UNKNOWN", "video_01K8SGYNNNVBQTXNR4MM964S7K", "%2e%2e", "a%2Fb"])
async def test_unknown_task_is_a_404_with_a_number_as_code(client, reference):
    answer = await client.get(f"{GENERATIONS}/{reference}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == 404


async def test_remix_of_a_completed_video_has_its_own_shape(client, sim, clock):
    source = await client.order(duration=8, aspect_ratio="16:9")
    sim.finish(source["id"])
    body = {**REMIX, "client_business_id": "smcp-2"}
    remix = (await client.post(f"/v1/videos/{source['id']}/remix", json=body)).json()
    assert remix == {
        "id": remix["id"],
        "object": "video",
        "model": "sora-2-official",
        "status": "queued",
        "progress": 0,
        "created_at": int(clock.now),
        "remixed_from_video_id": source["id"],
        "seconds": "8",
        "size": "1280x720",
    }
    assert (sim.charges[1].kind, sim.charges[1].seconds, sim.charges[1].credits) == ("remix", 8, 160)
    assert (await client.ask("smcp-2"))["id"] == remix["id"]
    sim.finish(remix["id"])
    assert (await client.ask(remix["id"]))["status"] == "completed"


async def test_remix_by_another_model_has_the_shape_of_an_order(client, sim):
    source = await client.order()
    sim.finish(source["id"])
    sim.remix_keeps_ids = False
    body = {**REMIX, "model": "sora-2-vvip", "client_business_id": "smcp-2"}
    remix = (await client.post(f"/v1/videos/{source['id']}/remix", json=body)).json()
    assert (remix["object"], remix["metadata"]) == ("generation.task", {"size": "720x1280", "seconds": "4"})
    assert (await client.get(f"{GENERATIONS}/smcp-2")).status_code == 404


async def test_remix_needs_a_completed_source_that_is_still_there(client, sim, clock):
    async def remix(task_id, **fields):
        answer = await client.post(f"/v1/videos/{task_id}/remix", json={**REMIX, **fields})
        return answer.status_code, answer.json().get("error", {}).get("message", "")

    source, failed = await client.order(), await client.order()
    assert (await remix("video_nope"))[0] == 404
    assert await remix(source["id"]) == (400, "The source video is not completed")
    sim.finish(source["id"])
    sim.fail(failed["id"])
    assert await remix(failed["id"]) == (400, "The source video is not completed")
    assert (await remix(source["id"], model="nope"))[0] == 503
    assert (await remix(source["id"], prompt=""))[0] == 400
    clock.now += 86_399
    assert (await remix(source["id"]))[0] == 200
    clock.now += 1
    assert await remix(source["id"]) == (400, "The source video has expired")
    assert len(sim.charges) == 3


async def test_vvip_makes_as_many_clips_as_are_paid_for(client, sim):
    task = await client.order(model="sora-2-vvip", metadata={"n": 3, "style": "comic", "private": True}, thumbnail=True)
    sim.finish(task["id"])
    links = [item["url"] for item in (await client.ask(task["id"]))["result"]["data"]]
    assert len(set(links)) == 3
    assert [(await client.get(link)).status_code for link in links] == [200] * 3
    assert (await client.get(links[0].replace(".0.mp4", ".3.mp4"))).status_code == 404
    assert sim.charges[0].credits == 3 * 80


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
async def test_uploaded_image_is_kept_and_served_without_a_key(client, sim, kind):
    data = picture(kind, (8, 8))
    answer = await client.upload(data)
    told = answer.json()
    assert (told["success"], told["message"]) == (True, "")
    kept = told["data"]
    assert kept["id"].startswith("upload_")
    assert (kept["mime_type"], kept["size"]) == (f"image/{kind.lower()}", len(data))
    async with caller(sim) as stranger:
        del stranger.headers["Authorization"]
        served = await stranger.get(kept["url"])
        assert (served.content, served.headers["content-type"]) == (data, kept["mime_type"])
        assert (await stranger.get(kept["url"] + "x")).status_code == 404


@pytest.mark.parametrize("data", [b"", b"<svg/>", b"text", b"%PDF-1.4"])
async def test_other_files_are_refused_by_their_bytes(client, data):
    answer = await client.upload(data, "image.png")
    assert answer.status_code == 400
    assert answer.json()["success"] is False
    assert answer.json()["message"].startswith("Unsupported image type. ")


async def test_image_over_ten_megabytes_is_refused(client):
    data = picture("PNG", (8, 8))
    assert (await client.upload(data + bytes(10_000_000 - len(data)))).status_code == 200
    answer = await client.upload(data + bytes(10_000_001 - len(data)))
    assert answer.status_code == 400
    assert answer.json() == {"success": False, "message": "Image too large. Maximum size is 10MB"}


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({"content-type": "application/json"}, b"{}"),
        ({"content-type": "multipart/form-data; boundary=x"}, b"garbage"),
        ({"content-type": "multipart/form-data"}, b"garbage"),
        (
            {"content-type": "multipart/form-data; boundary=x"},
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc\r\n--x--\r\n',
        ),
    ],
)
async def test_upload_without_a_file_is_refused(client, headers, content):
    answer = await client.post("/v1/uploads/images", headers=headers, content=content)
    assert answer.status_code == 400
    assert answer.json()["success"] is False


async def test_body_beyond_all_measure_is_a_413(client, sim):
    answer = await client.post(GENERATIONS, content=bytes(32_000_001))
    assert answer.status_code == 413
    assert len(sim.requests) == 1


async def test_oldest_uploads_go_first(client, monkeypatch):
    data = picture("PNG", (8, 8))
    monkeypatch.setattr("sora_mcp.simulator.service._UPLOADED_BYTES_KEPT", len(data) * 2)
    urls = [(await client.upload(data)).json()["data"]["url"] for _ in range(3)]
    assert [(await client.get(url)).status_code for url in urls] == [404, 200, 200]


@pytest.mark.parametrize("path", ["/v1/balance", "/v1/user/balance"])
async def test_balance_goes_down_with_orders_and_up_with_failures(client, sim, path):
    sim.balance_credits = 1000
    await client.order()
    failed = await client.order(duration=8)
    told = (await client.get(path)).json()
    assert told == {
        "success": True,
        "remain_balance": 3.8,
        "used_balance": 1.2,
        "remain_credits": 760,
        "used_credits": 240,
        "credits_per_usd": 200,
        "unlimited_quota": False,
    }
    sim.fail(failed["id"])
    assert (await client.get(path)).json()["remain_credits"] == 920


async def test_unlimited_balance_is_minus_one_and_a_key_may_have_its_own(client, sim):
    sim.balance_credits = None
    told = (await client.get("/v1/user/balance")).json()
    assert (told["remain_balance"], told["unlimited_quota"]) == (-1, True)
    sim.key_credits = 50
    assert (await client.get("/v1/balance")).json()["remain_credits"] == 50
    assert (await client.get("/v1/user/balance")).json()["unlimited_quota"] is True


async def test_models_are_of_the_type_asked_for_and_text_by_default(client, sim):
    videos = (await client.get("/v1/models?type=video")).json()
    assert videos["success"] is True
    assert videos["object"] == "list"
    assert [model["id"] for model in videos["data"]] == ["sora-2-official", "sora-2-vvip"]
    assert set(videos["data"][0]) == {"id", "object", "supported_endpoint_types"}
    texts = (await client.get("/v1/models")).json()["data"]
    assert texts
    assert not any("sora" in model["id"] for model in texts)
    assert (await client.get("/v1/models?type=audio")).json()["data"] == []
    sim.models = ["sora-2"]
    assert [model["id"] for model in (await client.get("/v1/models?type=video")).json()["data"]] == ["sora-2"]


async def test_app_takes_part_in_a_lifespan(sim):
    sent = []
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive():
        return next(messages)

    async def send(message):
        sent.append(message["type"])

    await sim.app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/v2/x", 404), ("DELETE", f"{GENERATIONS}/x", 405), ("GET", GENERATIONS, 405)],
)
async def test_there_is_no_other_route(client, method, path, status):
    answer = await client.request(method, path)
    assert answer.status_code == status
    assert "Invalid URL" in answer.json()["error"]["message"]
    assert answer.headers["x-simulated"] == "true"


async def test_every_answer_says_that_it_is_simulated(client):
    task = await client.order()
    for path in ("/v1/balance", f"{GENERATIONS}/{task['id']}", f"{GENERATIONS}/x", "/__files/x", "/__sim/charges"):
        assert (await client.get(path)).headers["x-simulated"] == "true"


async def test_links_begin_with_the_public_url_or_the_address_asked(client, sim):
    task = await client.order()
    sim.finish(task["id"])
    told = await client.get(f"http://127.0.0.1:8123{GENERATIONS}/{task['id']}")
    assert told.json()["result"]["data"][0]["url"].startswith(f"http://127.0.0.1:8123/__files/{task['id']}")
    sim.public_url = "https://files.example/"
    assert (await client.ask(task["id"]))["result"]["data"][0]["url"].startswith("https://files.example/__files/")
    assert (
        (await client.upload(picture("PNG", (8, 8)))).json()["data"]["url"].startswith("https://files.example/__files/")
    )
