import logging

import anyio
import pytest

from sora_mcp.catalog import load_catalog
from sora_mcp.errors import ModelUnavailable, UpstreamUnavailable
from sora_mcp.offer import FRESH_SECONDS, SILENT_SECONDS, Offer, known_model

pytestmark = pytest.mark.anyio

ONE, OTHER = load_catalog().models


class Service:
    """Lists what it is told to; an exception is raised, ``None`` hangs."""

    def __init__(self, listed):
        self.listed = listed
        self.asked = 0

    async def __call__(self):
        self.asked += 1
        await anyio.lowlevel.checkpoint()
        if self.listed is None:
            await anyio.sleep_forever()
        if isinstance(self.listed, Exception):
            raise self.listed
        return self.listed


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


DOWN = UpstreamUnavailable("Down.", "Ask later.", upstream_message="secret words")


async def test_the_list_is_asked_for_once_in_ten_minutes(clock):
    service = Service((ONE,))
    offer = Offer(service, clock=clock)
    for _ in range(5):
        assert await offer.ids() == (ONE,)
    clock.now += FRESH_SECONDS - 1
    await offer.ids()
    assert service.asked == 1
    clock.now += 1
    service.listed = (OTHER,)
    assert await offer.ids() == (OTHER,)
    assert service.asked == 2


async def test_a_crowd_puts_one_question(clock):
    service = Service((ONE,))
    offer = Offer(service, clock=clock)
    async with anyio.create_task_group() as callers:
        for _ in range(20):
            callers.start_soon(offer.check, ONE)
    assert service.asked == 1


async def test_a_cancelled_question_is_put_again_by_the_next_caller(clock):
    service = Service(None)
    offer = Offer(service, clock=clock)
    with anyio.move_on_after(0.05):
        await offer.ids()
    service.listed = (ONE,)
    assert await offer.ids() == (ONE,)


async def test_a_clock_that_is_set_back_does_not_keep_an_old_list(clock):
    service = Service((ONE,))
    offer = Offer(service, clock=clock)
    await offer.ids()
    clock.now -= 86_400
    await offer.ids()
    assert service.asked == 2


@pytest.mark.parametrize("silence", [DOWN, (), None], ids=["fails", "lists nothing", "hangs"])
async def test_a_silent_service_stops_no_order_and_is_asked_again_in_a_minute(clock, silence, monkeypatch, caplog):
    monkeypatch.setattr("sora_mcp.offer.PATIENCE_SECONDS", 0.05)
    caplog.set_level(logging.DEBUG)
    service = Service(silence)
    offer = Offer(service, clock=clock)
    with anyio.fail_after(2):
        for _ in range(3):
            assert await offer.ids() == ()
            await offer.check(ONE)
    assert service.asked == 1
    assert "secret words" not in caplog.text
    service.listed = (OTHER,)
    clock.now += SILENT_SECONDS
    with pytest.raises(ModelUnavailable):
        await offer.check(ONE)


async def test_a_list_that_grew_old_does_not_outlive_a_silent_service(clock):
    service = Service((OTHER,))
    offer = Offer(service, clock=clock)
    await offer.ids()
    clock.now += FRESH_SECONDS
    service.listed = DOWN
    await offer.check(ONE)


async def test_a_model_on_offer_passes(clock):
    await Offer(Service((OTHER, ONE)), clock=clock).check(ONE)


async def test_a_model_off_offer_is_refused_and_what_is_on_offer_is_named(clock):
    with pytest.raises(ModelUnavailable) as error:
        await Offer(Service((OTHER, "veo-9")), clock=clock).check(ONE)
    assert str(error.value) == (
        f"The service does not offer {ONE} now. Nothing was ordered or charged. "
        f"On offer: {OTHER}. Ask the user before using another one: prices differ."
    )
    assert error.value.upstream_message is None


async def test_models_that_this_server_cannot_use_are_named_as_such(clock):
    listed = tuple(f"veo-{number}" for number in range(20))
    error = await Offer(Service(listed), clock=clock).unavailable(ONE, "no channel")
    assert "None of the models that this server knows is on offer. The service lists veo-0, veo-1" in str(error)
    assert "veo-7" in str(error)
    assert "veo-8" not in str(error)
    assert "newer sora-mcp" in str(error)
    assert error.upstream_message == "no channel"


async def test_a_refusal_by_a_service_that_lists_nothing_claims_no_offer(clock):
    error = await Offer(Service(DOWN), clock=clock).unavailable(ONE)
    assert f"This server also knows: {OTHER}." in str(error)
    assert "On offer" not in str(error)


async def test_a_refusal_never_names_the_refused_model_as_the_way_out(clock):
    error = await Offer(Service((ONE,)), clock=clock).unavailable(ONE)
    assert "newer sora-mcp" in str(error)


def test_a_known_model_is_the_catalogues():
    assert known_model(ONE) is load_catalog().models[ONE]


@pytest.mark.parametrize("model", ["", "sora-2", "sora-2-pro", "SORA-2-OFFICIAL", "canary\n", "../sora"])
def test_an_unknown_model_is_refused_by_naming_those_that_are_known(model):
    with pytest.raises(ModelUnavailable) as error:
        known_model(model)
    assert f"Pass one of: {ONE}, {OTHER}." in str(error.value)
    assert "Nothing was ordered" in str(error.value)
    assert "canary" not in str(error.value)
