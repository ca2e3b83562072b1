"""The routes of api.md, section 1, and those of the files that they link to."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route

from sora_mcp.simulator.admin import admin_routes
from sora_mcp.simulator.answers import Answer, App, Refusal
from sora_mcp.simulator.files import file_routes
from sora_mcp.simulator.gate import Gate
from sora_mcp.simulator.jobs import Job
from sora_mcp.simulator.limits import Standing
from sora_mcp.simulator.orders import read_generation, read_remix
from sora_mcp.simulator.pixels import MIME_TYPES, image_type
from sora_mcp.simulator.service import CREDITS_PER_USD

if TYPE_CHECKING:
    from sora_mcp.simulator.service import Simulator

Handler = Callable[[Request], Awaitable[Answer]]

_LARGEST_IMAGE = 10_000_000
_TEXT_MODELS = ("gpt-5", "deepseek-v3")
_FILE_SUFFIXES = {"jpeg": "jpg"}


def build_app(sim: "Simulator") -> App:
    """The whole service as an ASGI app."""
    api = _Api(sim)
    routes = [
        Route("/v1/videos/generations", api.guarded("submit", api.generate), methods=["POST"]),
        Route("/v1/videos/generations/{reference}", api.guarded("query", api.status), methods=["GET"]),
        Route("/v1/videos/{task_id}/remix", api.guarded("submit", api.remix), methods=["POST"]),
        Route("/v1/uploads/images", api.guarded("submit", api.upload), methods=["POST"]),
        Route("/v1/balance", api.guarded("query", api.balance), methods=["GET"]),
        Route("/v1/user/balance", api.guarded("query", api.balance), methods=["GET"]),
        Route("/v1/models", api.guarded("query", api.models), methods=["GET"]),
        *file_routes(sim),
        *admin_routes(sim),
    ]
    return Gate(sim, Starlette(routes=routes, exception_handlers=cast("Any", {HTTPException: api.no_route})))


class _Api:
    """One method per endpoint."""

    def __init__(self, sim: "Simulator") -> None:
        self._sim = sim

    def guarded(self, category: str, handler: Handler) -> Handler:
        """The handler behind the key and the rate limits, its refusals in the dialect of the day."""

        async def endpoint(request: Request) -> Answer:
            standing = self._sim.limits.count(category, self._sim.clock())
            try:
                self._check_key(request)
                self._check_limits(standing)
                answer = await handler(request)
            except Refusal as refusal:
                answer = self._sim.speech.refuse(refusal, request.url.path)
            return Answer(answer.status, answer.body, {**answer.headers, **standing.headers})

        return endpoint

    async def no_route(self, request: Request, error: Exception) -> Answer:
        """What a wrong address or method is answered."""
        status = cast("HTTPException", error).status_code
        words = f"Invalid URL ({request.method} {request.url.path})"
        return self._sim.speech.refuse(Refusal(status, "not_found", words), request.url.path)

    async def generate(self, request: Request) -> Answer:
        wanted = read_generation(await request.body(), self._sim.models)
        return self._ordered(self._sim.create(wanted, late=request.scope["simulator.late"]))

    async def status(self, request: Request) -> Answer:
        job = self._job(request.path_params["reference"], lag=request.scope["simulator.lag"])
        return self._sim.speech.task(self._sim.report(job, base_url(self._sim, request)))

    async def remix(self, request: Request) -> Answer:
        wanted = read_remix(await request.body(), self._sim.models)
        source, now = self._job(request.path_params["task_id"]), self._sim.clock()
        if source.status(now) != "completed":
            raise Refusal(400, "invalid_request", "The source video is not completed")
        if now >= self._sim.expires_at(source):
            raise Refusal(400, "invalid_request", "The source video has expired")
        job = self._sim.create(wanted.like(source.order), kind="remix", late=request.scope["simulator.late"])
        return self._ordered(job, source)

    async def upload(self, request: Request) -> Answer:
        try:
            form = await request.form()
        except HTTPException:
            raise Refusal(400, "invalid_request", "The multipart body cannot be read") from None
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Refusal(400, "invalid_request", "No file uploaded")
        data = await file.read()
        await form.close()
        kind = image_type(data)
        if kind is None:
            raise Refusal(400, "invalid_request", "Unsupported image type. Supported types: JPEG, PNG, WebP, GIF")
        if len(data) > _LARGEST_IMAGE:
            raise Refusal(400, "invalid_request", "Image too large. Maximum size is 10MB")
        name = self._sim.keep_upload(data, _FILE_SUFFIXES.get(kind, kind))
        told = {
            "id": name.partition(".")[0],
            "url": f"{base_url(self._sim, request)}/__files/uploads/{name}",
            "mime_type": MIME_TYPES[kind],
            "size": len(data),
        }
        return self._sim.speech.reply({"success": True, "message": "", "data": told})

    async def balance(self, request: Request) -> Answer:
        of_key = request.url.path == "/v1/balance"
        remaining, used = self._sim.remaining(of_key=of_key), self._sim.used()
        amounts = {
            "remain_balance": -1 if remaining is None else remaining / CREDITS_PER_USD,
            "used_balance": used / CREDITS_PER_USD,
            "remain_credits": -1 if remaining is None else remaining,
            "used_credits": used,
        }
        rest = {"credits_per_usd": CREDITS_PER_USD, "unlimited_quota": remaining is None}
        return self._sim.speech.reply({"success": True, **amounts, **rest})

    async def models(self, request: Request) -> Answer:
        kind = request.query_params.get("type", "text")
        names = {"text": _TEXT_MODELS, "video": self._sim.models}.get(kind, ())
        listed = [{"id": name, "object": "model", "supported_endpoint_types": [kind]} for name in names]
        return self._sim.speech.reply({"success": True, "object": "list", "data": listed})

    def _check_key(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Refusal(401, "unauthorized", "No token was given")
        if self._sim.keys is not None and key.strip() not in self._sim.keys:
            raise Refusal(401, "unauthorized", "Invalid token")

    def _check_limits(self, standing: Standing) -> None:
        if standing.retry_after and self._sim.enforce_limits:
            retry = {"Retry-After": str(standing.retry_after)}
            raise Refusal(429, "rate_limit_exceeded", "Rate limit exceeded, please try again later", retry)

    def _job(self, reference: str, *, lag: float = 0.0) -> Job:
        job = self._sim.find(reference, lag=lag)
        if job is None:
            raise Refusal(404, "task_not_found", "Task not found")
        return job

    def _ordered(self, job: Job, source: Job | None = None) -> Answer:
        """What an order is answered; the official model's remix has a shape of its own (api.md, section 3)."""
        order = job.order
        told: dict[str, Any] = {"id": job.task_id, "object": "generation.task", "model": order.model}
        told |= {"status": "queued", "progress": 0, "created_at": int(order.created)}
        size = {"size": order.size, "seconds": str(order.seconds)}
        if source is not None and order.model == "sora-2-official":
            told |= {"object": "video", "remixed_from_video_id": source.task_id, **size}
        else:
            told["metadata"] = size
        return self._sim.speech.task(told)


def base_url(sim: "Simulator", request: Request) -> str:
    """What a link in the answer to ``request`` begins with."""
    return (sim.public_url or f"{request.url.scheme}://{request.url.netloc}").rstrip("/")
