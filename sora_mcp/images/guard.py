"""One child process per image: bound in memory and time, without an environment, two at a time.

A child starts fresh for each image, so nothing that a hostile one does to it outlives it. The opened file is handed
over as the child's stdin: its bytes never pass through this process.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import anyio
from anyio import to_thread

from sora_mcp.images.limits import OUT_OF_MEMORY
from sora_mcp.images.sources import MAX_BYTES
from sora_mcp.images.wording import Facts, refusal

MEMORY_BYTES = 1_000_000_000
"""Address space of a child; the costliest image within the limits of pixels needs about two thirds of it."""

DECODE_SECONDS = 10.0
MAX_RESULT_BYTES = 9_999_999
"""The service takes images of at most 10 MB (api.md, section 5)."""

_AT_ONCE = 2
_MAX_REPORT_BYTES = 4096
_START = "import sys; sys.path += sys.argv[1:-1]; from sora_mcp.images.worker import main; main()"
_MAGIC = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n"}


class Guard:
    """Runs the children."""

    def __init__(
        self,
        sizes: Mapping[str, tuple[int, int]],
        *,
        seconds: float = DECODE_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        """Take the frames' sizes by aspect ratio, and the limits of each child."""
        self._sizes = dict(sizes)
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self._places = anyio.Semaphore(_AT_ONCE)
        self._command: list[str] | None = None

    async def decode(self, source: IO[bytes], *, aspect_ratio: str | None, fit: str) -> tuple[Facts, bytes]:
        """Have an image decoded, made to fit and encoded; the file is read from its start.

        Raises:
            UnsupportedImage, CorruptImage, ImageTooLarge, ImageTooSmall: As the content says.
            InvalidArgument: ``fit`` is ``none`` and the image has another size.
        """
        request = {
            "sizes": self._sizes,
            "aspect_ratio": aspect_ratio,
            "fit": fit,
            "max_bytes": MAX_BYTES,
            "memory_bytes": self._memory_bytes,
            "processor_seconds": int(self._seconds) + 1,
        }
        wanted = {aspect_ratio: self._sizes[aspect_ratio]} if aspect_ratio else self._sizes
        async with self._places:
            if self._command is None:
                self._command = await to_thread.run_sync(_command)
            output, exit_code = await self._run([*self._command, json.dumps(request)], source)
        if exit_code is None:
            raise refusal("time", (0, 0), wanted)
        if exit_code:
            raise refusal("memory" if exit_code == OUT_OF_MEMORY else "broken", (0, 0), wanted)
        line, _, frame = output.partition(b"\n")
        try:
            raw: dict[str, Any] = json.loads(line if len(line) <= _MAX_REPORT_BYTES else b"")
            if "refused" in raw:
                reason, size = str(raw["refused"]), (int(raw["width"]), int(raw["height"]))
            else:
                return _checked(raw, frame, wanted)
        except (KeyError, TypeError, ValueError):
            reason, size = "broken", (0, 0)
        raise refusal(reason, size, wanted)

    async def _run(self, command: list[str], source: IO[bytes]) -> tuple[bytes, int | None]:
        """Run a child to its end: what it wrote and its exit code, or ``None`` for one that was stopped."""
        output = bytearray()
        async with await anyio.open_process(
            command,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            creationflags=_creation_flags(),
        ) as child:
            with anyio.move_on_after(self._seconds):
                assert child.stdout is not None  # noqa: S101 - it was asked for
                async for chunk in child.stdout:
                    output += chunk
                    if len(output) > MAX_RESULT_BYTES + _MAX_REPORT_BYTES:
                        break
                else:
                    return bytes(output), await child.wait()
            child.kill()
        return b"", None


def _checked(raw: dict[str, Any], frame: bytes, wanted: Mapping[str, tuple[int, int]]) -> tuple[Facts, bytes]:
    facts = Facts.read(raw)
    if facts.aspect_ratio not in wanted or not frame.startswith(_MAGIC[facts.mime_type]):
        raise ValueError("not a frame of ours")
    if len(frame) > MAX_RESULT_BYTES:
        raise ValueError("more than the service takes")
    return facts, frame


def _command() -> list[str]:
    """Start a bare interpreter that knows only the folders of the two libraries and of this package.

    ``-I -S`` leave out the environment, the working directory and all that ``site`` would load: half of a start.
    """
    from importlib.util import find_spec  # noqa: PLC0415 - only needed once

    folders = [str(Path(__file__).resolve().parents[2])]
    for library in ("PIL", "pillow_heif"):
        spec = find_spec(library)  # finds a package without importing it
        if spec is not None and spec.origin is not None:
            folders.append(str(Path(spec.origin).parents[1]))
    return [sys.executable, "-I", "-S", "-c", _START, *dict.fromkeys(folders)]


if sys.platform == "win32":  # pragma: no cover - Windows

    def _environment() -> dict[str, str]:
        """The system's own folder, without which some of its libraries cannot be loaded, and nothing else."""
        import ctypes  # noqa: PLC0415 - only needed on this system

        buffer = ctypes.create_unicode_buffer(260)
        ctypes.windll.kernel32.GetSystemWindowsDirectoryW(buffer, len(buffer))
        return {"SYSTEMROOT": buffer.value}

    def _creation_flags() -> int:
        return subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS

else:

    def _environment() -> dict[str, str]:
        """Nothing: not a secret, not a setting."""
        return {}

    def _creation_flags() -> int:
        return 0
