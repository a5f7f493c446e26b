"""Health figures of the server process: memory, disk, and whether torch is loaded."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path

import psutil


def memory_bytes() -> int:
    """Return the resident memory of this process."""
    return int(psutil.Process().memory_info().rss)


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
