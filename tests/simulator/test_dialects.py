import json

import pytest

from sora_mcp.simulator import DIALECTS, Simulator
from tests.simulator.conftest import GENERATIONS

pytestmark = pytest.mark.anyio
IMPOSSIBLE = {"model": "sora-2-official", "prompt": "x", "duration": 5}


class Told:
    """What one dialect says of an order, a task at work, one that is done, one that failed, and of refusals."""

    @classmethod
    async def by(cls, client, sim, clock, dialect):
        sim.dialect = dialect
        told = cls()
        order = {"model": "sora-2-official", "prompt": "x"}
        told.order = (await client.post(GENERATIONS, json=order)).json()
        bad = (await client.post(GENERATIONS, json={**order, "prompt": "[fail]"})).json()
        good_id, bad_id = (charge.task_id for charge in sim.charges[-2:])
        assert good_id in json.dumps(told.order)
        assert bad_id in json.dumps(bad)
        clock.now += 50
        told.working = (await client.get(f"{GENERATIONS}/{good_id}")).json()
        clock.now += 50
        told.done = (await client.get(f"{GENERATIONS}/{good_id}")).json()
        told.failed = (await client.get(f"{GENERATIONS}/{bad_id}")).json()
        told.missing = await client.get(f"{GENERATIONS}/nope")
        told.invalid = await client.post(GENERATIONS, json=IMPOSSIBLE)
        told.balance = (await client.get("/v1/balance")).json()
        told.stranger = await client.get("/v1/balance", headers={"Authorization": ""})
        return told


def link(value):
    return isinstance(value, str) and "/__files/video_" in value


def deep(text, levels):
    for _ in range(levels):
        text = json.loads(text)["error"]["message"]
    return text


DIFFERENCES = {
    "plain": lambda t: t.working["status"] == "in_progress" and link(t.done["result"]["data"][0]["url"]),
    "numbers_as_strings": lambda t: (
        t.working["progress"] == "45"
        and t.done["expires_at"].isdecimal()
        and t.balance["used_credits"] == "80.0"
        and t.balance["success"] is True
    ),
    "upper_case": lambda t: (
        [x["status"] for x in (t.order, t.working, t.done, t.failed)]
        == ["NOT_START", "IN_PROGRESS", "SUCCESS", "FAILURE"]
    ),
    "synonyms": lambda t: (
        [x["status"] for x in (t.order, t.working, t.done, t.failed)]
        == ["pending", "processing", "succeeded", "cancelled"]
    ),
    "percent": lambda t: (t.order["progress"], t.working["progress"], t.done["progress"]) == ("0%", "45%", "100%"),
    "result_object": lambda t: link(t.done["result"]["data"]["url"]),
    "result_videos": lambda t: link(t.done["result"]["videos"][0]["url"]),
    "result_videos_list": lambda t: link(t.done["result"]["videos"][0]["url"][0]),
    "result_url": lambda t: link(t.done["result"]["url"]),
    "video_url": lambda t: link(t.done["video_url"]) and "result" not in t.done,
    "url": lambda t: link(t.done["url"]) and "result" not in t.done,
    "metadata_url": lambda t: link(t.done["metadata"]["url"]) and "result" not in t.done,
    "metadata_video_url": lambda t: link(t.done["metadata"]["video_url"]) and "result" not in t.done,
    "no_result": lambda t: t.done["status"] == "completed" and "/__files/" not in json.dumps(t.done),
    "task_id": lambda t: "id" not in t.order and t.order["task_id"] == t.done["task_id"],
    "envelope": lambda t: (
        t.order["data"]["id"] == t.done["data"]["id"]
        and t.done["data"]["status"] == "completed"
        and "status" not in t.done
    ),
    "task_id_envelope": lambda t: (
        t.order["data"]["task_id"] == t.done["data"]["task_id"] and "id" not in t.order["data"]
    ),
    "list_envelope": lambda t: (
        (t.order["code"], t.order["data"][0]["status"]) == (200, "submitted")
        and t.done["data"][0]["status"] == "completed"
        and t.order["data"][0]["task_id"] == t.done["data"][0]["task_id"]
    ),
    "errors_chinese": lambda t: (
        "任务不存在" in t.missing.text and t.stranger.json()["error"]["message"].startswith("无效的令牌")
    ),
    "errors_deep": lambda t: (
        deep(t.missing.json()["error"]["message"], 3) == "Task not found"
        and "could not be generated" in deep(t.failed["error"]["message"], 3)
    ),
    "errors_int_code": lambda t: t.stranger.json()["error"]["code"] == 401,
    "errors_string_code": lambda t: t.missing.json()["error"]["code"] == "task_not_found",
    "errors_new_api": lambda t: t.invalid.json()["error"]["type"] == "new_api_error",
    "errors_message_only": lambda t: list(t.missing.json()["error"]) == ["message"] and "request id" in t.missing.text,
    "errors_success_false": lambda t: (
        (t.stranger.status_code, t.stranger.json()["success"]) == (200, False)
        and (t.missing.status_code, t.missing.json()["success"]) == (404, False)
    ),
    "errors_flat": lambda t: (
        (t.missing.status_code, t.missing.json()) == (400, {"message": "task_not_exist"})
        and list(t.invalid.json()) == ["message"]
    ),
    "errors_html": lambda t: (
        t.missing.status_code == 404
        and t.missing.text.startswith("<!DOCTYPE")
        and "html" in t.missing.headers["content-type"]
    ),
}


def test_every_dialect_has_its_difference():
    assert set(DIFFERENCES) == set(DIALECTS)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_dialect_differs_as_documented_and_the_plain_one_does_not(client, sim, clock, dialect):
    told = await Told.by(client, sim, clock, dialect)
    assert DIFFERENCES[dialect](told)
    plain = await Told.by(client, sim, clock, "plain")
    try:
        same = dialect != "plain" and DIFFERENCES[dialect](plain)
    except (KeyError, ValueError, TypeError):
        same = False
    assert not same


async def test_dialects_go_together(client, sim):
    sim.dialect = "errors_chinese+percent+list_envelope+upper_case+video_url+numbers_as_strings"
    told = (await client.post(GENERATIONS, json={"model": "sora-2-official", "prompt": "x"})).json()
    assert told["code"] == "200"
    assert (told["data"][0]["status"], told["data"][0]["progress"]) == ("NOT_START", "0%")
    sim.finish(told["data"][0]["task_id"])
    done = (await client.get(f"{GENERATIONS}/{told['data'][0]['task_id']}")).json()["data"][0]
    assert (done["status"], link(done["video_url"])) == ("SUCCESS", True)


def test_unknown_dialect_is_refused_by_name():
    with pytest.raises(ValueError, match="unknown dialect 'klingon'"):
        Simulator(dialect="plain+klingon")
