"""What happens, in order: order a video or a remix, ask about it, list what there is.

Knows neither MCP nor HTTP. Everything is opened when it is first needed.
"""

import logging
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from sora_mcp.account import account_answer
from sora_mcp.answers import LOST_NOTE, task_answer
from sora_mcp.asking import Asking, OnTaskChanged
from sora_mcp.catalog import load_catalog
from sora_mcp.errors import InvalidArgument, JournalUnavailable, ModelUnavailable, NotReady, ResultExpired, TaskNotFound
from sora_mcp.history import Reminders, page_of_videos
from sora_mcp.journal import NewOrder, Order, fingerprint, new_order_id
from sora_mcp.models import (
    Account,
    DownloadedVideo,
    Fit,
    GenerateRequest,
    RemixRequest,
    Task,
    TaskReport,
    TaskStatus,
    UploadedImage,
    VideoPage,
)
from sora_mcp.offer import known_model
from sora_mcp.ordering import Send
from sora_mcp.references import References
from sora_mcp.saving import Saving
from sora_mcp.service import Service, StartSimulator, journal_path, open_service
from sora_mcp.settings import Settings
from sora_mcp.transfers import Progress
from sora_mcp.waiting import OnChange

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

FILE_BYTES = 8_000_000
REMINDER_SECONDS = 600.0
SOURCE_SECONDS = 5.0
"""How long a remix waits to learn whether its source is completed."""
ORDER_ID = re.compile(r"^smcp-[0-9a-f]{32}$")

SAME_ORDER_NOTE = (
    "This order was placed before: this is that task, nothing was ordered or charged again. "
    "For another video of the same prompt pass take={}."
)


