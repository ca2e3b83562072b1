"""The client: one method for each endpoint that is used.

Importing this module imports httpx, some 90 ms: import it when the first request is due.
"""

import logging
import math
import random as random_module
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import quote

import anyio
import httpx
from pydantic import SecretStr

from sora_mcp import USER_AGENT
from sora_mcp.api.connection import Connection, NoReply, Reply
from sora_mcp.api.fields import parse_json, read_id, read_retry_after
from sora_mcp.api.orders import judge
from sora_mcp.api.refusals import Asked, read_error
from sora_mcp.api.responses import read_balance, read_models, read_task, read_upload
from sora_mcp.api.retries import Retries, Transient, is_transient
from sora_mcp.api.verdicts import NeverSent, Rejected, Unknown, Verdict
from sora_mcp.errors import InvalidArgument, UpstreamUnavailable
from sora_mcp.models import Balance, GenerateRequest, RemixRequest, TaskReport, Uploaded

QUESTION_ATTEMPTS = 4
QUESTION_SECONDS = 25.0
UPLOAD_ATTEMPTS = 2
UPLOAD_SECONDS = 40.0

GENERATIONS = "/v1/videos/generations"

_MAX_UNKNOWN_STATUSES = 100
_SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp", "image/gif": ".gif"}

T = TypeVar("T")

logger = logging.getLogger(__name__)


