"""The record that is stored in a saved image, and how its inputs are found.

A record is plain data, stored in the image as JSON: options, decisions, inputs, commands, and versions. It contains
file names, no absolute paths and no times, so that a repeated run produces the same file. For an input in a different
folder that is not far away, it contains the path relative to the output (see ``input_index``).

If a record is too long for one JPEG segment (after thousands of commands), the commands are stored in a file next to
the image, ``NAME.steering.json``, and the record contains its hash.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import zlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any, TypedDict

from impasto.errors import ImageError, OptionError, RecordError
from impasto.events import CommandName
from impasto.files import file_sha256, readable
from impasto.imaging import images
from impasto.options.choices import Precision
from impasto.options.fields import Options, names_with
from impasto.regions.spec import SpecData
from impasto.run import input_index

FORMAT = 1
LONGEST = 60_000  # bytes after compression; a JPEG segment holds 65,533
SIDE_FILE = ".steering.json"
SIDE_FILE_START = b'{"steering"'
MAX_FILES_HASHED = 500


class SteeringEntry(TypedDict, total=False):
    """A command that a run executed before ``step``."""

    step: int
    command: CommandName
    values: dict[str, float]


class InputEntry(TypedDict, total=False):
    """An input image: its file name, its path relative to the output if it was in a different folder, hash and crop."""

    name: str
    path: str
    sha256: str
    crop: list[int]


class Decisions(TypedDict, total=False):
    """What a run resolved on its machine; see ``PreparedRun.decisions``."""

    device: str
    precision: Precision
    threads: int
    cpu: str
    tile: int | None
    scales: list[list[float]]
    style_layers: dict[str, float]
    content_layers: dict[str, float]
    placement: SpecData
    plans: list[list[Any]]
    ranks: int
    proof: bool


class Record(TypedDict, total=False):
    """What is known of a run, as JSON. The keys after ``parents`` are added at the end of the run."""

    format: int
    versions: dict[str, str]
    options: dict[str, Any]
    decisions: Decisions
    inputs: dict[str, InputEntry]
    steering: list[SteeringEntry]
    parents: list[Record]
    steps: int
    stopped: bool
    losses: dict[str, float]
    steering_file: str


class RunDescription(Record, total=False):
    """What a folder of checkpoints stores of its run: the record, and the paths that it leaves out."""

    places: dict[str, str]
    output: str | None
    weights: str | None
    seconds: float


def make(
    options: Mapping[str, object],
    decisions: Decisions,
    inputs: Mapping[str, images.Picture],
    *,
    steering: Sequence[SteeringEntry] = (),
    parents: Sequence[Record] = (),
    output: Path | None = None,
) -> Record:
    """Return the record of a run before its first step.

    Args:
        options: all options by flat name.
        decisions: settings that depend on the machine.
        inputs: images by role: ``content``, ``style``, ``init``.
        steering: the executed commands, in order.
        parents: records of the images that this one started from, oldest first.
        output: the output file of the run, to which paths of inputs are relative.
    """
    return {
        "format": FORMAT,
        "versions": versions(),
        "options": {
            name: _name_only(value) if name in names_with("file") else value for name, value in options.items()
        },
        "decisions": decisions.copy(),
        "inputs": {part: _described(picture, output) for part, picture in inputs.items()},
        "steering": [entry.copy() for entry in steering],
        "parents": [parent.copy() for parent in parents],
    }


def without_parents(record: Record) -> Record:
    """Return a record without the records of the images that it started from."""
    single = record.copy()
    single.pop("parents", None)
    return single


def without_schedule(decisions: Decisions) -> Decisions:
    """Return the decisions that also hold for a different size or number of steps."""
    kept = decisions.copy()
    kept.pop("scales", None)
    kept.pop("plans", None)
    kept.pop("proof", None)
    return kept


def versions() -> dict[str, str]:
    """Return the versions on which the bytes of the result depend."""
    from impasto import __version__

    found = {"impasto": __version__, "python": platform.python_version()}
    for package in ("torch", "numpy", "pillow"):
        found[package] = metadata.version(package)
    return found


def _described(picture: images.Picture, output: Path | None) -> InputEntry:
    about: InputEntry = {"name": readable(picture.name), "sha256": picture.sha256}
    path = picture.recorded_path
    if path is None:
        path = readable(input_index.relative_path(picture.source, output))
    if path:
        about["path"] = path
    if picture.crop is not None:
        about["crop"] = list(picture.crop)
    return about


def _name_only(value: Any) -> Any:
    return readable(Path(value).name) if isinstance(value, str) else value


def text(record: Mapping[str, object]) -> str:
    """Return the record as JSON; equal records give equal text."""
    return json.dumps(record, sort_keys=True, ensure_ascii=False)


def for_file(record: Mapping[str, object], path: Path) -> tuple[str, bytes | None]:
    """Return the record's text for an image, and the content of the side file if the commands do not fit.

    Args:
        record: the record of ``make`` at the end of the run.
        path: output file.
    """
    whole = text(record)
    if len(zlib.compress(whole.encode(), 9)) <= LONGEST:
        return whole, None
    side = text({"steering": record["steering"]}).encode()
    short = {**record, "steering": [], "steering_file": hashlib.sha256(side).hexdigest()}
    return text(short), side


def side_file(picture: Path) -> Path:
    """Return the path of an image's side file, which has the commands if the record does not."""
    return picture.with_name(picture.name + SIDE_FILE)


