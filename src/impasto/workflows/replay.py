"""Reproduce an image from its record, continue it with more steps, or resume a run from its folder.

The source is an image with a record, a sheet of ``impasto explore``, or a run folder; the functions yield the events of
the new run. Inputs are matched by hash. If an image was initialized with the result of an earlier run, that result is
found as a file or replayed first from its record.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from impasto.api import Inputs, last, open_run
from impasto.errors import ImageError, OptionError, RecordError
from impasto.events import Event, Warned
from impasto.feedforward.model import load
from impasto.imaging import images
from impasto.options import recipes
from impasto.options.fields import Options, names_with
from impasto.options.option_fields import OptionFields, passed
from impasto.planning.schedule import scales_for
from impasto.regions.spec import RegionSpec
from impasto.run import record
from impasto.run.checkpoint import load_input_copy, read_run
from impasto.run.painter import CheckpointFolder, History
from impasto.run.record import Record, SteeringEntry
from impasto.run.result import Result
from impasto.run.state import Monitor
from impasto.run.target_cache import TargetCache
from impasto.runtime.distributed import ALONE, ProcessGroup
from impasto.workflows.command import from_the_first_step


@dataclass(frozen=True)
class Source:
    """The image to reproduce or continue.

    Args:
        record: record of the image.
        folders: folders in which inputs are searched.
        path: the image file, if there is one.
        full_size_options: options for a different size, if the image is a cell of a sheet.
        input_overrides: paths of inputs from the user, by role.
        cache: networks and targets shared with other runs.
    """

    record: Record
    folders: tuple[Path, ...]
    path: Path | None = None
    full_size_options: Options | None = None
    input_overrides: Mapping[str, str] | None = None
    cache: TargetCache = field(default_factory=TargetCache)


def read_source(
    path: str | Path, cell: tuple[int, int] | None = None, given: Mapping[str, str] | None = None
) -> Source:
    """Read the record of an image, or that of one cell of a sheet.

    Args:
        path: an image, or the JSON file next to a sheet.
        cell: row and column from 1, for a sheet.
        given: paths of inputs by role; others are searched next to the image and in the current folder.

    Raises:
        ImageError: the file is missing or is not an image.
        RecordError: there is no record, it is damaged or of a newer version, or the sheet has no such cell.
        OptionError: a cell is given for an image, or none for a sheet.
    """
    path = Path(path)
    folders = (path.resolve().parent, Path.cwd())
    if path.suffix.lower() != ".json":
        if cell is not None:
            raise OptionError(f"--cell is for the JSON file of a contact sheet, and {path.name!r} is an image", "cell")
        return Source(record.read(path), folders, path, input_overrides=given)
    sheet = read_sheet(path)
    if cell is None:
        raise OptionError(f"{path.name!r} is a contact sheet: select one of its images with --cell ROW,COLUMN", "cell")
    for entry in sheet["cells"]:
        if (entry["row"], entry["column"]) == cell:
            about = record.parsed(json.dumps(entry["record"]), f"cell {cell[0]},{cell[1]} of {str(path)!r}")
            return Source(
                about,
                folders,
                path.with_name(entry["file"]),
                record.options_of({**about, "options": entry["options"]}),
                given,
            )
    rows, columns = max(e["row"] for e in sheet["cells"]), max(e["column"] for e in sheet["cells"])
    raise RecordError(f"{path.name!r} has no cell {cell[0]},{cell[1]}: it has {rows} rows and {columns} columns")


def read_sheet(path: Path) -> dict[str, Any]:
    """Return the JSON of a sheet.

    Raises:
        ImageError: the file is missing.
        RecordError: the file is not the JSON of a sheet, or is of a newer version.
    """
    try:
        sheet = json.loads(path.read_bytes())
        cells, number = sheet["cells"], int(sheet["sheet"])
        assert cells and all({"row", "column", "file", "options", "record"} <= set(cell) for cell in cells)
    except OSError as error:
        raise ImageError(f"{str(path)!r} cannot be read ({error.strerror}): check the name") from None
    except (ValueError, KeyError, TypeError, AssertionError):
        raise RecordError(
            f"{str(path)!r} is not the JSON file of a contact sheet: use the file that impasto explore wrote"
        ) from None
    if number > record.FORMAT:
        raise RecordError(f"{str(path)!r} was made by a newer impasto: pip install --upgrade impasto")
    return dict(sheet)


def iter_replay(
    source: Source,
    output: str | Path | None = None,
    *,
    seed: int | None = None,
    size: str | None = None,
    dpi: float | None = None,
    memory: str | None = None,
    more_steps: int | None = None,
    changes: OptionFields | None = None,
    monitor: Monitor = Monitor(),  # noqa: B008 - frozen
    checkpoints: CheckpointFolder | None = None,
    group: ProcessGroup = ALONE,
) -> Iterator[Event[Result]]:
    """Reproduce an image, or continue optimizing it.

    Args:
        source: as ``read_source`` returned it.
        output: output file.
        seed: a different seed.
        size: a different size; the final values of live changes then apply from the first step. A larger image starts
            from the existing one instead of repeating the coarse scales, and so keeps its composition.
        dpi: pixels per inch, for a size in inches.
        memory: memory limit for a different size, in the form of the option.
        more_steps: continue from the image for this number of steps instead of reproducing it; a proof no longer
            constrains it.
        changes: other options to change; what the original run decided for its own is then decided again.
        monitor: mailbox, previews and snapshots.
        checkpoints: the folder to save the state in.
        group: the processes that paint the image together.

    Yields:
        What ``iter_stylize`` yields.

    Raises:
        RecordError: an input is missing or changed.
        OptionError: size and more steps are both set, or memory or dpi is set without a size.
    """
    _check_asked(size, dpi, memory, more_steps)
    about = source.record
    changes = passed(changes or {})
    options, start, rest = _requested_run(source, size, dpi, memory, more_steps, changes)
    if seed is not None:
        options = options.replace(seed=seed)
    yield from [Warned(note) for note in _notes(about, options, more_steps, group.world_size)]
    others = [part for part in about["inputs"] if part not in ("content", "init", "model")]
    style = _style(about, {part: input_of(source, part) for part in others})
    options = _with_model(source, options, style)
    with open_run(
        Inputs(input_of(source, "content"), style),
        options,
        output,
        history=History(start=start, **rest),
        monitor=monitor,
        checkpoints=checkpoints,
        cache=source.cache,
        group=group,
    ) as events:
        yield from events


def _notes(about: Record, options: Options, more_steps: int | None, world_size: int) -> list[str]:
    """Return why the result may differ from the original."""
    if more_steps is None and (changed := _changed_options(about, options)):
        return [f"the result will differ from the original: {changed}"]
    found = [*record.differences(about), *record.machine_differences(about["decisions"], world_size)]
    return [f"{difference}: the image may differ in its last bits" for difference in found]


def _requested_run(
    source: Source,
    size: str | None,
    dpi: float | None,
    memory: str | None,
    more_steps: int | None,
    changes: OptionFields,
) -> tuple[Options, Any, dict[str, Any]]:
    """Return the options of the new run, its initial image, and what it inherits from the record."""
    about = source.record
    options = (
        source.full_size_options
        if size is not None and source.full_size_options is not None
        else record.options_of(about)
    )
    options = recipes.override(options, **changes) if changes else options
    decisions, steering, parents = about["decisions"].copy(), list(about["steering"]), list(about.get("parents", ()))
    start: Any = None
    upscaled: list[list[float]] | None = None
    if more_steps is not None:
        if source.path is None or not source.path.exists():
            raise RecordError("there is no image to continue from: replay it without --more-steps first")
        if options.feed_forward.enabled:
            raise OptionError(
                "this image was made by a feed-forward pass and has no steps to continue: "
                f"use impasto stylize PHOTO PAINTING --init {source.path.name}",
                "more_steps",
            )
        start = images.load(source.path)
        parents.append(record.without_parents(about))
        options = options.replace(steps=more_steps, scales=1, time=None)
    elif size is not None and source.full_size_options is not None:
        parents = []
        options = options.replace(size=size, dpi=dpi or options.output.dpi)
    else:
        options = options if size is None else options.replace(size=size, dpi=dpi or options.output.dpi)
        upscaled = None if size is None or changes else _upscale_schedule(source, options)
        if upscaled is None:
            start = _start(source)
        else:
            assert source.path is not None
            start = images.load(source.path)
            parents.append(record.without_parents(about))
    if size is not None or more_steps is not None:
        decisions = record.without_schedule(decisions)
        if upscaled:
            decisions |= {"scales": upscaled, "proof": True}
        steering = from_the_first_step(steering, held=upscaled is not None)
        options = options if memory is None else options.replace(memory=memory)
    if changes:
        decisions = record.Decisions(placement=decisions["placement"]) if "placement" in decisions else {}
        steering = _without(from_the_first_step(steering, held=False), changes)
    return options, start, {"decisions": decisions, "steering": steering, "parents": parents}


def _changed_options(about: Record, options: Options) -> str:
    """Return which options differ from those in a record, as text; empty if none does."""
    before: dict[str, Any] = {**record.options_of(about).flat()}
    after: dict[str, Any] = {**options.flat()}
    changed = [
        f"{name.replace('_', '-')} {after[name]} (was {before[name]})"
        for name in after
        if after[name] != before[name] and name not in names_with("file")
    ]
    return ", ".join(changed)


def _without(steering: list[SteeringEntry], changes: OptionFields) -> list[SteeringEntry]:
    """Return live changes without those of options that are set differently."""
    weights = {"strength", *recipes.RAW}  # which exclude each other
    dropped = {*changes, *(weights if weights & set(changes) else ())}
    kept = {name: value for entry in steering for name, value in entry["values"].items() if name not in dropped}
    return [{"step": 1, "values": kept}] if kept else []


def _check_asked(size: str | None, dpi: float | None, memory: str | None, more_steps: int | None) -> None:
    """Raise OptionError for arguments that cannot be combined."""
    if size is not None and more_steps is not None:
        raise OptionError(
            "--size and --more-steps cannot be combined: enlarge the image first, then continue from the result", "size"
        )
    for name, value in (("memory", memory), ("dpi", dpi)):
        if value is not None and size is None:
            raise OptionError(f"--{name} requires --size", name)


def _with_model(source: Source, options: Options, style: Any) -> Options:
    """Return options with the current path of the trained network."""
    if "model" in source.record["inputs"]:  # an arbitrary-style network: the painting is an additional input
        given = (source.input_overrides or {}).get("model")
        options = options.replace(model=record.find_input(source.record, "model", given, source.folders))
    if options.feed_forward.model is not None and isinstance(style, images.Picture) and style.source is not None:
        options = options.replace(model=str(style.source)) if style.name == options.feed_forward.model else options
    return options


def _upscale_schedule(source: Source, options: Options) -> list[list[float]] | None:
    """Return the scales of a larger image beyond the existing one; None if the existing one is not smaller."""
    one_pass = options.optimization.scales == 1 or options.feed_forward.enabled
    if one_pass or source.path is None or not source.path.exists():
        return None
    proof = max(images.load(source.path).size)
    height, width = input_of(source, "content").size
    if options.output.size is not None:
        height, width = images.parse_size(options.output.size, options.output.dpi).fit(height, width)
    upscaled = [scale for scale in scales_for(options, height, width) if max(scale.height, scale.width) > proof]
    return [scale.as_data() for scale in upscaled] or None


def _style(about: Record, pictures: Mapping[str, images.Picture]) -> images.Picture | RegionSpec:
    """Return the style of a run, or its region spec if it has regions, labels or protection."""
    placed = about["decisions"].get("placement")
    return pictures["style"] if placed is None else RegionSpec.from_data(placed, pictures)


def input_of(source: Source, part: str) -> images.Picture:
    """Find and load an input of the recorded run: ``content``, ``style``, ``init`` and so on.

    Raises:
        RecordError: the input is missing or has changed.
    """
    place = record.find_input(source.record, part, (source.input_overrides or {}).get(part), source.folders)
    if part == "style" and source.record["options"].get("model") and "model" not in source.record["inputs"]:
        # A single-style network takes the place of the style; an arbitrary-style network is a separate input.
        return replace(load(place).style_thumbnail(), source=Path(place))
    return record.load_input(source.record, part, place)


def _start(source: Source) -> images.Picture | None:
    """Return the image that a run started from: from a file, or reproduced from its own record."""
    about, parents = source.record, list(source.record.get("parents", ()))
    if "init" not in about["inputs"]:
        return None
    try:
        return input_of(source, "init")
    except RecordError:
        if not parents or "init" in (source.input_overrides or {}):
            raise
    name, wanted = str(about["inputs"]["init"]["name"]), about["inputs"]["init"]["sha256"]
    parent = replace(source, record={**parents[-1], "parents": parents[:-1]}, path=None)
    with tempfile.TemporaryDirectory() as folder:
        is_file = bool(Path(name).suffix)
        result = last(iter_replay(parent, Path(folder) / name if is_file else None))
        made = images.load(result.path if result.path is not None else result.pixels)
    if made.sha256 != wanted:
        raise RecordError(
            f"the initial image {name!r} is missing, and regenerating it produced a different image: "
            "pass it with --init FILE"
        )
    return replace(made, name=name, source=None)


def iter_resume(
    folder: str | Path,
    *,
    given: Mapping[str, str] | None = None,
    monitor: Monitor = Monitor(),  # noqa: B008 - frozen
    cache: TargetCache | None = None,
    group: ProcessGroup = ALONE,
) -> Iterator[Event[Result]]:
    """Resume a run from its last checkpoint, or from its beginning if it has none.

    Args:
        folder: the folder of the run.
        given: paths of inputs by role, if they were moved.
        monitor: mailbox, previews and snapshots.
        cache, group: as in ``api.open_run``.

    Yields:
        What ``iter_stylize`` yields; the output file is that of the original run.

    Raises:
        RecordError: the folder contains no run, or an input is missing or has changed.
    """
    folder = Path(folder)
    beginning = read_run(folder)
    places = beginning["places"]
    folders = [*(Path(place).parent for place in places.values()), folder.resolve().parent, Path.cwd()]
    pictures = {}
    for part in beginning["inputs"]:
        if part in places:
            place = record.find_input(beginning, part, (given or {}).get(part), folders)
            pictures[part] = record.load_input(beginning, part, place)
        else:
            pictures[part] = load_input_copy(folder, part)
    options = record.options_of(beginning)
    if beginning.get("weights"):
        options = options.replace(weights=beginning["weights"])
    with open_run(
        Inputs(pictures["content"], _style(beginning, pictures)),
        options,
        beginning["output"],
        history=History(start=pictures.get("init")),
        monitor=monitor,
        checkpoints=CheckpointFolder(folder, float(beginning["seconds"]), resume=True),
        cache=cache,
        group=group,
    ) as events:
        yield from events
