"""Real processes that share one order book: run as a script, which forks its children before it opens anything."""

import json
import os
import random
import select
import signal
import sys
from pathlib import Path

import anyio
import anyio._backends._asyncio  # what every child needs is imported once, here

import sora_mcp.journal.store  # noqa: F401 - the same
from sora_mcp.journal import Journal, NewOrder, Reserved, new_order_id
from sora_mcp.models import TaskReport


def order(fingerprint=None):
    mine = new_order_id()
    return NewOrder(mine, "generate", fingerprint or mine, "sora-2-official", "a river", 4, "16:9", None, {}, None)


async def begin(journal, say, fingerprint, daily_seconds):
    begun = await journal.begin(order(fingerprint), daily_seconds=daily_seconds)
    say(type(begun).__name__, getattr(begun, "order", None) and begun.order.order_id)


async def write(journal, say, count):
    for _ in range(count // 2):
        mine = order()
        assert isinstance(await journal.begin(mine, daily_seconds=0), Reserved)
        await journal.accept(mine.order_id, TaskReport("video_" + mine.order_id, "queued"))
    say("wrote", count)


async def write_until_killed(journal, say):
    while True:
        mine = order()
        await journal.begin(mine, daily_seconds=0)
        say("sending", mine.order_id)
        await journal.accept(mine.order_id, TaskReport("video_" + mine.order_id, "queued"))
        say("accepted", mine.order_id)


def fork(path, work, arguments, gate):
    """Start a child that waits for the gate's end; return its pid and where it is heard."""
    heard, speak = os.pipe()
    pid = os.fork()
    if pid:
        os.close(speak)
        return pid, heard

    def say(*words):
        os.write(speak, (json.dumps(words) + "\n").encode())

    async def main():
        journal = Journal(path)
        try:
            await work(journal, say, *arguments)
        finally:
            await journal.aclose()

    code = 1
    try:
        if gate:
            os.close(gate[1])
            os.read(gate[0], 1)
        anyio.run(main)
        code = 0
    except BaseException as error:  # noqa: BLE001 - told to the parent, whatever it is
        say("error", repr(error))
    finally:
        os._exit(code)


def listen(heard):
    with os.fdopen(heard) as lines:
        return [json.loads(line) for line in lines if line.endswith("\n")]


def together(path, processes, work, *arguments):
    """Let so many children go at the same moment; return all that they said."""
    gate = os.pipe()
    children = [fork(path, work, arguments, gate) for _ in range(processes)]
    os.close(gate[0])
    os.close(gate[1])
    said = [line for _, heard in children for line in listen(heard)]
    for pid, _ in children:
        os.waitpid(pid, 0)
    return said


def killed(path, times):
    """Kill so many writers, each at a random moment of its work; return all that they said."""
    chance, said = random.Random(7), []  # noqa: S311 - not a secret
    for _ in range(times):
        pid, heard = fork(path, write_until_killed, (), None)
        select.select([heard], [], [], 30)
        select.select([], [], [], chance.uniform(0, 0.02))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        said += listen(heard)
    return said


if __name__ == "__main__":
    path, what, *numbers = sys.argv[1:]
    numbers = [int(number) for number in numbers]
    works = {
        "same": lambda: together(Path(path), numbers[0], begin, "same", 0),
        "limit": lambda: together(Path(path), numbers[0], begin, None, numbers[1]),
        "write": lambda: together(Path(path), numbers[0], write, numbers[1]),
        "killed": lambda: killed(Path(path), numbers[0]),
    }
    sys.stdout.write(json.dumps(works[what]()))
