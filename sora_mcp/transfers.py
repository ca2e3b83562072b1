"""Transfers to the disk: one a task, whoever asks for it, and no host's patience ends it."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from sora_mcp.errors import NotReady, SoraMcpError
from sora_mcp.models import DownloadedVideo

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 45.0
"""A call answers within this time; hosts cut calls off at 60 s."""

Progress = Callable[[int, int | None], Awaitable[None]]


@dataclass(slots=True)
class _Transfer:
    received: int = 0
    total: int | None = None
    saved: DownloadedVideo | None = None
    error: Exception | None = None
    over: bool = False
    changed: anyio.Event = field(default_factory=anyio.Event)

    def tell(self) -> None:
        changed, self.changed = self.changed, anyio.Event()
        changed.set()


class Transfers:
    """Runs transfers in the server's task group and lets callers watch.

    Args:
        save: Saves one task's video; told how many bytes came, of how many if known.
        task_group: Lives as long as the server.
    """

    def __init__(self, save: Callable[[str, Progress], Awaitable[DownloadedVideo]], task_group: TaskGroup) -> None:
        """Keep the parts; nothing runs yet."""
        self._save = save
        self._task_group = task_group
        self._transfers: dict[str, _Transfer] = {}

    def start(self, task_id: str) -> "_Transfer":
        """Begin a transfer, or find the one under way."""
        transfer = self._transfers.get(task_id)
        if transfer is None:
            transfer = self._transfers[task_id] = _Transfer()
            self._task_group.start_soon(self._run, task_id, transfer)
        return transfer

    async def wait(self, task_id: str, on_progress: Progress) -> DownloadedVideo:
        """The saved video, within 45 s.

        Raises:
            NotReady: The transfer needs longer; it goes on.
            SoraMcpError: It failed; why.
        """
        transfer = self.start(task_id)
        with anyio.move_on_after(ANSWER_SECONDS):
            shown = 0
            while not transfer.over:
                changed = transfer.changed
                if transfer.received > shown:
                    shown = transfer.received
                    await on_progress(shown, transfer.total)
                await changed.wait()
        if transfer.saved:
            return transfer.saved
        raise transfer.error or NotReady(
            f"The video is still being saved: {transfer.received / 1e6:.1f} MB so far.",
            "The transfer goes on; call download_video again in 20 s to learn its path.",
            retry_after_seconds=20,
        )

    async def _run(self, task_id: str, transfer: _Transfer) -> None:
        async def on_progress(received: int, total: int | None) -> None:
            transfer.received, transfer.total = received, total
            transfer.tell()

        try:
            transfer.saved = await self._save(task_id, on_progress)
        except Exception as error:  # noqa: BLE001 - raised to those who wait; here it would end the server
            why = error.code if isinstance(error, SoraMcpError) else type(error).__name__
            logger.warning("the video of %s was not saved: %s", task_id, why)
            transfer.error = error
        finally:
            del self._transfers[task_id]
            transfer.over = True
            transfer.tell()
