import httpx
import pytest

from sora_mcp.simulator import Fault
from tests.simulator.conftest import BASE, GENERATIONS

pytestmark = pytest.mark.anyio


@pytest.fixture
async def admin(client):
    del client.headers["Authorization"]
    return client


async def test_faults_are_set_listed_and_cleared_from_outside(admin, sim):
    one = {"where": "balance", "what": "rate_limited", "retry_after": 3, "times": None}
    assert (await admin.post("/__sim/faults", json=one)).json() == {"ok": True}
    await admin.post("/__sim/faults", json=[{"where": "file"}, {"what": "slow", "seconds": 1}])
    assert sim.faults.pending == [
        Fault("balance", "rate_limited", times=None, retry_after=3),
        Fault("file"),
        Fault(what="slow", seconds=1),
    ]
    assert [fault["where"] for fault in (await admin.get("/__sim/faults")).json()] == ["balance", "file", "any"]
    await admin.delete("/__sim/faults")
    assert sim.faults.pending == []


GOOD = [
    {"seconds": 1},
    {"seconds": 0.5, "times": 2, "status": None},
    {"body": {"a": [1]}},
    {"body": True},
    {"retry_after": "soon"},
    {"headers": {"a": "b"}},
    {"after_work": True},
]
BAD = [
    {"where": 1},
    {"times": "2"},
    {"times": 1.5},
    {"times": True},
    {"seconds": "1"},
    {"seconds": True},
    {"after_work": 1},
    {"headers": []},
    {"nope": 1},
    {"what": "x"},
    "reset",
    [{"times": 1}, {"what": "x"}],
]


@pytest.mark.parametrize("fault", GOOD)
async def test_fault_of_the_right_types_is_taken(admin, sim, fault):
    assert (await admin.post("/__sim/faults", json=fault)).status_code == 200
    assert len(sim.faults.pending) == 1


@pytest.mark.parametrize("fault", BAD)
async def test_fault_that_cannot_be_changes_nothing(admin, sim, fault):
    answer = await admin.post("/__sim/faults", json=fault)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert sim.faults.pending == []


async def test_charges_and_requests_are_told_but_not_the_admin_calls(admin, sim):
    admin.headers["Authorization"] = "Bearer sk-x"
    task = await admin.order(client_business_id="smcp-1")
    assert [charge["task_id"] for charge in (await admin.get("/__sim/charges")).json()] == [task["id"]]
    (told,) = (await admin.get("/__sim/requests")).json()
    assert (told["method"], told["path"], told["json"]["client_business_id"]) == ("POST", GENERATIONS, "smcp-1")
    assert len(sim.requests) == 1


async def test_settings_are_changed_together(admin, sim):
    changes = {
        "speed": 5,
        "keeps_ids": False,
        "dialect": "percent+url",
        "balance": 12.5,
        "key_credits": None,
        "job_seconds": 3,
        "link_seconds": 60,
        "result_seconds": 600,
        "public_url": "http://files",
        "keys": ["a"],
        "models": ["sora-2"],
        "enforce_limits": True,
        "remix_keeps_ids": False,
    }
    assert (await admin.post("/__sim/set", json=changes)).json() == {"ok": True}
    told = {name: getattr(sim, "balance_credits" if name == "balance" else name) for name in changes}
    assert told == changes


@pytest.mark.parametrize(
    "change",
    [
        {"nope": 1},
        {"speed": 0},
        {"speed": "fast"},
        {"speed": True},
        {"dialect": "klingon"},
        {"dialect": None},
        {"keeps_ids": 1},
        {"keys": "sk"},
        {"keys": [1]},
        {"models": ["sora-9"]},
        {"job_seconds": -1},
        {"public_url": 1},
        [1],
        3,
    ],
)
async def test_setting_that_cannot_be_is_refused(admin, sim, change):
    before = {name: value for name, value in vars(sim).items() if name not in {"app", "requests"}}
    changes = {"job_seconds": 7.0, **change} if isinstance(change, dict) else change
    assert (await admin.post("/__sim/set", json=changes)).status_code == 400
    assert {name: vars(sim)[name] for name in before} == before


async def test_body_that_is_no_json_is_refused(admin):
    assert (await admin.post("/__sim/set", content=b"{")).status_code == 400


async def test_tasks_are_ended_and_forced_from_outside(admin):
    admin.headers["Authorization"] = "Bearer sk-x"
    first, second = [(await admin.order())["id"] for _ in range(2)]
    await admin.post(f"/__sim/tasks/{first}", json={"status": {"status": "rendering"}})
    assert (await admin.ask(first))["status"] == "rendering"
    await admin.post(f"/__sim/tasks/{first}", json={"status": {}, "finish": True})
    assert (await admin.ask(first))["status"] == "completed"
    await admin.post(f"/__sim/tasks/{second}", json={"fail": {"message": "heavy load"}})
    assert (await admin.ask(second))["error"]["message"] == "heavy load"
    assert (await admin.post("/__sim/tasks/nope", json={"finish": True})).status_code == 404
    assert (await admin.post(f"/__sim/tasks/{first}", json={"explode": True})).status_code == 404
    assert (await admin.post(f"/__sim/tasks/{first}", json={"fail": {"colour": 1}})).status_code == 400


async def test_browser_and_strangers_are_kept_out(admin, sim):
    assert (await admin.post("/__sim/faults", json={}, headers={"Origin": "https://evil.example"})).status_code == 403
    for client in (("192.0.2.7", 1), ("testclient", 1)):
        transport = httpx.ASGITransport(app=sim.app, client=client)
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as stranger:
            assert (await stranger.post("/__sim/faults", json={})).status_code == 403
    assert sim.faults.pending == []
