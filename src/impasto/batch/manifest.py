"""Manifests: a CSV or JSONL file with one image per row, and any option per row.

Columns: ``content``, ``style`` (several are blended: a list, or separated by ``;``), ``output`` (path below the output
folder), ``protect``, ``style_only``, and every option by its name, with ``-`` or ``_``. An empty cell stands for not
given. Relative paths start at the folder of the manifest. ``reason``, which ``failed.jsonl`` has, is ignored.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from impasto.batch.job import Job, OptionTable
from impasto.batch.naming import Namer
from impasto.errors import ImpastoError, InputError, suggest
from impasto.imaging.images import split_crop
from impasto.options.declaration import Declared
from impasto.options.fields import declared
from impasto.regions.segmentation.names import drawn_name

COLUMNS = ("content", "style", "output", "protect", "style_only", "recipe")
IGNORED = frozenset({"reason"})
MAX_SHOWN = 20


@dataclass(frozen=True)
class Defaults:
    """What rows without a value of their own take from the command line."""

    styles: tuple[str, ...]
    options: Mapping[str, Any]
    protect: str | None = None
    style_only: str | None = None


def read_manifest(path: Path, defaults: Defaults, namer: Namer) -> list[Job]:
    """Return the jobs of a manifest.

    Args:
        path: a ``.csv`` or ``.jsonl`` file.
        defaults: of the command line; each of its styles makes an image of every row without a style.
        namer: names the results of rows without an output.

    Raises:
        InputError: the file cannot be read, or some rows are wrong; all of them are listed.
    """
    jobs: list[Job] = []
    wrong: list[str] = []
    table = OptionTable()
    known = {item.name: item for item in declared()}
    for number, row in _rows(path):
        try:
            if isinstance(row, str):
                raise InputError(row)
            for job in _jobs(_named(row, known), path.parent, defaults, namer):
                table.of(job)
                jobs.append(job)
        except ImpastoError as error:
            wrong.append(f"row {number}: {error}")
    if wrong:
        more = f"; and {len(wrong) - MAX_SHOWN} more" if len(wrong) > MAX_SHOWN else ""
        rows = "1 bad row" if len(wrong) == 1 else f"{len(wrong)} bad rows"
        raise InputError(f"{str(path)!r} has {rows}: {'; '.join(wrong[:MAX_SHOWN])}{more}")
    if not jobs:
        raise InputError(f"{str(path)!r} has no rows: write a row per image, with at least its content")
    return jobs


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield the rows with their line numbers; a string describes an invalid row."""
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".jsonl"):
        raise InputError(f"the manifest {str(path)!r} must be a .csv or .jsonl file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if suffix == ".csv":
                reader = csv.DictReader(file, restkey="")
                for row in reader:
                    if "" in row:
                        yield reader.line_num, "it has more cells than the header"
                    else:
                        yield reader.line_num, {key: cell for key, cell in row.items() if cell}
                return
            for number, text in enumerate(file, start=1):
                if text.strip():
                    yield number, _object(text)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"the manifest {str(path)!r} cannot be read: {reason}") from None


def _object(text: str) -> dict[str, Any] | str:
    try:
        row = json.loads(text)
    except ValueError as error:
        return f"it is not JSON ({error})"
    return {k: v for k, v in row.items() if v is not None} if isinstance(row, dict) else "it is not a JSON object"


def _named(row: Mapping[str, Any], known: Mapping[str, Declared]) -> dict[str, Any]:
    """Return a row with options by their names and values of their types."""
    values: dict[str, Any] = {}
    for key, value in row.items():
        name = key.strip().replace("-", "_")
        if name in IGNORED:
            continue
        if name not in known and name not in COLUMNS:
            raise InputError(f"there is no column {key!r}; {suggest(name, [*COLUMNS, *known])}")
        values[name] = _value(known[name], value) if name in known and isinstance(value, str) else value
    return values


def _value(item: Declared, text: str) -> Any:
    """Return the text of a cell as a value of the option's type; the option checks whether it is allowed."""
    try:
        if item.type is bool:
            return {"true": True, "false": False, "1": True, "0": False}[text.strip().lower()]
        return text.strip() if item.facts.get("words") else item.type(text.strip())
    except (KeyError, ValueError):
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}.get(item.type, item.type.__name__)
        raise InputError(f"{item.name} is {text!r}; it must be {wanted}") from None


def _jobs(row: dict[str, Any], folder: Path, defaults: Defaults, namer: Namer) -> Iterator[Job]:
    """Yield the jobs of a row: one, or one per style of the command line."""
    content = row.pop("content", None)
    if not isinstance(content, str):
        raise InputError("it has no content: add the path of a photograph")
    content = _path(content, folder)
    if not split_crop(content)[0].exists():
        raise InputError(f"{content!r} does not exist")
    style, output = row.pop("style", None), row.pop("output", None)
    protect = mask_path(row.pop("protect", None) or defaults.protect, folder)
    style_only = mask_path(row.pop("style_only", None) or defaults.style_only, folder)
    options = {**defaults.options, **row}
    if style is None:
        blends: list[tuple[str, ...]] = [(own,) for own in defaults.styles]
        blends = blends or [()]
    else:
        names = style if isinstance(style, list) else str(style).split(";")
        blends = [tuple(_path(str(name).strip(), folder) for name in names if str(name).strip())]
    for styles in blends:
        name = _reserved(str(output), namer) if output and len(blends) == 1 else namer.name(content, styles)
        yield Job(content, styles, name, options, protect, style_only)


def mask_path(mask: str | None, folder: Path | None = None) -> str | None:
    """Return a mask with an absolute path, or the name of a mask that is drawn.

    Args:
        mask: a file or a name such as ``faces``.
        folder: where relative paths start; default: the current folder.
    """
    if mask is None or drawn_name(mask) is not None:
        return mask
    return str(((folder or Path()) / mask).absolute())


def _reserved(output: str, namer: Namer) -> str:
    path = PurePosixPath(output)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"the output {output!r} must be a path inside the output folder")
    if not namer.reserve(str(path)):
        raise InputError(f"the output {output!r} is the name of a different image of this batch")
    return str(path)


def _path(text: str, folder: Path) -> str:
    """Return a path relative to the manifest; crops, masks and settings after the name stay as they are."""
    path = Path(text)
    return text if path.is_absolute() else str(folder / path)
