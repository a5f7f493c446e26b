"""What a server can say of itself: memory, disk, and that torch stayed out."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sys
from pathlib import Path


def memory_bytes() -> int:
    """Return this process's resident memory; where the system does not tell, its peak."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def torch_loaded() -> bool:
    """Say whether torch is in this process, where it should not be."""
    return "torch" in sys.modules


def disk_bytes(folder: Path) -> tuple[int, int]:
    """Return what a folder takes up, and what is free on its disk."""
    used = 0
    for place, _, names in os.walk(folder):  # passes over a folder that is removed while it looks
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # a worker renamed or removed it meanwhile
                used += os.lstat(Path(place, name)).st_size
    return used, shutil.disk_usage(folder).free
