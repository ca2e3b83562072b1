import pytest

from tests.simulator.conftest import GENERATIONS, caller

pytestmark = pytest.mark.anyio
GOOD = {"model": "sora-2-official", "prompt": "a red kite"}
VVIP = {"model": "sora-2-vvip", "prompt": "a red kite"}
HTTPS = "https://example.com/a.png"

REFUSED = [
    ({"prompt": "x"}, "model is required"),
    ({"model": None, "prompt": "x"}, "model is required"),
    ({"model": 7, "prompt": "x"}, "model: expected a string"),
    ({"model": "sora-2-official"}, "prompt is required"),
    ({**GOOD, "prompt": "  "}, "prompt is required"),
    ({**GOOD, "prompt": ["x"]}, "prompt: expected a string"),
    ({**GOOD, "duration": "8"}, "duration: expected an integer"),
    ({**GOOD, "duration": True}, "duration: expected an integer"),
    ({**GOOD, "duration": 8.0}, "duration: expected an integer"),
    ({**GOOD, "duration": 5}, "Supported values: 4, 8, 12"),
    ({**GOOD, "duration": 0}, "Supported values: 4, 8, 12"),
    ({**GOOD, "aspect_ratio": "4:3"}, "Supported values: 16:9, 9:16"),
    ({**GOOD, "aspect_ratio": 16}, "aspect_ratio: expected a string"),
    ({**GOOD, "image_urls": HTTPS}, "image_urls: expected an array"),
    ({**GOOD, "image_urls": [1]}, "expected an array of strings"),
    ({**GOOD, "image_urls": ["data:image/png;base64,AAAA"]}, "no base64"),
    ({**GOOD, "image_urls": ["iVBORw0KGgo="]}, "no base64"),
    ({**GOOD, "image_urls": ["file:///etc/passwd"]}, "http:// or https://"),
    ({**GOOD, "image_urls": ["https:///nohost"]}, "http:// or https://"),
    ({**GOOD, "image_urls": ["http://[::1"]}, "http:// or https://"),
    ({**GOOD, "image_urls": [HTTPS, "ftp://x/y"]}, "http:// or https://"),
    ({**GOOD, "client_business_id": "x" * 41}, "at most 40 characters"),
    ({**GOOD, "client_business_id": ""}, "at most 40 characters"),
    ({**GOOD, "client_business_id": "a b"}, "at most 40 characters"),
    ({**GOOD, "client_business_id": "abc\n"}, "at most 40 characters"),
    ({**GOOD, "client_business_id": 5}, "client_business_id: expected a string"),
    ({**VVIP, "image_urls": [HTTPS] * 4}, "at most 3"),
    ({**VVIP, "thumbnail": "yes"}, "thumbnail: expected a boolean"),
    ({**VVIP, "metadata": []}, "metadata: expected an object"),
    ({**VVIP, "metadata": {"n": 5}}, "1 to 4"),
    ({**VVIP, "metadata": {"n": "2"}}, "n: expected an integer"),
    ({**VVIP, "metadata": {"private": 1}}, "private: expected a boolean"),
    ({**VVIP, "metadata": {"style": "noir"}}, "metadata.style"),
]


@pytest.mark.parametrize(("body", "words"), REFUSED)
async def test_field_that_cannot_be_is_refused_and_costs_nothing(client, sim, body, words):
    answer = await client.post(GENERATIONS, json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert words in error["message"]
    assert (error["code"], error["type"]) == (400, "invalid_request_error")
    assert sim.charges == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"[]", b'"text"', b"null"])
async def test_body_that_is_no_json_object_is_refused(client, sim, body):
    answer = await client.post(GENERATIONS, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]["message"]
    assert sim.charges == []
    assert sim.requests[0].json in ([], None, "text")


@pytest.mark.parametrize(
    "extra",
    [
        {"unknown": {"deep": [1]}},
        {"duration": None, "aspect_ratio": None, "image_urls": None, "client_business_id": None},
        {"image_urls": []},
        {"image_urls": [HTTPS] * 11},
        {"client_business_id": "A-z_9" * 8},
        {"prompt": "鳥 \U0001f985 " * 5000},
    ],
)
async def test_order_is_taken(client, sim, extra):
    answer = await client.post(GENERATIONS, json={**GOOD, **extra})
    assert answer.status_code == 200
    assert answer.json()["metadata"] == {"size": "720x1280", "seconds": "4"}
    assert [charge.task_id for charge in sim.charges] == [answer.json()["id"]]


async def test_model_without_a_channel_is_a_503_that_says_so(client, sim):
    for model in ("sora-3", "sora-2-pro", "sora-2-OFFICIAL"):
        answer = await client.post(GENERATIONS, json={**GOOD, "model": model})
        assert answer.status_code == 503
        error = answer.json()["error"]
        assert (error["code"], error["type"]) == ("model_not_found", "new_api_error")
        assert "no available channel" in error["message"]
    sim.models = ["sora-2-vvip"]
    assert (await client.post(GENERATIONS, json=GOOD)).status_code == 503
    assert (await client.post(GENERATIONS, json=VVIP)).status_code == 200
    assert len(sim.charges) == 1


async def test_refused_prompt_is_a_422_and_costs_nothing(client, sim):
    answer = await client.post(GENERATIONS, json={**GOOD, "prompt": "something [Refuse] here"})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "content_policy_violation"
    assert sim.charges == []


@pytest.mark.parametrize(
    "header", [{}, {"Authorization": ""}, {"Authorization": "Bearer "}, {"Authorization": "Basic x"}]
)
async def test_no_key_is_a_401_before_anything_else(sim, header):
    async with caller(sim) as client:
        del client.headers["Authorization"]
        for method, path in (("POST", GENERATIONS), ("GET", f"{GENERATIONS}/x"), ("GET", "/v1/balance")):
            answer = await client.request(method, path, headers=header, content=b"{")
            assert answer.status_code == 401
            assert set(answer.json()["error"]) == {"message"}
            assert "(request id: " in answer.json()["error"]["message"]


async def test_only_the_given_keys_are_good_when_there_are_some(client, sim):
    sim.keys = {"sk-other"}
    assert (await client.get("/v1/balance")).status_code == 401
    assert (await client.get("/v1/balance", headers={"Authorization": "bearer sk-other"})).status_code == 200


async def test_empty_balance_is_a_402_and_costs_nothing(client, sim):
    sim.balance_credits = 100
    await client.order()
    answer = await client.post(GENERATIONS, json=GOOD)
    assert answer.status_code == 402
    assert answer.json()["error"] == {"code": "insufficient_quota", "message": "user quota is not enough"}
    assert len(sim.charges) == 1
    sim.balance_credits, sim.key_credits = None, 100
    assert (await client.post(GENERATIONS, json=GOOD)).status_code == 402
    sim.key_credits = None
    assert (await client.post(GENERATIONS, json=GOOD)).status_code == 200
