"""The order book as the rest of the program sees it: asynchronous, and cheap until it is used."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sora_mcp.errors import JournalUnavailable
from sora_mcp.journal import orders, uploads
from sora_mcp.journal.reports import changes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    import anyio

    from sora_mcp.journal.rows import Begun, NewOrder, NotFound, Order, Page, Upload
    from sora_mcp.journal.store import Store
    from sora_mcp.models import TaskReport, TaskStatus

T = TypeVar("T")

BUSY_TIMEOUT_SECONDS = 10.0
SENDING_LEASE_SECONDS = 60.0


class Journal:
    """The order book of one account: a file that several processes share.

    Every method but :meth:`aclose` raises ``JournalUnavailable`` when the file cannot be used: locked by another
    program for longer than the busy timeout, read-only, on a full disk, of a newer version, or damaged (then until a
    person has deleted the note beside it; see ``damage.py``). Reading still works while the file is locked for
    writing, is read-only or on a full disk. What a method has written is on the disk when it returns. A call that
    is cancelled either has not begun, or runs to its end: nothing is half done.

    A change to an order returns it as it then stands. One that its state does not allow changes nothing::

        sending -> accepted | rejected | unconfirmed
        unconfirmed -> accepted | absent
        rejected, absent -> accepted      (found after all: its seconds count again)
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        process_id: str | None = None,
        busy_timeout: float = BUSY_TIMEOUT_SECONDS,
    ) -> None:
        """Open nothing yet.

        Args:
            path: The file; it and its folder are made on first use, for this user only.
            clock: Unix seconds.
            process_id: Who holds this journal's leases; by default made at random.
            busy_timeout: Seconds to wait for other processes.
        """
        self._path = Path(path).absolute()
        self._clock = clock
        self._process_id = process_id or f"{os.getpid()}-{os.urandom(8).hex()}"
        self._busy_timeout = busy_timeout
        self._store: Store | None = None
        self._limiter: anyio.CapacityLimiter | None = None
        # The limiter lets one call in at a time, but a task killed by asyncio itself leaves before its thread does.
        self._turn = threading.Lock()

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    async def aclose(self) -> None:
        """Close the file, even when cancelled. A later call opens it again."""
        import anyio  # noqa: PLC0415 - costs more than everything else here

        with anyio.CancelScope(shield=True):
            await self._in_thread(lambda store: store.close())

    async def begin(
        self, order: NewOrder, *, daily_seconds: int, lease_seconds: float = SENDING_LEASE_SECONDS
    ) -> Begun:
        """Join a live order, or reserve its seconds and write it down; only ``Reserved`` may be sent.

        Args:
            order: What is about to be sent.
            daily_seconds: Seconds of video that may be ordered in 24 hours; 0 for no limit.
            lease_seconds: How long others believe this process to be sending; :meth:`claim` renews it.

        Raises:
            JournalUnavailable: Nothing was written: do not send.
        """
        try:
            return await self._write(
                lambda connection: orders.begin(
                    connection,
                    order,
                    daily_seconds=daily_seconds,
                    owner=self._process_id,
                    lease_seconds=lease_seconds,
                    now=self._clock(),
                )
            )
        except JournalUnavailable as error:
            raise JournalUnavailable("No video was ordered.", str(error)) from error

    async def accept(self, order_id: str, report: TaskReport) -> Order:
        """The service has the task: keep its id. Allowed from every state; to say it again changes nothing."""
        return await self._write(lambda connection: orders.accept(connection, order_id, report, self._clock()))

    async def reject(self, order_id: str, code: str, message: str) -> Order:
        """The order was refused, or never left: its seconds are free again."""
        return await self._write(lambda connection: orders.reject(connection, order_id, code, message, self._clock()))

    async def mark_unconfirmed(self, order_id: str) -> Order:
        """The answer to the order was lost."""
        return await self._write(lambda connection: orders.mark_unconfirmed(connection, order_id, self._clock()))

    async def mark_absent(self, order_id: str) -> Order:
        """The order is proven never to have been taken (see ``NotFound.proven`` and :meth:`ids_kept`)."""
        return await self._write(lambda connection: orders.mark_absent(connection, order_id, self._clock()))

    async def record(self, report: TaskReport) -> Order | None:
        """Write down what a status answer adds; ``None`` for a task that was not ordered through this order book.

        Progress and status never go backwards; completed stays completed. Nothing is written when nothing is new.
        """
        order = await self._read(lambda connection: orders.reported(connection, report))
        if order is None or not changes(order, report):
            return order
        return await self._write(lambda connection: orders.record(connection, report, self._clock()))

    async def find(self, id: str) -> Order | None:  # noqa: A002 - an id of either kind
        """An order by its task's id or its own."""
        return await self._read(lambda connection: orders.find(connection, id))

    async def unresolved(self) -> tuple[Order, ...]:
        """Orders to look up: ``sending`` without a lease that runs, and ``unconfirmed`` younger than 24 hours."""
        return await self._read(lambda connection: orders.unresolved(connection, self._clock()))

    async def claim(self, order_id: str, seconds: float) -> bool:
        """Take or renew the lease on an unresolved order, at most 600 seconds at a time; 0 gives it back.

        Returns:
            Whether this process may recover it now: ``False`` when another holds the lease, or nothing is to recover.
        """
        return await self._write(
            lambda connection: orders.claim(connection, order_id, self._process_id, seconds, self._clock())
        )

    async def not_found(self, order_id: str) -> NotFound:
        """The service answered that it does not know the order: count it, unless the last time was just now."""
        return await self._write(lambda connection: orders.not_found(connection, order_id, self._clock()))

    async def list(
        self, *, status: TaskStatus | None = None, query: str | None = None, limit: int = 10, before: str | None = None
    ) -> Page:
        """Orders that are or may become videos, newest first; rejected and absent ones are left out.

        Args:
            status: Only those of this status.
            query: Only those whose prompt has all these words, in any case.
            limit: How many.
            before: The ``next_cursor`` of an earlier page; it stays right while new orders arrive.

        Raises:
            InvalidArgument: ``before`` is not a cursor, or ``query`` is longer than 1,000 characters.
        """
        return await self._read(
            lambda connection: orders.page(connection, status=status, query=query, limit=limit, before=before)
        )

    async def ordered_seconds(self) -> tuple[int, float | None]:
        """Seconds ordered in the last 24 hours, and when (Unix seconds) the oldest of them stop counting."""
        return await self._read(lambda connection: orders.ordered_seconds(connection, self._clock()))

    async def save(self, task_id: str, path: str, size: int, sha256: str) -> Order | None:
        """Remember where a video was saved, its bytes and its hash; ``None`` for a task that is not in here."""
        return await self._write(
            lambda connection: orders.save(connection, task_id, path=path, size=size, sha256=sha256, now=self._clock())
        )

    async def ids_kept(self, model: str) -> bool:
        """Whether the service is known to keep our order ids for this model."""
        return await self._read(lambda connection: uploads.ids_kept(connection, model))

    async def learn_ids_kept(self, model: str) -> None:
        """It does: a task of this model echoed or answered to its order id."""
        if not await self.ids_kept(model):
            await self._write(lambda connection: uploads.learn_ids_kept(connection, model, self._clock()))

    async def remember_upload(self, content_sha256: str, settings: str, upload: Upload) -> None:
        """Keep an upload under the hash of its content and the settings (aspect ratio and fit) it was made with."""
        await self._write(lambda connection: uploads.remember(connection, content_sha256, settings, upload))

    async def find_upload(self, content_sha256: str, settings: str) -> Upload | None:
        """The same image with the same settings, if it was uploaded within the hour."""
        return await self._read(lambda connection: uploads.find(connection, content_sha256, settings, self._clock()))

    async def upload_size(self, url: str) -> tuple[int, int] | None:
        """Width and height in pixels of an image uploaded from here in the last 30 days, by its link."""
        return await self._read(lambda connection: uploads.size_of(connection, url))

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._in_thread(lambda store: store.read(work))

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._in_thread(lambda store: store.write(work))

    async def _in_thread(self, work: Callable[[Store], T]) -> T:
        from anyio import CapacityLimiter, to_thread  # noqa: PLC0415 - see aclose

        if self._limiter is None:
            self._limiter = CapacityLimiter(1)
        return await to_thread.run_sync(self._in_turn, work, abandon_on_cancel=False, limiter=self._limiter)

    def _in_turn(self, work: Callable[[Store], T]) -> T:
        with self._turn:
            if self._store is None:
                from sora_mcp.journal.store import Store  # noqa: PLC0415 - imports sqlite3, which start-up does without

                self._store = Store(self._path, self._busy_timeout)
            return work(self._store)