class Studio:
    """One account's videos. Lives as long as the server; what must not be cancelled runs in its task group.

    Args:
        settings: As loaded.
        task_group: Of the server's lifespan.
        local_paths: Whether a path given as an image is on this computer.
        on_task_changed: Awaited with the id of each task whose status or progress has changed.
        start_simulator: Starts the embedded simulator in a task group and returns its address.
        transport: Replaces the network in tests.
        clock: Unix seconds.
        sleep: Waits for seconds.
    """

    def __init__(
        self,
        settings: Settings,
        task_group: TaskGroup,
        *,
        local_paths: bool = True,
        on_task_changed: OnTaskChanged | None = None,
        start_simulator: StartSimulator | None = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """Open nothing yet."""
        self.settings = settings
        self._task_group = task_group
        self._start_simulator = start_simulator
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._opening = anyio.Lock()
        self._service: Service | None = None
        self._asking = Asking(
            self._open,
            task_group,
            poll_seconds=settings.poll_seconds,
            on_changed=on_task_changed,
            clock=clock,
            sleep=sleep,
        )
        self._saving = Saving(
            settings, self._open, self._asking, task_group, transport=transport, clock=clock, sleep=sleep
        )
        self._references = References(settings, local_paths=local_paths, clock=clock)
        self._reminders = Reminders(clock=clock)

    async def finish_orders(self, seconds: float) -> None:
        """Let orders in flight end, for at most ``seconds``; what is left is found again at the next start."""
        if self._service:
            await self._service.ordering.finish(seconds)

    async def aclose(self) -> None:
        """Close connections and files, once nothing runs any more."""
        with anyio.CancelScope(shield=True):
            await self._saving.aclose()
            await self._references.aclose()
            if self._service:
                await self._service.api.aclose()
                await self._service.journal.aclose()

    async def warm_up(self) -> None:
        """Where there was an earlier process of this account, take up what it left behind."""
        if self.settings.api_key is None and not self.settings.simulate:
            return
        with suppress(OSError):  # a folder that cannot be looked into is told when something is ordered
            if journal_path(self.settings).exists():
                await self._open()

    async def _open(self) -> Service:
        """The way to the service, opened on first use.

        Raises:
            MissingApiKey: There is no key, and the simulator is not asked for.
        """
        if self._service is None:
            async with self._opening:
                if self._service is None:
                    self._service = await open_service(
                        self.settings,
                        self._task_group,
                        start_simulator=self._start_simulator,
                        transport=self._transport,
                        clock=self._clock,
                        sleep=self._sleep,
                    )
                    self._task_group.start_soon(self._watch_links, self._service)
                    if self.settings.auto_save:
                        self._task_group.start_soon(self._saving.save_in_background)
        return self._service

    async def generate(
        self, *, prompt: str, duration: int, aspect_ratio: str, image_urls: list[str] | None, model: str, take: int
    ) -> Task:
        """Order a video. Costs money, once for the same arguments within 15 minutes.

        Raises:
            SoraMcpError: Nothing was ordered, and why.
        """
        chosen = known_model(model)
        if duration not in chosen.durations:
            allowed = ", ".join(map(str, chosen.durations))
            raise InvalidArgument(f"{model} makes videos of {allowed} seconds.", "Pass one of these as duration.")
        image_urls = image_urls or None
        service = await self._open()
        await self._references.check(service, image_urls or [], aspect_ratio, chosen)
        arguments = {"duration": duration, "aspect_ratio": aspect_ratio, "image_urls": image_urls}
        order = NewOrder(
            order_id=new_order_id(),
            kind="generate",
            fingerprint=fingerprint("generate_video", service.account, model, prompt, arguments, take),
            model=model,
            prompt=prompt,
            seconds=duration,
            aspect_ratio=aspect_ratio,
            size=load_catalog().size(aspect_ratio),
            request=arguments | {"take": take},
            remixed_from_video_id=None,
        )
        request = GenerateRequest(
            model=model,
            prompt=prompt,
            duration=duration,
            aspect_ratio=aspect_ratio,
            image_urls=image_urls,
            client_business_id=order.order_id,
        )
        notes: list[str] = []
        if image_urls and len(image_urls) > chosen.max_images:
            used = "first one" if chosen.max_images == 1 else f"first {chosen.max_images}"
            notes.append(f"Only the {used} of the {len(image_urls)} images is used.")
        return await self._place(service, order, lambda: service.api.generate(request), take, notes)

    async def remix(self, video_id: str, prompt: str, take: int) -> Task:
        """Order a changed version of a completed video, by the same rules as :meth:`generate`.

        Raises:
            NotReady: The source is not completed.
            ResultExpired: The source is older than 24 hours: the service no longer has it.
            SoraMcpError: Nothing was ordered, and why.
        """
        service = await self._open()
        source, report = await self._completed(video_id)
        video_id = source.id if source else video_id
        model = (source and source.model) or (report and report.model) or self.settings.default_model
        size = source.size if source else report.size if report else None
        seconds = source.seconds if source else _whole_seconds(report)
        order = NewOrder(
            order_id=new_order_id(),
            kind="remix",
            fingerprint=fingerprint("remix_video", service.account, model, prompt, {"video_id": video_id}, take),
            model=model,
            prompt=prompt,
            seconds=seconds,
            aspect_ratio=source.aspect_ratio if source else None,
            size=size,
            request={"video_id": video_id, "take": take},
            remixed_from_video_id=video_id,
        )
        request = RemixRequest(model=model, prompt=prompt, client_business_id=order.order_id)
        return await self._place(service, order, lambda: service.api.remix(video_id, request), take, [])

    async def _completed(self, video_id: str) -> tuple[Order | None, TaskReport | None]:
        """The source of a remix: known as completed, or asked about.

        Raises:
            NotReady: It is not completed, or its own order is not even confirmed.
            ResultExpired: It is older than 24 hours.
        """
        source = await self._asking.order(video_id)
        report, expires_at = None, source.expires_at if source else None
        if source is None or source.status != "completed":
            if source and source.state != "accepted":
                raise NotReady(f"The order {video_id} is not a video yet.", "Ask get_video_status about it first.")
            report = await self._asking.wait(source.id if source else video_id, SOURCE_SECONDS)
            expires_at = report.expires_at
            if report.status != "completed":
                advice = f'Wait for it: get_video_status(task_id="{video_id}", wait_seconds=50).'
                if report.status == "failed":
                    advice = "A failed video cannot be remixed: choose another."
                raise NotReady(f"The video {video_id} is {report.status.replace('_', ' ')}, not completed.", advice)
        if expires_at is not None and expires_at <= self._clock():
            raise ResultExpired(
                f"The video {video_id} is older than 24 hours: the service no longer has it to remix.",
                "Nothing was ordered. list_videos shows which videos are younger.",
            )
        return source, report

    async def _place(self, service: Service, order: NewOrder, send: Send, take: int, notes: list[str]) -> Task:
        await service.offer.check(order.model)
        try:
            placed = await service.ordering.place(order, send)
        except ModelUnavailable as error:
            raise await service.offer.unavailable(order.model, error.upstream_message) from error
        if placed.joined and placed.order.state == "accepted":
            notes = [SAME_ORDER_NOTE.format(take + 1), *notes]
        return self._answer(placed.order, None, notes)

    async def status(self, task_id: str, wait_seconds: int = 0, on_change: OnChange | None = None) -> Task:
        """Ask about a task, and wait for it for at most ``wait_seconds``.

        Raises:
            SoraMcpError: The question could not be answered; the task itself is not touched by that.
        """
        deadline = anyio.current_time() + wait_seconds
        service = await self._open()
        order = await self._asking.order(task_id)
        if order and order.state != "accepted":
            order = await service.ordering.resolve(order, wait_seconds)
            if order.state != "accepted":
                return self._answer(order, None)
        rest = max(0.0, deadline - anyio.current_time()) if wait_seconds else 0
        try:
            report = await self._asking.wait(order.id if order else task_id, rest, on_change)
        except TaskNotFound:
            if order or not ORDER_ID.match(task_id):
                raise
            # Our own handle, and the order book cannot be read now: it may have been billed, whatever is found.
            lost = Task(id=task_id, status="unconfirmed", progress=0, notes=[LOST_NOTE])
            return lost.model_copy(update={"retry_after_seconds": self._asking.retry_after_seconds(task_id)})
        return self._answer(order, report)

    async def upload(self, file: str, aspect_ratio: str | None, fit: Fit) -> UploadedImage:
        """Make a reference image fit and hand it to the service.

        Raises:
            SoraMcpError: The image cannot be used or sent.
        """
        return await self._references.upload(await self._open(), file, aspect_ratio, fit)

    async def download(self, task_id: str, on_progress: Progress) -> DownloadedVideo:
        """Save a completed video in the output folder, once.

        Raises:
            SoraMcpError: It is not saved (yet), and why; the video itself is not touched by that.
        """
        return await self._saving.wait(task_id, on_progress)

    async def saved_file(self, task_id: str) -> bytes:
        """The bytes of a saved video, at most 8 MB.

        Raises:
            NotReady: It is not saved, or its file is gone.
            InvalidArgument: It is larger.
        """
        await self._open()
        order = await self._asking.order(task_id)
        path = anyio.Path(order.saved_path) if order and order.saved_path else None
        if path is None or not await path.is_file():
            raise NotReady(f"The video {task_id} is not saved here.", f'Save it: download_video(task_id="{task_id}").')
        if (await path.stat()).st_size > FILE_BYTES:
            raise InvalidArgument("The file is larger than 8 MB.", f"Open it where it is: {path}.")
        return await path.read_bytes()

    async def videos(
        self, *, status: TaskStatus | None = None, query: str | None = None, limit: int = 10, before: str | None = None
    ) -> VideoPage:
        """What was ordered from here, by all processes of this account, newest first.

        Raises:
            InvalidArgument: ``before`` is no cursor, or the query is too long.
            JournalUnavailable: The history cannot be read.
        """
        service = await self._open()
        return await page_of_videos(service.journal, status=status, query=query, limit=limit, before=before)

    async def account(self) -> Account:
        """Credits, models on offer, and the day's limit.

        Raises:
            SoraMcpError: The key is not accepted, or the journal cannot be read.
        """
        return await account_answer(await self._open(), self.settings)

    async def _watch_links(self, service: Service) -> None:
        """Look from time to time which unsaved videos are about to lose their link."""
        while True:
            try:
                self._reminders.look_at((await service.journal.list(status="completed", limit=50)).orders)
            except JournalUnavailable as error:
                logger.warning("links about to die cannot be looked for: %s", error)
            await self._sleep(REMINDER_SECONDS)

    def _answer(self, order: Order | None, report: TaskReport | None, notes: list[str] | None = None) -> Task:
        task_id = order.id if order else report.id if report else ""
        reminder = self._reminders.next_note(about=task_id)
        return task_answer(
            order,
            report,
            retry_after_seconds=self._asking.retry_after_seconds(task_id),
            simulated=self.settings.simulate,
            notes=[*(notes or []), *([reminder] if reminder else [])],
        )


def _whole_seconds(report: TaskReport | None) -> int:
    """The length of a video made elsewhere; the service's own text, so only a length that the catalogue knows."""
    text = (report.seconds if report else None) or ""
    known = {str(seconds): seconds for seconds in load_catalog().durations}
    return known.get(text.removesuffix(".0"), max(load_catalog().durations))
