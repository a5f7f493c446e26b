"""Room on disks: what is about to be written, held against what is free, before the work.

In: folders, bytes and what they are for. Out: one line where they do not fit, None where they do. What goes to one
disk is added up, whichever folders it goes to. A folder that is not there yet counts as the nearest one that is. And
whether a folder takes files at all.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

SpaceRequest = tuple[Path, int, str]


def disk_shortfall(requests: Sequence[SpaceRequest]) -> str | None:
    """Return what to tell a person whose disk has too little room, None if it has enough.

    Args:
        requests: folder, bytes, and what needs them, such as "the picture".
    """
    disks: dict[int, list[SpaceRequest]] = {}
    for folder, size, what in requests:
        there = next((path for path in (folder, *folder.absolute().parents) if path.is_dir()), Path.cwd())
        disks.setdefault(there.stat().st_dev, []).append((there, size, what))
    for group in disks.values():
        folder, needed = group[0][0], sum(size for _, size, _ in group)
        free = shutil.disk_usage(folder).free
        if needed > free:
            names = " and ".join(what for _, _, what in group)
            verb = "need" if names.endswith("s") or len(group) > 1 else "needs"
            return (
                f"folder {str(folder)!r} has {megabytes(free)} left and {names} {verb} about {megabytes(needed)}: "
                "make room or choose another folder"
            )
    return None


def why_not_writable(folder: Path) -> str | None:
    """Make a folder and return in words what is wrong with it, None where files can be written into it."""
    what = "made"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        what = "written"
        with TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"cannot be {what} ({error.strerror or error})"


def megabytes(size: int) -> str:
    """Return bytes as a person reads them."""
    return f"{size / 1e6:.0f} MB" if size < 1e10 else f"{size / 1e9:.0f} GB"
