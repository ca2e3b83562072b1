import re

from hypothesis import given
from hypothesis import strategies as st

from sora_mcp.simulator.task_ids import KINDS, MODELS, OUTCOMES, SECONDS, SIZES, Order, pack, unpack

orders = st.builds(
    Order,
    model=st.sampled_from(MODELS),
    seconds=st.sampled_from(SECONDS),
    size=st.sampled_from(SIZES),
    kind=st.sampled_from(KINDS),
    outcome=st.sampled_from(OUTCOMES),
    clips=st.integers(1, 4),
    created=st.integers(0, 10**12).map(lambda hundredths: hundredths / 100),
    length=st.floats(0, 1e9, width=32),
    nonce=st.integers(0, 2**32 - 1),
)


@given(orders)
def test_an_id_tells_its_whole_order_again(order):
    task_id = pack(order)
    assert unpack(task_id) == order
    assert re.fullmatch(r"video_[A-Z2-7]{29}", task_id)


@given(orders, st.integers(6, 34), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
def test_a_changed_id_is_not_ours(order, at, letter):
    task_id = pack(order)
    changed = task_id[:at] + letter + task_id[at + 1 :]
    # The last letter has one bit that carries nothing, so that a change of it alone may read the same.
    assert changed == task_id or unpack(changed) is None or (at == 34 and unpack(changed) == order)


@given(st.text())
def test_foreign_text_is_no_id(text):
    assert unpack(text) is None
    assert unpack(f"video_{text}"[:35]) is None
    assert unpack("video_" + "é" * 29) is None
    assert unpack("video_" + "1" * 29) is None


def test_time_is_never_rounded_into_the_future():
    order = Order("sora-2-official", 4, "720x1280", "generate", "completed", 1, 1000.129, 1.0, 7)
    told = unpack(pack(order))
    assert told is not None
    assert told.created == 1000.12
