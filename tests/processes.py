"""Server processes as a host runs them, spoken to line by line."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager, suppress

from conftest import KEY

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


def environment(settings, base_url="https://toapis.com", **more):
    measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    return {
        **measured,
        "PATH": os.environ["PATH"],
        "HOME": str(settings.data_dir.parent),
        "TOAPIS_API_KEY": KEY,
        "TOAPIS_BASE_URL": base_url,
        "SORA_MCP_DATA_DIR": str(settings.data_dir),
        "SORA_MCP_OUTPUT_DIR": str(settings.output_dir),
        "SORA_MCP_IMAGE_ROOTS": str(settings.image_roots[0]),
        "SORA_MCP_POLL_SECONDS": "0.1",
        **more,
    }


class Process:
    """A server process spoken to line by line."""

    def __init__(self, env, *arguments):
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "sora_mcp", *arguments],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.lines = []

    def send(self, message):
        self.popen.stdin.write(json.dumps(message).encode() + b"\n")
        self.popen.stdin.flush()

    def call(self, number, tool, **arguments):
        params = {"name": tool, "arguments": arguments}
        self.send({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})

    def answer(self, number):
        while True:
            line = self.popen.stdout.readline()
            assert line, self.popen.stderr.read().decode()
            message = json.loads(line)
            self.lines.append(message)
            if message.get("id") == number:
                return message["result"]

    def initialize(self):
        self.send(INITIALIZE)
        self.answer(1)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})


@contextmanager
def running(env, *arguments):
    process = Process(env, *arguments)
    try:
        yield process
    finally:
        process.popen.kill()
        for pipe in (process.popen.stdin, process.popen.stdout, process.popen.stderr):
            with suppress(BrokenPipeError):
                pipe.close()
        process.popen.wait()
