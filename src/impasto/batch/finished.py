"""Whether a result exists: by the record in the file, not by its name.

A result counts if its record has the same hashes of the inputs and the same options. Options that only concern the
machine (device, threads, precision, memory) are compared only if a job sets them. A file without a record counts if the
journal has its hash, for the same job: that is what ``--no-metadata`` leaves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from impasto.batch.job import Job
from impasto.batch.journal import Entry
from impasto.errors import InputError
from impasto.files import file_sha256
from impasto.imaging.images import DecodeLimits, load, read_record, split_crop
from impasto.options.choices import INIT_NAMES
from impasto.options.fields import Options, declared
from impasto.run import record

NOT_COMPARED = frozenset({item.name for item in declared() if item.group == "machine"} - {"weights"} | {"max_pixels"})


class FinishedCheck:
    """Compares results with jobs; the hashes of paintings are read once.

    Args:
        folder: the folder of the batch.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._inputs: dict[tuple[Any, ...], dict[str, Any]] = {}

    def is_finished(self, job: Job, options: Options, entry: Entry | None = None) -> bool:
        """Whether the result of a job is complete and was painted from the same inputs with the same options.

        Args:
            job: the job.
            options: its resolved options.
            entry: what the journal says about the output, if anything.
        """
        path = self.folder / job.output
        if not path.is_file():
            return False
        try:
            if read_record(path) is None:
                same = entry is not None and entry.state == "done" and entry.job == job
                return same and entry is not None and entry.sha256 == file_sha256(path)
            found = record.read(path)
            if found.get("stopped") or found.get("steering") or found.get("parents"):
                return False
            if _chosen(found["options"], job) != _chosen(_as_recorded(options), job):
                return False
            inputs = {part: _identity(about) for part, about in found["inputs"].items()}
            inputs["placement"] = _placement(found["decisions"].get("placement"))
            return inputs == {"content": self._content(job, options), **self._others(job, options)}
        except (InputError, OSError):
            return False  # a damaged result, or an input that cannot be read, which painting reports

    def _content(self, job: Job, options: Options) -> Any:
        path, crop = split_crop(job.content)
        if crop is None:
            return file_sha256(path), None
        picture = load(job.content, limits=DecodeLimits.of(options.output))
        return picture.sha256, None if picture.crop is None else list(picture.crop)

    def _others(self, job: Job, options: Options) -> dict[str, Any]:
        """Return the identities of all inputs but the content, and the placement of the styles."""
        key = (
            job.styles,
            job.protect,
            job.style_only,
            options.feed_forward.model,
            options.optimization.init,
            options.output,
        )
        if key not in self._inputs:
            self._inputs[key] = _read_others(job, options)
        return self._inputs[key]


def _read_others(job: Job, options: Options) -> dict[str, Any]:
    from impasto.feedforward import run as feedforward_run
    from impasto.regions.spec import parse_regions

    limits = DecodeLimits.of(options.output)
    style: Any = list(job.styles) or None
    model = feedforward_run.model_of(options)
    if model is not None:
        style = feedforward_run.style_of(model, style, (), None)
    spec = parse_regions(style, protect=job.protect, style_only=job.style_only, limits=limits)
    pictures = dict(spec.pictures)
    if options.optimization.init not in INIT_NAMES:
        pictures["init"] = load(options.optimization.init, limits=limits)
    found: dict[str, Any] = {
        part: (picture.sha256, None if picture.crop is None else list(picture.crop))
        for part, picture in pictures.items()
    }
    if model is not None and model.shape.any_style:
        found["model"] = (model.sha256, None)
    found["placement"] = _placement(None if spec.is_plain else spec.as_data())
    return found


def _placement(data: Mapping[str, Any] | None) -> Any:
    """Return where styles and masks are placed, as JSON has it, without the hashes of masks that are drawn by name."""
    if data is None:
        return None
    drawn = {role: about["name"] for role, about in data.get("drawn", {}).items()}
    return json.loads(json.dumps({**data, "drawn": drawn}))


def _identity(about: Mapping[str, Any]) -> tuple[Any, Any]:
    return about.get("sha256"), about.get("crop")


def _as_recorded(options: Options) -> dict[str, Any]:
    """Return options as a record has them."""
    flat: dict[str, Any] = json.loads(record.text(record.make(options.flat(), {}, {})["options"]))
    return flat


def _chosen(flat: dict[str, Any], job: Job) -> dict[str, Any]:
    """Return the options to compare; options that an old record lacks have their defaults."""
    defaults = {item.name: item.default for item in declared()}
    left_out = NOT_COMPARED - set(job.options)
    return {name: value for name, value in {**defaults, **flat}.items() if name not in left_out}
