"""Find the photographs of a batch: files, folders, globs, and a list on standard input.

Input: the arguments of the command line. Output: ``Photo``s in natural order (``frame2`` before ``frame10``), each with
its folder relative to the one that was named. Hidden files and folders, files that are not images by their extension,
and the output folder are skipped; so are earlier results, which are recognized by their records, in a folder that is
input and output at once.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from impasto.errors import ImageError, InputError, RecordError
from impasto.imaging.images import READ_SUFFIXES, read_record, split_crop

STDIN = "-"
_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True)
class Photo:
    """A photograph, and the folder below which its results go, as ``"trip/day1"``."""

    path: str
    tree: str = ""


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a sort key by which ``frame2`` comes before ``frame10``."""
    parts = re.split(r"(\d+)", text.casefold())
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


def find_photos(
    arguments: Iterable[str], output: Path, *, lines: Iterable[str] = (), known: Collection[str] = ()
) -> list[Photo]:
    """Return the photographs that the arguments name, each once.

    Args:
        arguments: files, folders, globs, or ``-`` for ``lines``.
        output: the output folder.
        lines: paths of standard input.
        known: results of earlier runs by their path below ``output``, which are also skipped.

    Raises:
        InputError: a file does not exist, a glob matches nothing, or a folder has no photographs.
    """
    found: list[Photo] = []
    missing: list[str] = []
    for argument in arguments:
        if argument == STDIN:
            listed = [line.rstrip("\r\n") for line in lines]
            found += [Photo(line) for line in listed if line.strip()]
            missing += [line for line in listed if line.strip() and not split_crop(line)[0].exists()]
            if not any(line.strip() for line in listed):
                raise InputError("no paths on standard input: pass one path per line, or a folder as an argument")
        else:
            found += _named(argument, output, known)
    if missing:
        raise InputError(f"{_count(len(missing), 'file')} on standard input do not exist: {_some(missing)}")
    once: dict[str, Photo] = {}
    for photo in found:
        file, crop = split_crop(photo.path)
        once.setdefault(f"{file.resolve()}#{crop}", photo)
    return list(once.values())


def _named(argument: str, output: Path, known: Collection[str]) -> list[Photo]:
    """Return the photographs of one argument."""
    path = Path(argument)
    if path.is_dir():
        photos = list(_in_folder(path, output, known))
        if not photos:
            raise InputError(f"the folder {argument!r} has no photographs; these are read: {_suffixes()}")
        return photos
    if is_pattern(argument):
        return _matched(argument, output, known)
    if not split_crop(argument)[0].exists():
        raise InputError(f"{argument!r} does not exist: check the name, or quote the pattern")
    return [Photo(argument)]


def is_pattern(text: str) -> bool:
    """Whether an argument is a glob: it has wildcards, and no file has that name."""
    return _MAGIC.search(text) is not None and not os.path.lexists(split_crop(text)[0])


def _matched(pattern: str, output: Path, known: Collection[str]) -> list[Photo]:
    """Return the photographs that match a glob, with the tree below its first wildcard."""
    parts = Path(pattern).parts
    first = next(index for index, part in enumerate(parts) if _MAGIC.search(part))
    root = Path(*parts[:first])
    found: list[Photo] = []
    for name in sorted(glob.glob(pattern, recursive=True), key=natural):  # noqa: PTH207 - expands as a shell does
        path = Path(name)
        if path.is_file() and _is_photo(path, output, known):
            tree = path.parent.relative_to(root).as_posix()
            found.append(Photo(name, "" if tree == "." else tree))
    if not found:
        raise InputError(f"nothing matches {pattern!r}: check the pattern; these are read: {_suffixes()}")
    return found


def _in_folder(folder: Path, output: Path, known: Collection[str]) -> Iterator[Photo]:
    """Yield the photographs in a folder and the folders below it."""
    target = output.resolve()
    for current, folders, files in os.walk(folder):
        here = Path(current)
        folders[:] = sorted(
            (name for name in folders if not name.startswith(".") and (here / name).resolve() != target), key=natural
        )
        tree = here.relative_to(folder).as_posix()
        for name in sorted(files, key=natural):
            if _is_photo(here / name, output, known):
                yield Photo(str(here / name), "" if tree == "." else tree)


def _is_photo(path: Path, output: Path, known: Collection[str]) -> bool:
    """Whether a file in a folder is a photograph, and not hidden and not a result of a batch in that folder."""
    if path.name.startswith(".") or path.suffix.lower() not in READ_SUFFIXES:
        return False
    try:
        inside = path.resolve().relative_to(output.resolve()).as_posix()
    except ValueError:
        return True
    if inside in known:
        return False
    try:
        return read_record(path) is None
    except RecordError:
        return False
    except ImageError:
        return True  # a broken photograph, which is reported as one


def _suffixes() -> str:
    return " ".join(sorted(READ_SUFFIXES))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _some(names: list[str], most: int = 10) -> str:
    """Return names for a message, the first of them if there are many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more