def remove_side_file(picture: Path) -> None:
    """Remove the side file of an earlier image with the same path, since it belongs to that image."""
    path = side_file(picture)
    with contextlib.suppress(OSError):
        with path.open("rb") as file:
            is_ours = file.read(len(SIDE_FILE_START)) == SIDE_FILE_START
        if is_ours:
            path.unlink()


def read(path: str | Path) -> Record:
    """Return the record inside an image.

    Raises:
        ImageError: the file is missing or is not an image.
        RecordError: there is no record, or it is damaged or of a newer version.
    """
    path = Path(path)
    found = images.read_record(path)
    if found is None:
        raise RecordError(
            f"{str(path)!r} contains no Impasto metadata: it was not made by impasto, was saved with "
            "--no-metadata, or another program stripped it; use the original file"
        )
    record = parsed(found, repr(str(path)))
    wanted = record.pop("steering_file", None)
    if wanted is None:
        return record
    side_path = side_file(path)
    try:
        data = side_path.read_bytes()
    except OSError:
        raise RecordError(
            f"{side_path.name!r}, the log of live changes of {str(path)!r}, is missing next to it"
        ) from None
    if hashlib.sha256(data).hexdigest() != wanted:
        raise RecordError(f"{side_path.name!r} is not the log of live changes of {str(path)!r}: restore the right file")
    record["steering"] = json.loads(data)["steering"]
    return record


def parsed(found: str, shown: str) -> Record:
    """Parse a record from its JSON.

    Args:
        found: JSON text.
        shown: name of the file for error messages.

    Raises:
        RecordError: the record is damaged or of a newer version.
    """
    try:
        record: Record = json.loads(found)
        if not isinstance(record, dict):
            raise TypeError
        number = int(record["format"])
        made_by = str(record["versions"]["impasto"])
    except (ValueError, KeyError, TypeError):
        raise RecordError(f"the record in {shown} is damaged: use the original file") from None
    if number > FORMAT:
        raise RecordError(
            f"{shown} was made by impasto {made_by}, which is newer than this one: pip install --upgrade impasto"
        )
    return record


def options_of(record: Record) -> Options:
    """Return the options in a record.

    Raises:
        RecordError: this version does not have an option, or does not allow its value.
    """
    try:
        return Options.of(**record["options"])
    except (OptionError, KeyError, TypeError) as error:
        made_by = record.get("versions", {}).get("impasto", "an unknown version")
        raise RecordError(f"the record was made by impasto {made_by} and cannot be used here: {error}") from error


def differences(record: Record) -> list[str]:
    """Return a message about versions that differ from those in the record, since the bytes may then differ."""
    return [
        f"{package} was {then} and is {now} here"
        for package, now in versions().items()
        if (then := record["versions"].get(package)) not in (None, now)
    ]


