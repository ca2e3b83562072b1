"""The admin door, for a simulator in another process: ``/__sim/``, without a key, from this machine only.

===========================  ==========================================================================
``POST /__sim/faults``       a fault or a list of them, as JSON with the fields of ``Fault``
``DELETE /__sim/faults``     nothing goes wrong any more; ``GET`` lists what still waits
``GET /__sim/charges``       every job that was billed; ``GET /__sim/requests`` all that arrived
``POST /__sim/set``          an object of settings, see ``SETTINGS``
``POST /__sim/tasks/{id}``   ``{"finish": true}``, ``{"fail": {code, message}}`` or ``{"status": {fields}}``
===========================  ==========================================================================

A browser is kept out, whatever page it shows: a request with an ``Origin``, or to a host name that is not this
machine's, is refused.
"""

import ipaddress
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.routing import Route

from sora_mcp.simulator.answers import HANG_UP, Answer, json_answer
from sora_mcp.simulator.dialects import DIALECTS
from sora_mcp.simulator.faults import Fault
from sora_mcp.simulator.gate import ADMIN
from sora_mcp.simulator.task_ids import MODELS

if TYPE_CHECKING:
    from sora_mcp.simulator.service import Simulator


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf


def _dialect(value: Any) -> bool:
    return isinstance(value, str) and set(value.split("+")) <= set(DIALECTS)


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _switch(value: Any) -> bool:
    return isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))  # pyright: ignore[reportUnknownArgumentType]


SETTINGS: dict[str, Callable[[Any], bool]] = {
    "speed": lambda value: _number(value) and value > 0,
    "keeps_ids": _switch,
    "remix_keeps_ids": _switch,
    "dialect": _dialect,
    "balance_credits": _or_none(_number),
    "key_credits": _or_none(_number),
    "job_seconds": _or_none(_number),
    "link_seconds": _number,
    "result_seconds": _number,
    "public_url": _or_none(_text),
    "keys": _or_none(_texts),
    "models": lambda value: _texts(value) and set(value) <= set(MODELS),
    "enforce_limits": _switch,
}
"""What ``POST /__sim/set`` takes, and the check of each value; ``balance`` is short for ``balance_credits``."""


def admin_routes(sim: "Simulator") -> list[Route]:
    """The routes under ``/__sim``."""

    def route(path: str, act: Callable[[Request, Any], Any]) -> Route:
        async def endpoint(request: Request) -> Answer:
            return await _admitted(request, act)

        return Route(ADMIN + path, endpoint, methods=["GET", "POST", "DELETE"])

    def faults(request: Request, content: Any) -> Any:
        if request.method == "POST":
            sim.faults.add(*[Fault.from_json(one) for one in (content if isinstance(content, list) else [content])])  # pyright: ignore[reportUnknownVariableType]
        elif request.method == "DELETE":
            sim.faults.clear()
        else:
            return [asdict(fault) for fault in sim.faults.pending]
        return None

    def task(request: Request, content: Any) -> None:
        task_id: str = request.path_params["task_id"]
        actions: dict[str, Callable[[Any], None]] = {
            "finish": lambda _: sim.finish(task_id),
            "fail": lambda words: sim.fail(task_id, **words),
            "status": lambda fields: sim.set_status(task_id, **fields),
        }
        for action, argument in dict(content).items():
            actions[action](argument)

    return [
        route("faults", faults),
        route("charges", lambda _request, _content: [asdict(charge) for charge in sim.charges]),
        route("requests", lambda _request, _content: [asdict(received) for received in sim.requests]),
        route("set", lambda _request, content: change(sim, dict(content))),
        route("tasks/{task_id}", task),
    ]


def change(sim: "Simulator", settings: dict[str, Any]) -> None:
    """Set all of ``settings``, or nothing when one of them cannot be.

    Raises:
        ValueError: A setting is unknown or its value is of the wrong kind.
    """
    settings = {"balance_credits" if name == "balance" else name: value for name, value in settings.items()}
    for name, value in settings.items():
        if name not in SETTINGS:
            raise ValueError(f"unknown setting {name!r}; there are {', '.join(SETTINGS)}")
        if not SETTINGS[name](value):
            raise ValueError(f"{name} cannot be {value!r}")
    for name, value in settings.items():
        setattr(sim, name, value)


async def _admitted(request: Request, act: Callable[[Request, Any], Any]) -> Answer:
    if not _from_here(request):
        return json_answer({"error": "only from this machine"}, 403)
    try:
        content = json.loads(await request.body()) if request.method == "POST" else None
        told = act(request, content)
    except KeyError as error:
        return json_answer({"error": f"unknown: {error.args[0]}"}, 404)
    except (ValueError, TypeError) as error:
        return json_answer({"error": str(error)}, 400)
    return json_answer({"ok": True} if told is None else told)


def _from_here(request: Request) -> bool:
    if request.headers.get("origin") is not None:
        return False
    hosts = [request.client.host if request.client else ""]
    if HANG_UP in request.scope.get("extensions", {}):
        hosts.append(request.url.hostname or "")
    return all(map(_is_loopback, hosts))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
