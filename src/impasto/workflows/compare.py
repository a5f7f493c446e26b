"""Several recipes on one pair of images, side by side, with time and metrics.

The output folder contains the result of each recipe, ``sheet.png`` and ``compare.json``. Times exclude imports. A name
such as ``gatys2016@published`` uses the published number of steps.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from impasto.api import Inputs, iter_run, last
from impasto.errors import OptionError, WeightsError
from impasto.events import Mailbox
from impasto.files import why_not_writable, write_atomically
from impasto.imaging import contact_sheet, images
from impasto.options import recipes
from impasto.options.fields import Options
from impasto.options.option_fields import OptionFields
from impasto.run.result import Result
from impasto.run.state import Monitor
from impasto.run.target_cache import TargetCache
from impasto.workflows.evaluate import Evaluator

SHEET, TABLE = "sheet.png", "compare.json"
SHOWN = ("lpips", "style_distance")
MAX_COLUMNS = 5


@dataclass(frozen=True)
class Entry:
    """The image of one recipe, its time in seconds and its metrics (empty without the weights of AlexNet)."""

    name: str
    result: Result
    seconds: float
    metrics: Mapping[str, float]
    note: str = ""

    @property
    def caption(self) -> str:
        """The caption of the image: seconds, content distance, style distance."""
        metrics = " / ".join(f"{self.metrics[name]:.2f}" for name in SHOWN if name in self.metrics)
        return f"{self.seconds:.0f} s  {metrics}".rstrip()


def plan(text: str, **options: Unpack[OptionFields]) -> dict[str, Options]:
    """Return the options of each recipe of a list such as ``impasto,gatys2016@published``.

    Raises:
        OptionError: a recipe is unknown or listed twice, or an option is not allowed with it.
    """
    if options.pop("recipe", None) is not None:
        raise OptionError("--recipe selects a single recipe: use --recipes a,b,c", "recipe")
    planned: dict[str, Options] = {}
    for name in (part.strip() for part in text.split(",")):
        if name in planned:
            raise OptionError(f"--recipes lists {name!r} twice: list it once", "recipes")
        recipe, _, steps = name.partition("@")
        chosen: OptionFields = {**options, "recipe": recipe or "?"}
        if steps:
            chosen["steps"] = steps
        planned[name] = recipes.resolve(**chosen)
    return planned


def iter_compare(
    content: str,
    style: str,
    planned: Mapping[str, Options],
    folder: Path,
    *,
    cache: TargetCache | None = None,
    mailbox: Mailbox | None = None,
) -> Iterator[Entry]:
    """Paint one image per recipe and yield each when it is finished; write the sheet at the end.

    Args:
        content, style: paths of the images.
        planned: options by name, as ``plan`` returned them.
        folder: output folder.
        cache: networks and targets shared with other runs.
        mailbox: a ``stop`` ends the current recipe, and the sheet is written without those after it.

    Raises:
        InputError: an image or an option cannot be used.
    """
    if (reason := why_not_writable(folder)) is not None:
        raise OptionError(f"the folder {str(folder)!r} {reason}: choose another", "output")
    images.check_output(folder / SHEET, [content, style])
    evaluator, note = _evaluator(content, style)
    cache = cache or TargetCache()
    entries = []
    for name, options in planned.items():
        began = time.perf_counter()
        path = folder / f"{name.replace('@', '-')}.png"
        result = last(iter_run(Inputs(content, style), options, output=path, cache=cache, monitor=Monitor(mailbox)))
        seconds = time.perf_counter() - began
        entries.append(Entry(name, result, seconds, evaluator(path) if evaluator is not None else {}, note))
        yield entries[-1]
        if result.stopped:
            break
    _write(folder, content, style, entries)


def _evaluator(content: str, style: str) -> tuple[Evaluator | None, str]:
    try:
        return Evaluator(content, style), ""
    except WeightsError as error:
        return None, f"the images are not evaluated: {error}"


def _write(folder: Path, content: str, style: str, entries: Sequence[Entry]) -> None:
    size = entries[0].result.pixels.shape[:2]
    painted = images.load(style).pixels
    factor = min(1.0, max(size) / max(painted.shape[:2]))
    small = round(painted.shape[0] * factor), round(painted.shape[1] * factor)
    given = [images.resize(images.load(content).pixels, size), images.resize(painted, small)]
    pictures = [*given, *(entry.result.pixels for entry in entries)]
    heading = "s  content / style" if entries[0].metrics else "seconds"
    captions = [f"content\n{heading}", "style\n", *(f"{entry.name}\n{entry.caption}" for entry in entries)]
    rows = math.ceil(len(pictures) / MAX_COLUMNS)
    columns = math.ceil(len(pictures) / rows)
    starts = range(0, len(pictures), columns)
    drawn = contact_sheet.draw(
        [pictures[start : start + columns] for start in starts],
        [""] * len(starts),
        [],
        [captions[start : start + columns] for start in starts],
    )
    images.save(folder / SHEET, drawn)
    table = [
        {
            "name": entry.name,
            "file": entry.result.path.name if entry.result.path is not None else None,
            "seconds": round(entry.seconds, 2),
            "steps": entry.result.steps,
            "metrics": dict(entry.metrics),
            "options": entry.result.options.flat(),
        }
        for entry in entries
    ]
    text = json.dumps({"content": Path(content).name, "style": Path(style).name, "recipes": table}, indent=2)
    write_atomically(folder / TABLE, (text + "\n").encode())
