"""An index of the image files that runs on this machine read, so that a moved or renamed input is found by its hash.

It is a JSON file in the cache, in a folder that only its owner can read, and holds the paths and SHA-256 hashes of the
last ``MAX_FILES`` files. With ``IMPASTO_NO_INDEX=1`` (``--no-index``) it is neither written nor read. A damaged
index or a cache that cannot be written is ignored.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from impasto.files import cache_folder, write_atomically
from impasto.imaging.images import Picture

MAX_FILES = 2000
MAX_LEVELS_UP = 2  # of a path relative to the output: further up, it would name unrelated folders
OFF = "IMPASTO_NO_INDEX"


def is_enabled() -> bool:
    """Whether files are indexed."""
    return os.environ.get(OFF, "") in ("", "0")


def index_file() -> Path:
    """Return the path of the index, whether or not it exists."""
    return cache_folder() / "index" / "inputs.json"


def remember(pictures: Mapping[str, Picture]) -> None:
    """Add the files of a run's inputs to the index.

    Args:
        pictures: inputs by role; those that are not files are skipped.
    """
    if not is_enabled():
        return
    known = _read()
    before = list(known.items())
    for picture in pictures.values():
        if picture.source is not None and picture.sha256:
            path = str(picture.source.absolute())
            known.pop(path, None)
            known[path] = picture.sha256
    if list(known.items()) == before:
        return
    with contextlib.suppress(OSError):
        index_file().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        entries = list(known.items())[-MAX_FILES:]
        write_atomically(index_file(), json.dumps({"files": entries}, indent=0).encode())
        index_file().chmod(0o600)


def paths_of(sha256: str) -> list[Path]:
    """Return the paths at which a file with this hash was seen, the latest first; they may no longer exist."""
    if not is_enabled():
        return []
    return [Path(path) for path, known in reversed(_read().items()) if known == sha256]


def relative_path(source: Path | None, output: Path | None) -> str:
    """Return the path of an input relative to the folder of the output, for the record; empty if it is not recorded.

    It is not recorded if the input is next to the output, where it is found by its name, or far away.
    """
    if source is None or output is None or not is_enabled():
        return ""
    try:
        parts = Path(os.path.relpath(source, output.parent)).parts
    except ValueError:  # on a different drive
        return ""
    if len(parts) == 1 or parts.count("..") > MAX_LEVELS_UP:
        return ""
    return "/".join(parts)


def _read() -> dict[str, str]:
    """Return the hashes by path, the oldest first."""
    try:
        return {str(path): str(sha256) for path, sha256 in json.loads(index_file().read_bytes())["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
