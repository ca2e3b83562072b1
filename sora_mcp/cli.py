"""The command line: arguments in, a command run. The only place that prints."""

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sora_mcp.settings import SettingError, Settings, quiet_foreign_loggers

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

DEMO_PROMPT = "A golden retriever runs through tall grass at sunset, low tracking shot, warm light"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that ``argv`` names; without one, serve MCP over stdio."""
    arguments = _parser().parse_args(argv)
    try:
        settings = Settings.load()
    except SettingError as error:
        print(f"sora-mcp: {error}", file=sys.stderr)
        sys.exit(2)
    if arguments.simulate:
        settings = settings.model_copy(update={"simulate": True})
    _log_to_stderr(settings.log_level)
    sys.exit(arguments.run(arguments, settings))


def _parser() -> "ArgumentParser":
    from argparse import ArgumentParser  # noqa: PLC0415

    from sora_mcp import __version__  # noqa: PLC0415

    parser = ArgumentParser("sora-mcp", description="An MCP server for making Sora 2 videos over ToAPIs.")
    parser.add_argument("--version", action="version", version=f"sora-mcp {__version__}")
    parser.add_argument(
        "--simulate", action="store_true", help="put the built-in simulator behind the server: no key, no cost"
    )
    parser.set_defaults(run=_serve)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", description="without one: serve MCP over stdio"
    )
    demo = commands.add_parser("demo", help="make a video from start to end, as a client sees it; no key needed")
    demo.add_argument("prompt", nargs="?", default=DEMO_PROMPT)
    demo.add_argument("--live", action="store_true", help="use the real service: needs a key and costs money")
    demo.set_defaults(run=_demo)
    simulator = commands.add_parser("simulator", help="run the simulator alone, as an HTTP server on loopback")
    simulator.add_argument("--port", type=int, default=0, help="default: any free one")
    simulator.add_argument("--speed", type=float, default=1.0, help="how many times faster than real jobs run")
    simulator.set_defaults(run=_simulator)
    return parser


def _log_to_stderr(level: str) -> None:
    """Our own records at the chosen level; others' only as warnings, for they hold messages, links and prompts."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("sora_mcp").setLevel(level)
    quiet_foreign_loggers()


def _serve(_: "Namespace", settings: Settings) -> int:
    from sora_mcp.server import build_server  # noqa: PLC0415 - a wrong setting is told before the SDK is imported
    from sora_mcp.stdio import serve_stdio  # noqa: PLC0415

    serve_stdio(build_server(settings))
    return 0


def _demo(arguments: "Namespace", settings: Settings) -> int:
    from sora_mcp.demo import run_demo  # noqa: PLC0415 - imports the SDK's client

    return run_demo(arguments.prompt, settings, live=arguments.live, out=sys.stdout)


def _simulator(arguments: "Namespace", _: Settings) -> int:
    from sora_mcp.simulator.serving import run  # noqa: PLC0415 - imports starlette and uvicorn

    run(port=arguments.port, speed=arguments.speed, announce=lambda url: print(url, flush=True))
    return 0
