"""Health figures of the server process: memory, disk, and whether torch is loaded."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sys
from pathlib import Path


def memory_bytes() -> int:
    """Return the resident memory of this process, or its peak where the system reports only that."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def torch_loaded() -> bool:
    """Return whether torch is loaded in this process (it should not be)."""
    return "torch" in sys.modules


def disk_bytes(folder: Path) -> tuple[int, int]:
    """Return the bytes that a folder uses, and the bytes free on its disk."""
    used = 0
    for place, _, names in os.walk(folder):  # skips folders deleted in the meantime
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # a worker renamed or deleted it in the meantime
                used += os.lstat(Path(place, name)).st_size
    return used, shutil.disk_usage(folder).free
