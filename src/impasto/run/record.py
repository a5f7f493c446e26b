"""The record that a saved picture carries, and how its inputs are found again.

In: options, decisions, inputs and what happened on the way. Out: plain data that goes into the picture as JSON, and
comes back as options. A record holds file names and no paths, and nothing of the clock, so that a run repeated is the
same file.

A record that grew too long for one JPEG segment (a run steered thousands of times) keeps its steering in a file
beside the picture, ``NAME.steering.json``, and the hash of it.
"""

from __future__ import annotations

import hashlib
import json
import platform
import zlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from impasto.errors import ImageError, OptionError, RecordError
from impasto.files import file_sha256
from impasto.imaging import images
from impasto.options.fields import Options, names_with

FORMAT = 1
LONGEST = 60_000  # bytes after compression; a JPEG segment holds 65,533
SIDE_FILE = ".steering.json"
MOST_FILES_HASHED = 500

Record = dict[str, Any]


def make(
    options: Mapping[str, Any],
    decisions: Mapping[str, Any],
    inputs: Mapping[str, images.Picture],
    *,
    steering: Sequence[Mapping[str, Any]] = (),
    parents: Sequence[Mapping[str, Any]] = (),
) -> Record:
    """Return what is known of a run before its first step.

    Args:
        options: all of them, by flat name.
        decisions: what the machine's state took part in.
        inputs: pictures by the part they play: ``content``, ``style``, ``init``.
        steering: commands obeyed, in order.
        parents: records of the pictures that this one started from, the oldest first.
    """
    return {
        "format": FORMAT,
        "versions": versions(),
        "options": {
            name: _name_only(value) if name in names_with("file") else value for name, value in options.items()
        },
        "decisions": dict(decisions),
        "inputs": {part: _described(picture) for part, picture in inputs.items()},
        "steering": [dict(entry) for entry in steering],
        "parents": [dict(parent) for parent in parents],
    }


def versions() -> dict[str, str]:
    """Return the versions on which the bytes of a picture depend."""
    from impasto import __version__

    found = {"impasto": __version__, "python": platform.python_version()}
    for package in ("torch", "numpy", "pillow"):
        found[package] = metadata.version(package)
    return found


def _described(picture: images.Picture) -> dict[str, Any]:
    about: dict[str, Any] = {"name": picture.name, "sha256": picture.sha256}
    if picture.crop is not None:
        about["crop"] = list(picture.crop)
    return about


def _name_only(value: Any) -> Any:
    return Path(value).name if isinstance(value, str) else value


def text(record: Mapping[str, Any]) -> str:
    """Return the record as JSON, the same for the same record."""
    return json.dumps(record, sort_keys=True, ensure_ascii=False)


def for_file(record: Mapping[str, Any], path: Path) -> tuple[str, bytes | None]:
    """Return the record's text for a picture, and the side file's content where the steering had to leave it.

    Args:
        record: as ``make`` returned it, with what came later.
        path: where the picture goes.
    """
    whole = text(record)
    if len(zlib.compress(whole.encode(), 9)) <= LONGEST:
        return whole, None
    side = text({"steering": record["steering"]}).encode()
    short = {**record, "steering": [], "steering_file": hashlib.sha256(side).hexdigest()}
    return text(short), side


def side_file(picture: Path) -> Path:
    """Return where the steering of a picture lies if it is not inside."""
    return picture.with_name(picture.name + SIDE_FILE)


def read(path: str | Path) -> Record:
    """Return the record inside a picture.

    Raises:
        ImageError: the file is missing or not a picture.
        RecordError: it carries no record, a damaged one, or one of a newer version.
    """
    path = Path(path)
    found = images.read_record(path)
    if found is None:
        raise RecordError(
            f"{str(path)!r} carries no record: it was not made by impasto, was saved with --no-metadata, "
            "or another program dropped it; give the file as impasto wrote it"
        )
    record = parsed(found, repr(str(path)))
    wanted = record.pop("steering_file", None)
    if wanted is None:
        return record
    beside = side_file(path)
    try:
        data = beside.read_bytes()
    except OSError:
        raise RecordError(f"the steering of {str(path)!r} is in {beside.name!r}, which is missing beside it") from None
    if hashlib.sha256(data).hexdigest() != wanted:
        raise RecordError(f"{beside.name!r} is not the steering that {str(path)!r} was made with; find the right file")
    record["steering"] = json.loads(data)["steering"]
    return record


