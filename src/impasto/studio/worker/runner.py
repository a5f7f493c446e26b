"""The studio's runner: runs a task in the engine and writes its images.

A run yields an instant preview if the weights for it are installed, then the events of the engine. Previews are JPEG
files; the result is the file that the engine saved, with its record. The network, and the targets of the same images,
are cached between jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from impasto.api import Inputs, iter_run, iter_stylize
from impasto.errors import ImageError, ImpastoError
from impasto.events import Event, Finished, Mailbox, Snapshot
from impasto.files import write_atomically
from impasto.imaging import images
from impasto.network.weights import stored, vgg19_state
from impasto.options import recipes
from impasto.options.fields import Options, names_with
from impasto.options.option_fields import OptionFields
from impasto.options.sizes import parse_size
from impasto.regions.spec import RegionFields, RegionSpec, parse_regions
from impasto.run.painter import CheckpointFolder
from impasto.run.state import Monitor
from impasto.run.target_cache import TargetCache
from impasto.studio.store.exports import Exporter, ExportInput
from impasto.studio.store.records import Purpose
from impasto.studio.worker.loop import PictureWriters, Saved, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from impasto.run.result import Result

PREVIEW_QUALITY = 88
CHECKPOINT_SECONDS = 2.0  # the engine waits longer where a checkpoint is slow
INSTANT_SIDE = 256  # px; takes half a second on one core, less than the first step
PAINTED = "painted.part.png"  # deleted as a temporary file if the worker dies before it is renamed

_state: Mapping[str, Any] = vgg19_state()
_cache: tuple[tuple[Path, ...], TargetCache] | None = None


def run(task: Task, mailbox: Mailbox) -> Iterator[Event[Result]]:
    """Run a task and yield its events."""
    styles = [path for path, _ in task.styles]
    options = cast(OptionFields, dict(task.options))
    if len(task.styles) > 1:
        total = sum(weight for _, weight in task.styles)
        options.setdefault("style_blend", ",".join(f"{weight / total:.6g}" for _, weight in task.styles))
    cache = _cache_for((task.content, *styles, *(region["style"] for region in task.regions)))
    chosen = recipes.resolve(**options)
    limits = images.DecodeLimits.of(chosen.output)

    def read(path: Path) -> images.Picture:
        return _named(path, task.names.get(path, path.name), limits)

    content = read(task.content)  # once, for the instant preview and for the run
    regions = [
        cast(RegionFields, {**region, "mask": read(region["mask"]), "style": read(region["style"])})
        for region in task.regions
    ]
    protect = read(task.masks["protect"]) if "protect" in task.masks else None
    style = parse_regions([read(path) for path in styles], regions=regions, protect=protect)
    if task.purpose == "picture" and not task.resume and not chosen.feed_forward.fast:
        yield from _instant(content, style, chosen)
    yield from iter_run(
        Inputs(content, style),
        options,
        output=task.checkpoint_dir.parent / PAINTED,
        monitor=Monitor(mailbox, preview_every=1),
        checkpoints=CheckpointFolder(task.checkpoint_dir, CHECKPOINT_SECONDS, task.resume),
        cache=cache,
    )


def _named(path: Path, name: str, limits: images.DecodeLimits) -> images.Picture:
    """Load an image under the user's file name, which errors name as well."""
    try:
        return replace(images.load(path, limits=limits), name=name)
    except ImageError as error:
        raise ImageError(str(error).replace(str(path), name)) from error


def _instant(content: images.Picture, style: RegionSpec, chosen: Options) -> Iterator[Snapshot]:
    """Yield the result of the feed-forward network as a snapshot of step 0; the run itself does not use it."""
    if not stored("adain").is_file():
        return
    size = content.size
    if chosen.output.size is not None:
        size = parse_size(chosen.output.size, chosen.output.dpi).fit(*size)
    flat: Mapping[str, Any] = chosen.flat()
    settings: dict[str, Any] = {name: flat[name] for name in names_with("preview")}
    try:
        for event in iter_stylize(content, style, fast=True, size=str(min(INSTANT_SIDE, max(size))), **settings):
            if isinstance(event, Finished) and event.result is not None:
                yield Snapshot(0, 0, images.quantize(event.result.pixels).astype("uint8"))
    except ImpastoError:
        return  # the run itself reports the error


def _cache_for(pictures: tuple[Path, ...]) -> TargetCache:
    """Return the cache for runs on these images; the targets of other images are large and are dropped."""
    global _cache  # noqa: PLW0603 - one worker, one job at a time
    if _cache is None or _cache[0] != pictures:
        _cache = (pictures, TargetCache(state=_state))
    return _cache[1]


def _preview(picture: NDArray[np.uint8], path: Path) -> Saved:
    write_atomically(path, images.encode(picture, "JPEG", quality=PREVIEW_QUALITY))
    return Saved("image/jpeg", picture.shape[1], picture.shape[0])


def _result(result: Result, path: Path) -> Saved:
    assert result.path is not None
    result.path.replace(path)
    height, width = result.pixels.shape[:2]
    return Saved("image/png", width, height, result.record)


def _film(export_input: ExportInput, path: Path) -> str:
    from impasto.studio.worker import event_replay  # imports the video library, which a run does not need

    return event_replay.film(export_input, path)


def _report(export_input: ExportInput, path: Path) -> str:
    from impasto.studio.worker import event_replay

    return event_replay.report(export_input, path)


writers = PictureWriters(_preview, _result)
exporters: Mapping[Purpose, Exporter] = {"film": _film, "report": _report}