def machine_differences(decisions: Decisions, ranks: int = 1) -> list[str]:
    """Return what differs from the machine of a run, since the bytes may then differ.

    Args:
        decisions: those of the record.
        ranks: the number of processes of the new run.
    """
    import torch

    now = {"cpu": torch.backends.cpu.get_cpu_capability(), "ranks": ranks}
    then = {"cpu": decisions.get("cpu", now["cpu"]), "ranks": decisions.get("ranks", 1)}
    names = {"cpu": "the instruction set of the CPU", "ranks": "the number of processes"}
    return [f"{names[key]} was {then[key]} and is {now[key]} here" for key in names if then[key] != now[key]]


def find_input(record: Record, part: str, given: str | Path | None = None, folders: Sequence[Path] = ()) -> str:
    """Return the current path of an input of a run, matched by its hash.

    Args:
        record: record of the run.
        part: role of the input: ``content``, ``style``, ``init``.
        given: path from the user; if set, nothing else is tried.
        folders: folders to search otherwise: for the recorded path and name, then for any image with the same hash. The
            paths of the index are tried as well.

    Returns:
        The path, with the crop of the run if it used one.

    Raises:
        RecordError: the input is missing or has changed.
    """
    about = record["inputs"][part]
    name, wanted = str(about["name"]), str(about["sha256"])
    crop = "#" + ",".join(str(number) for number in about["crop"]) if about.get("crop") else ""
    if given is not None:
        path = images.split_crop(given)[0]
        found = _hash(path)
        if found is None:
            raise RecordError(f"the {part} {str(path)!r} cannot be read: check the name")
        if found != wanted:
            raise RecordError(_changed(part, name, wanted, path, found))
        return f"{path}{crop}"
    changed: tuple[Path, str] | None = None
    near = [folder / about["path"] for folder in dict.fromkeys(folders) if about.get("path")]
    for path in chain(near, input_index.paths_of(wanted), _candidates(name, folders)):
        found = _hash(path)
        if found == wanted:
            return f"{path}{crop}"
        if readable(path.name) == name and found is not None:
            changed = changed or (path, found)
    if changed is not None:
        raise RecordError(_changed(part, name, wanted, *changed))
    places = " or ".join(repr(str(folder)) for folder in dict.fromkeys(folders)) or "any folder"
    raise RecordError(
        f"the {part} {name!r} (sha256 {wanted[:12]}) is missing: no such file in {places}; "
        f"pass its path with {_flag(part)}"
    )


def _candidates(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    others: list[Path] = []
    for folder in dict.fromkeys(folders):
        if folder.is_dir():
            files = sorted(folder.iterdir())
            yield from [path for path in files if readable(path.name) == name and path.is_file()]
            pictures = [path for path in files if path.suffix.lower() in images.READ_SUFFIXES]
            others += [path for path in pictures if readable(path.name) != name][:MAX_FILES_HASHED]
    yield from others


def _hash(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:
        return None


def _flag(part: str) -> str:
    """Return the command-line option for the path of an input."""
    return f"--{part} FILE" if part in ("content", "style", "init") else f"--input '{part}=FILE'"


def _changed(part: str, name: str, wanted: str, path: Path, found: str) -> str:
    return (
        f"the {part} {name!r} has changed: the run read sha256 {wanted[:12]} and {str(path)!r} has {found[:12]}; "
        f"restore the original file and pass it with {_flag(part)}, or run impasto stylize again"
    )


def load_input(record: Record, part: str, place: str) -> images.Picture:
    """Load an input under its name in the record, so that the new record is the same.

    Raises:
        ImageError: the input cannot be read.
    """
    from dataclasses import replace

    options = record["options"]
    limits = {key: options[key] for key in ("max_pixels", "keep_location") if key in options}
    picture = images.load(place, limits=images.DecodeLimits(**limits))
    if picture.sha256 != record["inputs"][part]["sha256"]:
        raise ImageError(f"{place!r} changed while it was read: try again")
    about = record["inputs"][part]
    return replace(picture, name=str(about["name"]), recorded_path=str(about.get("path", "")))
