"""Downloads in processes that may be killed. Started once, it forks a child for every line that it reads.

A line is a JSON object: ``origin``, ``link``, ``folder``, ``task_id``, ``outcome`` (a file to write the result
to), and how the child ends: ``kill_after`` seconds, ``kill_at`` the n-th thing that it does in the folder, or
neither. ``file_size_limit`` sets a limit of the process. Answers ``exit status`` lines: negative for a signal.
"""

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

import anyio

import sora_mcp.downloads.transfer  # noqa: F401 - loaded once, before the forks
from sora_mcp.downloads import Downloader
from sora_mcp.errors import SoraMcpError


async def download(job):
    async def link():
        return job["link"]

    downloader = Downloader(
        output_dir=lambda: Path(job["folder"]),
        file_hosts=(),
        trusted_origin=lambda: job["origin"],
        user_agent="sora-mcp/1.0 (test)",
        is_public=lambda _address: True,
    )
    try:
        video, already = await downloader.save(
            job["task_id"], prompt="slow and steady", created_at=1_795_435_200, link=link
        )
        outcome = {"path": str(video.path), "size": video.size, "sha256": video.sha256, "already": already}
    except SoraMcpError as error:
        outcome = {"code": error.code, "text": str(error)}
    await downloader.aclose()
    await anyio.Path(job["outcome"]).write_text(json.dumps(outcome))


def kill_at(folder, countdown):
    def hook(event, arguments):
        nonlocal countdown
        if event.startswith(("open", "os.", "shutil.")) and any(folder in str(argument) for argument in arguments):
            countdown -= 1
            if countdown == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def in_child(job):
    if limit := job.get("file_size_limit"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    if count := job.get("kill_at"):
        kill_at(job["folder"], count)
    anyio.run(download, job)


for line in sys.stdin:
    order = json.loads(line)
    pid = os.fork()
    if pid == 0:
        in_child(order)
        os._exit(0)
    if order.get("kill_after") is not None:
        time.sleep(order["kill_after"])
        os.kill(pid, signal.SIGKILL)  # not yet waited for, so the number is still its own
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)  # noqa: T201 - the answer
