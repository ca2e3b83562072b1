"""Any sequence of outcomes, checked against the rules of money written down a second time, plainly."""

import tempfile
from pathlib import Path

import anyio.from_thread
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from sora_mcp.journal import Joined, Journal, NewOrder, OverLimit, Reserved, new_order_id
from sora_mcp.models import Failure, TaskReport

LIMIT = 24
DAY = 86_400
RANK = {"unconfirmed": 0, "queued": 1, "in_progress": 2, "failed": 3, "completed": 4}


class Book(RuleBasedStateMachine):
    orders = Bundle("orders")

    def __init__(self):
        super().__init__()
        self.now = 1_800_000_000.0
        self.folder = tempfile.TemporaryDirectory()
        self.runner = anyio.from_thread.start_blocking_portal()
        self.portal = self.runner.__enter__()
        self.journal = Journal(Path(self.folder.name, "orders.db"), clock=lambda: self.now)
        self.portal.call(self.journal.list)
        self.journal._store._connection.execute("PRAGMA synchronous = OFF")
        self.expected = {}

    def teardown(self):
        self.portal.call(self.journal.aclose)
        self.runner.__exit__(None, None, None)
        self.folder.cleanup()

    def live(self, order, seconds):
        return order["at"] > self.now - seconds and order["status"] not in {None, "failed"}

    def reserved(self):
        return sum(order["seconds"] for order in self.expected.values() if self.live(order, DAY))

    def change(self, method, order_id, *arguments):
        return self.portal.call(method, order_id, *arguments)

    @rule(target=orders, fingerprint=st.sampled_from("abc"), seconds=st.sampled_from([4, 8, 12]))
    def begin(self, fingerprint, seconds):
        new = NewOrder(new_order_id(), "generate", fingerprint, "m", "p", seconds, None, None, {}, None)
        begun = self.portal.call(lambda: self.journal.begin(new, daily_seconds=LIMIT))
        twins = [
            order_id
            for order_id, order in self.expected.items()
            if order["fingerprint"] == fingerprint and self.live(order, 900)
        ]
        if twins:
            assert isinstance(begun, Joined)
            assert begun.order.order_id == twins[-1]
            return twins[-1]
        if self.reserved() + seconds > LIMIT:
            assert isinstance(begun, OverLimit)
            assert begun.ordered_seconds == self.reserved()
            return None
        assert isinstance(begun, Reserved)
        self.expected[new.order_id] = {
            "fingerprint": fingerprint, "seconds": seconds, "at": self.now,
            "state": "sending", "status": "unconfirmed", "progress": 0,
        }  # fmt: skip
        return new.order_id

    @rule(order_id=orders)
    def reject(self, order_id):
        if order_id:
            order = self.expected[order_id]
            if order["state"] == "sending":
                order |= {"state": "rejected", "status": None}
            self.change(self.journal.reject, order_id, "code", "words")

    @rule(order_id=orders)
    def lose(self, order_id):
        if order_id:
            order = self.expected[order_id]
            if order["state"] == "sending":
                order["state"] = "unconfirmed"
            self.change(self.journal.mark_unconfirmed, order_id)

    @rule(order_id=orders)
    def give_up(self, order_id):
        if order_id:
            order = self.expected[order_id]
            if order["state"] == "unconfirmed":
                order |= {"state": "absent", "status": None}
            self.change(self.journal.mark_absent, order_id)

    @rule(
        order_id=orders,
        status=st.sampled_from(["queued", "in_progress", "failed", "completed"]),
        progress=st.integers(0, 100),
        by_handle=st.booleans(),
    )
    def report(self, order_id, status, progress, by_handle):
        if order_id:
            order = self.expected[order_id]
            order["state"] = "accepted"
            if RANK[status] > RANK.get(order["status"], 0):
                order["status"] = status
            order["progress"] = 100 if order["status"] == "completed" else max(order["progress"], progress)
            report = TaskReport(
                "video_" + order_id,
                status,
                progress=progress,
                failure=Failure("code", "words") if status == "failed" else None,
                client_business_id=order_id,
            )
            if by_handle:
                self.portal.call(self.journal.record, report)
            else:
                self.change(self.journal.accept, order_id, report)

    @rule(seconds=st.sampled_from([1, 900, DAY]))
    def wait(self, seconds):
        self.now += seconds

    @invariant()
    def the_book_is_as_expected(self):
        for order_id, order in self.expected.items():
            kept = self.portal.call(self.journal.find, order_id)
            assert (kept.state, kept.status, kept.progress) == (order["state"], order["status"], order["progress"])
            assert (kept.task_id is not None) == (kept.state == "accepted")
        assert self.portal.call(self.journal.ordered_seconds)[0] == self.reserved()


TestBook = Book.TestCase
TestBook.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