class ApiClient:
    """The ToAPIs HTTP API at one base address, with one key.

    Orders (:meth:`generate`, :meth:`remix`) are sent once and never raise for what the network or the service does:
    they give a verdict. Everything else is asked a few times within its deadline, then raises one of our errors.
    Cancellation passes through all of them.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: SecretStr,
        user_agent: str = USER_AGENT,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        """Nothing is opened yet.

        Args:
            base_url: As the settings give it: without ``/v1`` and without a slash at the end.
            api_key: The key; goes to this address only.
            user_agent: Name and version: an edge firewall blocks bare libraries.
            transport: Replaces the network in tests.
            clock: The time in Unix seconds.
            sleep: Waits for seconds.
            random: A number from 0 to 1, for the jitter of pauses.

        Raises:
            InvalidArgument: The base address is not an address.
            AuthFailed: The key has characters that no key has.
        """
        self._connection = Connection(base_url=base_url, api_key=api_key, user_agent=user_agent, transport=transport)
        self._clock = clock
        self._retries = Retries(clock=clock, sleep=sleep, random=random)
        self._unknown_statuses: set[str] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection!r})"

    async def aclose(self) -> None:
        """Close every connection. Orders after it are never sent, questions fail."""
        await self._connection.aclose()

    async def generate(self, request: GenerateRequest) -> Verdict:
        """Order a video: one POST, at most 35 s."""
        return await self._order(GENERATIONS, request.body(), "order")

    async def remix(self, video_id: str, request: RemixRequest) -> Verdict:
        """Order a changed version of a completed video: one POST, at most 35 s."""
        try:
            path = f"/v1/videos/{_segment(video_id)}/remix"
        except InvalidArgument as error:
            return Rejected(error)
        return await self._order(path, request.body(), "remix")

    async def status(
        self, task_id: str, *, attempts: int = QUESTION_ATTEMPTS, deadline: float | None = None
    ) -> TaskReport:
        """Ask what became of a task, by its id or by the ``client_business_id`` it was ordered with.

        Args:
            task_id: One of the two.
            attempts: Requests at most.
            deadline: Seconds for all of them and the pauses between them; 25 unless told.

        Raises:
            TaskNotFound: HTTP 404, or 400 ``task_not_exist``. A task made a moment ago may answer so: ask later.
            InvalidArgument: The id cannot be one; nothing was sent.
            AccountError: The key is not accepted, or the account is barred.
            ServiceError: No attempt brought an answer that can be understood.
        """
        path = f"{GENERATIONS}/{_segment(task_id)}"

        def read(payload: Any) -> TaskReport | None:
            return read_task(payload, asked_id=task_id, on_unknown_status=self._log_unknown_status)

        async def attempt() -> TaskReport:
            reply = await self._get(path)
            report = self._read(reply, read)
            retry_after = self._retry_after(reply)
            return report if retry_after is None else replace(report, retry_after_seconds=math.ceil(retry_after))

        seconds = QUESTION_SECONDS if deadline is None else deadline
        return await self._retries.ask(attempt, attempts=attempts, deadline=seconds)

    async def upload_image(self, data: bytes, mime_type: str) -> Uploaded:
        """Upload a reference image under a random name: at most 2 tries, 40 s.

        Raises:
            UploadFailed: The service did not take it.
            AccountError: The key is not accepted, or the account has too few credits.
            ServiceError: No answer that can be understood.
        """
        name = uuid.uuid4().hex + _SUFFIXES.get(mime_type, "")

        async def attempt() -> Uploaded:
            try:
                reply = await self._connection.upload(
                    "/v1/uploads/images", (name, data, mime_type), {"purpose": "generation"}
                )
            except NoReply as no_reply:
                raise Transient(UpstreamUnavailable(no_reply.happened, no_reply.next_step)) from None
            return self._read(reply, read_upload, "upload")

        return await self._retries.ask(attempt, attempts=UPLOAD_ATTEMPTS, deadline=UPLOAD_SECONDS)

    async def video_models(self) -> tuple[str, ...]:
        """The ids of the video models on offer; raises as :meth:`status` does, but for ``TaskNotFound``."""
        return await self._question("/v1/models?type=video", read_models)

    async def key_balance(self) -> Balance:
        """The credits of this key; raises as :meth:`video_models`."""
        return await self._question("/v1/balance", read_balance)

    async def account_balance(self) -> Balance:
        """The credits of the whole account; raises as :meth:`video_models`."""
        return await self._question("/v1/user/balance", read_balance)

    async def _order(self, path: str, body: dict[str, Any], asked: Asked) -> Verdict:
        try:
            reply = await self._connection.order(path, body)
        except NoReply as no_reply:
            if no_reply.sent:
                return Unknown(
                    UpstreamUnavailable(no_reply.happened, "The order may have been accepted and billed: look it up.")
                )
            return NeverSent(
                UpstreamUnavailable(no_reply.happened, f"Nothing was ordered or charged. {no_reply.next_step}")
            )
        return judge(reply.status_code, reply.body, asked, self._retry_after(reply), self._log_unknown_status)

    async def _question(self, path: str, read: Callable[[Any], T | None]) -> T:
        async def attempt() -> T:
            return self._read(await self._get(path), read, "account")

        return await self._retries.ask(attempt, attempts=QUESTION_ATTEMPTS, deadline=QUESTION_SECONDS)

    async def _get(self, path: str) -> Reply:
        try:
            return await self._connection.get(path)
        except NoReply as no_reply:
            raise Transient(UpstreamUnavailable(no_reply.happened, no_reply.next_step)) from None

    def _read(self, reply: Reply, read: Callable[[Any], T | None], asked: Asked = "task") -> T:
        if 200 <= reply.status_code < 300:  # noqa: PLR2004
            value = read(parse_json(reply.body))
            if value is not None:
                return value
        retry_after = self._retry_after(reply)
        error = read_error(reply.status_code, reply.body, asked=asked, retry_after=retry_after)
        raise Transient(error, retry_after) if is_transient(error, reply.status_code) else error

    def _retry_after(self, reply: Reply) -> float | None:
        return read_retry_after(reply.headers.get("retry-after"), self._clock())

    def _log_unknown_status(self, status: str) -> None:
        if status not in self._unknown_statuses and len(self._unknown_statuses) < _MAX_UNKNOWN_STATUSES:
            self._unknown_statuses.add(status)
            logger.warning("the service used a status that is not known here, taken as pending: %r", status)


def _segment(task_id: str) -> str:
    """An id as one segment of a path, percent-encoded.

    Raises:
        InvalidArgument: It cannot be an id: empty, over 200 characters, control characters, dots alone.
    """
    usable = read_id(task_id)
    if usable is None:
        raise InvalidArgument("This is not the id of a task.", "Give the id as the service gave it.")
    return quote(usable, safe="")