def parsed(found: str, shown: str) -> Record:
    """Return a record from its JSON.

    Args:
        found: the JSON text.
        shown: what to call its file in an error.

    Raises:
        RecordError: it is damaged or of a newer version.
    """
    try:
        record = json.loads(found)
        if not isinstance(record, dict):
            raise TypeError
        number = int(record["format"])
        made_by = str(record["versions"]["impasto"])
    except (ValueError, KeyError, TypeError):
        raise RecordError(f"the record in {shown} is damaged: use the file as impasto wrote it") from None
    if number > FORMAT:
        raise RecordError(
            f"{shown} was made by impasto {made_by}, which is newer than this one: pip install --upgrade impasto"
        )
    return record


def options_of(record: Mapping[str, Any]) -> Options:
    """Return the options that a record holds.

    Raises:
        RecordError: there is an option that this version does not know, or a value that it does not allow.
    """
    try:
        return Options.of(**record["options"])
    except (OptionError, KeyError, TypeError) as error:
        made_by = record.get("versions", {}).get("impasto", "an unknown version")
        raise RecordError(f"the record was made by impasto {made_by} and cannot be used here: {error}") from error


def differences(record: Mapping[str, Any]) -> list[str]:
    """Return in words which versions differ from those that the record names; bytes may differ with them."""
    return [
        f"{package} was {then} and is {now} here"
        for package, now in versions().items()
        if (then := record["versions"].get(package)) not in (None, now)
    ]


def find_input(
    record: Mapping[str, Any], part: str, given: str | Path | None = None, folders: Sequence[Path] = ()
) -> str:
    """Return where an input of a run is now, matched by its hash.

    Args:
        record: of the run.
        part: ``content``, ``style``, ``init``.
        given: where the person says it is; nothing else is tried then.
        folders: where to look otherwise: the recorded name first, then any picture with the same content.

    Returns:
        A path, with the crop that the run took of it, if it took one.

    Raises:
        RecordError: it is missing, or changed.
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
    for path in _candidates(name, folders):
        found = _hash(path)
        if found == wanted:
            return f"{path}{crop}"
        if path.name == name and found is not None:
            changed = changed or (path, found)
    if changed is not None:
        raise RecordError(_changed(part, name, wanted, *changed))
    places = " or ".join(repr(str(folder)) for folder in dict.fromkeys(folders)) or "any folder"
    raise RecordError(
        f"the {part} {name!r} (sha256 {wanted[:12]}) is missing: no such file in {places}; "
        f"say where it is with {_flag(part)}"
    )


def _candidates(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    for folder in dict.fromkeys(folders):
        if (folder / name).is_file():
            yield folder / name
    for folder in dict.fromkeys(folders):
        if folder.is_dir():
            pictures = sorted(
                path for path in folder.iterdir() if path.suffix.lower() in images.READ_SUFFIXES and path.name != name
            )
            yield from pictures[:MOST_FILES_HASHED]


def _hash(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:
        return None


def _flag(part: str) -> str:
    """Return how a person says where an input is."""
    return f"--{part} FILE" if part in ("content", "style", "init") else f"--input '{part}=FILE'"


def _changed(part: str, name: str, wanted: str, path: Path, found: str) -> str:
    return (
        f"the {part} {name!r} has changed: the run read sha256 {wanted[:12]} and {str(path)!r} has {found[:12]}; "
        f"give the file as it was with {_flag(part)}, or paint anew with impasto stylize"
    )


def load_input(record: Mapping[str, Any], part: str, place: str) -> images.Picture:
    """Load an input under the name that the record has for it, so that the new record is the same.

    Raises:
        ImageError: it cannot be read.
    """
    from dataclasses import replace

    options = record["options"]
    limits = {key: options[key] for key in ("max_pixels", "keep_location") if key in options}
    picture = images.load(place, limits=images.DecodeLimits(**limits))
    if picture.sha256 != record["inputs"][part]["sha256"]:
        raise ImageError(f"{place!r} changed while it was read: try again")
    return replace(picture, name=str(record["inputs"][part]["name"]))
