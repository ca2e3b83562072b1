"""What the child may use up: memory, processor time, files. Runs in the child only, before it reads a byte."""

import os
import sys
import threading
import time
from collections.abc import Callable

OUT_OF_MEMORY = 86
"""The exit code of a child that its own watchdog ended."""

_NICENESS = 10
_LOOK_SECONDS = 0.02


def apply(memory_bytes: int, processor_seconds: int) -> None:
    """Bind this process, for good.

    The memory limit is the system's own where it keeps one (Linux: of the address space, Windows: of a job); macOS
    accepts one and ignores it, so there, and on any other system, a watchdog looks at what is really used.
    """
    if sys.platform == "win32":  # pragma: no cover - Windows
        _limit_job(memory_bytes)
        return
    import resource  # noqa: PLC0415 - not there on Windows

    os.nice(_NICENESS)
    _lower(resource.RLIMIT_CORE, 0)  # a dump would hold the picture
    _lower(resource.RLIMIT_FSIZE, 0)  # it writes to a pipe, never to a file
    _lower(resource.RLIMIT_CPU, processor_seconds)
    if sys.platform == "linux":
        _lower(resource.RLIMIT_AS, memory_bytes)
    else:  # pragma: no cover - macOS and others
        watch(memory_bytes, most_used)


def _lower(limit: int, value: int) -> None:
    import resource  # noqa: PLC0415 - not there on Windows

    _, hard = resource.getrlimit(limit)
    if hard == resource.RLIM_INFINITY or value < hard:
        resource.setrlimit(limit, (value, value))


def most_used() -> int:
    """The most memory that this process ever held, in bytes."""
    import resource  # noqa: PLC0415 - not there on Windows

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024  # the systems differ in the unit


def watch(memory_bytes: int, used: Callable[[], int]) -> None:
    """End this process soon after it has used more; decoders leave the interpreter free while they work."""

    def look() -> None:
        while used() <= memory_bytes:
            time.sleep(_LOOK_SECONDS)
        os._exit(OUT_OF_MEMORY)

    threading.Thread(target=look, daemon=True).start()


if sys.platform == "win32":  # pragma: no cover - Windows

    def _limit_job(memory_bytes: int) -> None:
        """Put this process into a job of its own with a memory limit and one process; it ends with this process."""
        import ctypes  # noqa: PLC0415 - only needed on this system
        from ctypes import wintypes  # noqa: PLC0415

        class BasicLimits(ctypes.Structure):
            _fields_ = (
                ("PerProcessUserTimeLimit", wintypes.LARGE_INTEGER),
                ("PerJobUserTimeLimit", wintypes.LARGE_INTEGER),
                ("LimitFlags", wintypes.DWORD),
                ("MinimumWorkingSetSize", ctypes.c_size_t),
                ("MaximumWorkingSetSize", ctypes.c_size_t),
                ("ActiveProcessLimit", wintypes.DWORD),
                ("Affinity", ctypes.c_size_t),
                ("PriorityClass", wintypes.DWORD),
                ("SchedulingClass", wintypes.DWORD),
            )

        class ExtendedLimits(ctypes.Structure):
            _fields_ = (
                ("BasicLimitInformation", BasicLimits),
                ("IoInfo", ctypes.c_ulonglong * 6),
                ("ProcessMemoryLimit", ctypes.c_size_t),
                ("JobMemoryLimit", ctypes.c_size_t),
                ("PeakProcessMemoryUsed", ctypes.c_size_t),
                ("PeakJobMemoryUsed", ctypes.c_size_t),
            )

        active_process, process_memory, extended_limit_information = 0x8, 0x100, 9
        limits = ExtendedLimits()
        limits.BasicLimitInformation.LimitFlags = active_process | process_memory
        limits.BasicLimitInformation.ActiveProcessLimit = 1
        limits.ProcessMemoryLimit = memory_bytes
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.CreateJobObjectW.restype = wintypes.HANDLE
        kernel.GetCurrentProcess.restype = wintypes.HANDLE
        kernel.SetInformationJobObject.argtypes = (wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD)
        kernel.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
        job = kernel.CreateJobObjectW(None, None)
        size = ctypes.sizeof(limits)
        if (
            not job
            or not kernel.SetInformationJobObject(job, extended_limit_information, ctypes.byref(limits), size)
            or not kernel.AssignProcessToJobObject(job, kernel.GetCurrentProcess())
        ):
            raise ctypes.WinError(ctypes.get_last_error())
