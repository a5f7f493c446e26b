"""Files on disk: atomic writes, SHA-256 hashes, free space, and whether a folder can be written.

Free space is checked before the work: sizes that go to the same disk are added up, and a folder that does not exist yet
counts as its nearest existing parent.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, cast

from impasto.errors import OptionError

TEMPORARY = ".impasto-"
SpaceRequest = tuple[Path, int, str]


def write_atomically(path: Path, data: bytes | Callable[[IO[bytes]], object]) -> None:
    """Write a file so that readers see either the old content or the new, even after a crash.

    The folder is created if needed. A new file gets the usual permissions, a replaced one keeps its own. If ``path`` is
    a symbolic link, the file it points to is replaced.

    Args:
        path: the file.
        data: the new content, or a function that writes it to an open file.

    Raises:
        OSError: the old file is unchanged, and no temporary file is left behind.
    """
    target = behind_link(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temp_path = create_temporary(target.parent)
    try:
        with temp_path.open("r+b") as file:  # opened by name, because some writers need the name
            if callable(data):
                data(file)
            else:
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if target.exists():
                temp_path.chmod(target.stat().st_mode & 0o777)
        temp_path.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temp_path.unlink()
        raise


def create_temporary(folder: Path) -> Path:
    """Create an empty temporary file in a folder, with the permissions of any new file there, and return its path."""
    temp_path = folder / f"{TEMPORARY}{secrets.token_hex(8)}.tmp"
    os.close(os.open(temp_path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
    return temp_path


def temporary_files(folder: Path) -> Iterator[Path]:
    """Return the temporary files in a folder, which processes that were killed have left."""
    return folder.glob(f"{TEMPORARY}*.tmp")


def behind_link(path: Path) -> Path:
    """Return the file behind a symbolic link, or the path itself."""
    return path.resolve() if path.is_symlink() else path


def cache_folder() -> Path:
    """Return the cache folder: ``IMPASTO_CACHE`` if it is set, otherwise the system's cache folder for the user."""
    named = os.environ.get("IMPASTO_CACHE")
    if named:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("impasto", appauthor=False))


def readable(name: str) -> str:
    """Return a file name with its undecodable bytes as escapes, as in ``caf\\xe9.png``, so that it is valid Unicode."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def file_sha256(source: Path | IO[bytes]) -> str:
    """Return the SHA-256 of a file in hexadecimal.

    Args:
        source: its path, or an open binary file, which is read from the current position to the end.

    Raises:
        OSError: the file cannot be read.
    """
    if isinstance(source, Path):
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.file_digest(cast("Any", source), "sha256").hexdigest()


def disk_shortfall(requests: Sequence[SpaceRequest]) -> str | None:
    """Return an error message if a disk has too little free space, None otherwise.

    Args:
        requests: folder, bytes, and what needs them, such as "the image".
    """
    disks: dict[int, list[SpaceRequest]] = {}
    for folder, size, what in requests:
        existing = next((path for path in (folder, *folder.absolute().parents) if path.is_dir()), Path.cwd())
        disks.setdefault(existing.stat().st_dev, []).append((existing, size, what))
    for group in disks.values():
        folder, needed = group[0][0], sum(size for _, size, _ in group)
        free = shutil.disk_usage(folder).free
        if needed > free:
            names = " and ".join(what for _, _, what in group)
            verb = "need" if names.endswith("s") or len(group) > 1 else "needs"
            return (
                f"folder {str(folder)!r} has {megabytes(free)} left and {names} {verb} about {megabytes(needed)}: "
                "free some space or choose another folder"
            )
    return None


def why_not_writable(folder: Path) -> str | None:
    """Create a folder if needed; return why files cannot be written into it, None if they can."""
    action = "created"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        action = "written"
        with TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"cannot be {action} ({error.strerror or error})"


def folder_for(path: Path, option: str) -> Path:
    """Create the folder of an option; raise OptionError if it is not writable."""
    if (reason := why_not_writable(path)) is not None:
        raise OptionError(f"--{option} {path}: the folder {reason}", option)
    return path


def megabytes(size: int) -> str:
    """Format a number of bytes as MB or GB."""
    return f"{size / 1e6:.0f} MB" if size < 1e10 else f"{size / 1e9:.0f} GB"
