"""A grid of small images over one or two options, to compare settings before a long run.

The output folder contains the sheet, every cell, and ``sheet.json`` with the options and record of each cell. The
network and the targets are computed once. Along a numeric axis a cell starts from its neighbor's result and takes fewer
steps; its record contains the records of the cells before it, so that it can be reproduced. Along other axes (layers,
seeds, names) each cell starts from its own initial image, since the start is part of what is compared.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from impasto.api import Inputs, iter_run, last
from impasto.errors import OptionError, suggest
from impasto.events import Mailbox
from impasto.files import why_not_writable, write_atomically
from impasto.imaging import contact_sheet, images
from impasto.options import recipes
from impasto.options.declaration import Declared
from impasto.options.fields import Options, declared
from impasto.options.option_fields import OptionFields
from impasto.run import record
from impasto.run.painter import History
from impasto.run.record import Record
from impasto.run.result import Result
from impasto.run.state import Monitor
from impasto.run.target_cache import TargetCache

PROOF_SIZE = "192"
STEPS = {"draft": 15, "standard": 30, "fine": 60}
NOISE_FACTOR = 3  # starting from noise needs more steps
WARM_SHARE = 0.4
MAX_CELLS = 100
SHEET, CELLS = "sheet.png", "sheet.json"


@dataclass(frozen=True)
class Axis:
    """An option and its values; ``style`` stands for the style images."""

    name: str
    values: tuple[Any, ...]
    warm: bool

    def label(self, index: int) -> str:
        """Return the label of a value on the sheet."""
        value = self.values[index]
        shown = Path(images.split_crop(value)[0]).stem if self.name == "style" else str(value)
        return f"{self.name.replace('_', '-')} {shown}"


@dataclass(frozen=True)
class Cell:
    """An image of the sheet; rows and columns count from 1."""

    row: int
    column: int
    count: int
    result: Result


def parse_axis(text: str) -> Axis:
    """Parse ``strength=0.2,0.4,0.6``; layers are joined with ``+``.

    Raises:
        OptionError: the option does not exist, has no values, or a value is not allowed.
    """
    name, equals, values = text.partition("=")
    name = name.strip().removeprefix("--").replace("-", "_")
    known = {item.name: item for item in declared()}
    if name not in known:
        shown = [option.replace("_", "-") for option in known]
        raise OptionError(
            f"--axis {text!r}: there is no option {name!r}; {suggest(name.replace('_', '-'), shown)}", "axis"
        )
    parts = [part.strip() for part in values.split(",")]
    if not equals or not all(parts):
        raise OptionError(
            f"--axis {text!r}: specify values, as in {name.replace('_', '-')}={_example(known[name])}", "axis"
        )
    converted = tuple(_value(known[name], part) for part in parts)
    if len(set(converted)) < len(converted):
        raise OptionError(f"--axis {text!r}: a value is repeated", "axis")
    return Axis(name, converted, warm=known[name].type is float)


def _value(item: Declared, text: str) -> Any:
    """Convert a value to the option's type; its range is checked later."""
    if item.optional and text == "none":
        return None
    try:
        if item.type is bool:
            return {"true": True, "false": False}[text]
        value = item.type(text)
    except (ValueError, KeyError):
        words = {int: "whole numbers", float: "numbers", bool: "true or false"}
        raise OptionError(
            f"--axis {item.name.replace('_', '-')}: {text!r} is not allowed; use {words[item.type]}{_span(item)}",
            "axis",
        ) from None
    if item.choices is not None and value not in item.choices:
        raise OptionError(
            f"--axis {item.name.replace('_', '-')}: {text!r} is not allowed; {suggest(text, map(str, item.choices))}",
            "axis",
        )
    return value


def _span(item: Declared) -> str:
    low, high = item.facts.get("low"), item.facts.get("high")
    return f" from {low} to {high}" if high is not None else "" if low is None else f" of at least {low}"


def _example(item: Declared) -> str:
    if item.choices is not None:
        return ",".join(str(choice) for choice in item.choices)
    return {float: "0.2,0.5,1", int: "1,2,3", bool: "false,true"}.get(item.type, "relu1_1,relu1_1+relu2_1")


def axes_of(texts: Sequence[str], styles: Sequence[str], cells_allowed: int | None = MAX_CELLS) -> list[Axis]:
    """Return the axes of a sheet, rows first if there are two; several styles are an axis.

    Raises:
        OptionError: there are no axes or more than two, an axis is repeated, or there are more cells than allowed.
    """
    axes = [parse_axis(text) for text in texts]
    if len(styles) > 1:
        axes.insert(0, Axis("style", tuple(styles), warm=False))
    elif len(axes) == 2:
        axes.reverse()  # the first axis that is named runs along the rows, as one reads
    if not 1 <= len(axes) <= 2:
        raise OptionError(
            f"{len(axes)} axes (several styles count as one): specify one or two, as in --axis strength=0.2,0.5,0.8",
            "axis",
        )
    if len({axis.name for axis in axes}) < len(axes):
        raise OptionError(f"--axis {axes[0].name} is repeated: specify it once", "axis")
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if cells_allowed is not None and count > cells_allowed:
        raise OptionError(f"the sheet would have {count} cells; --yes paints more than {cells_allowed}", "axis")
    return axes


def iter_explore(
    content: str,
    styles: Sequence[str],
    axes: Sequence[Axis],
    folder: Path,
    *,
    warm: bool = True,
    cache: TargetCache | None = None,
    mailbox: Mailbox | None = None,
    **options: Unpack[OptionFields],
) -> Iterator[Cell]:
    """Paint a sheet and yield each cell when it is finished; the files are complete at the end.

    Args:
        content: path of the content.
        styles: paths of the styles.
        axes: the axes that ``axes_of`` returned.
        folder: output folder of the sheet, the cells and ``sheet.json``.
        warm: start cells from their neighbors if the axis allows it.
        cache: networks and targets shared with other runs.
        mailbox: a ``stop`` ends the current cell, and the sheet is written without the cells after it.
        options: the options of all cells.

    Raises:
        InputError: an image or an option cannot be used; the options of all cells are checked before the first one is
            painted.
    """
    rows, columns = (axes[0], axes[1]) if len(axes) == 2 else (None, axes[0])
    plans = [
        [_planned(styles, rows, columns, r, c, options) for c in range(len(columns.values))]
        for r in range(len(rows.values) if rows else 1)
    ]
    named = {*options, *(axis.name for axis in axes)}
    cache = cache or TargetCache(retain=True)
    done: dict[tuple[int, int], Result] = {}
    count = len(plans) * len(plans[0])
    if (reason := why_not_writable(folder)) is not None:
        raise OptionError(f"the folder {str(folder)!r} {reason}: name another", "output")
    images.check_output(folder / SHEET, [content, *(style for row in plans for style, _ in row)])
    for r, c in itertools.product(range(len(plans)), range(len(plans[0]))):
        style, chosen = plans[r][c]
        start = _neighbor(done, rows, columns, r, c) if warm else None
        path = folder / f"cell-{r + 1}-{c + 1}.png"
        result = _paint(content, style, _proof(chosen, start is not None, named), start, path, cache, mailbox)
        done[r, c] = result
        yield Cell(r + 1, c + 1, count, result)
        if result.stopped:
            break
    _write(folder, plans, rows, columns, done)


def _planned(
    styles: Sequence[str], rows: Axis | None, columns: Axis, r: int, c: int, given: Mapping[str, Any]
) -> tuple[str, Options]:
    """Return a cell's style, and its options for the long run."""
    values = {columns.name: columns.values[c]}
    if rows is not None:
        values[rows.name] = rows.values[r]
    style = values.pop("style", styles[0])
    return style, recipes.resolve(**{**given, **values})


def _proof(chosen: Options, warm: bool, named: Collection[str]) -> Options:
    """Return the options for a small and short run, except for those that were set explicitly."""
    usual = STEPS[chosen.optimization.quality] * (1 if chosen.optimization.init == "content" else NOISE_FACTOR)
    steps = (chosen.optimization.steps if "steps" in named else None) or usual
    size = chosen.output.size if "size" in named else PROOF_SIZE
    scales = chosen.optimization.scales if "scales" in named else 1
    steps = max(1, round(steps * WARM_SHARE)) if warm else steps
    return chosen.replace(size=size, steps=steps, scales=scales, time=None)


def _neighbor(
    done: Mapping[tuple[int, int], Result], rows: Axis | None, columns: Axis, r: int, c: int
) -> Result | None:
    """Return the cell to start from: the previous one in the row, or the one above."""
    if c and columns.warm:
        return done[r, c - 1]
    if r and rows is not None and rows.warm:
        return done[r - 1, c]
    return None


def _paint(
    content: str,
    style: str,
    options: Options,
    start: Result | None,
    path: Path,
    cache: TargetCache,
    mailbox: Mailbox | None,
) -> Result:
    parents: list[Record] = []
    if start is not None:
        parents = [*start.record["parents"], record.without_parents(start.record)]
    return last(
        iter_run(
            Inputs(content, style),
            options,
            output=path,
            history=History(parents=parents, start=None if start is None else start.pixels),
            monitor=Monitor(mailbox),
            cache=cache,
        )
    )


def _write(
    folder: Path,
    plans: Sequence[Sequence[tuple[str, Options]]],
    rows: Axis | None,
    columns: Axis,
    done: Mapping[tuple[int, int], Result],
) -> None:
    """Write the sheet and its JSON."""
    across = range(len(columns.values))
    pictures = [[done[r, c].pixels if (r, c) in done else None for c in across] for r in range(len(plans))]
    picture = contact_sheet.draw(
        pictures,
        [rows.label(r) if rows else "" for r in range(len(plans))],
        [columns.label(c) for c in across],
        [[f"{r + 1},{c + 1}" for c in across] for r in range(len(plans))],
    )
    images.save(folder / SHEET, picture)
    cells = [
        {
            "row": r + 1,
            "column": c + 1,
            "file": f"cell-{r + 1}-{c + 1}.png",
            "options": chosen.flat(),
            "record": done[r, c].record,
        }
        for r, row in enumerate(plans)
        for c, (_, chosen) in enumerate(row)
        if (r, c) in done
    ]
    axes = [
        {"name": axis.name, "values": [str(v) for v in axis.values]} for axis in (rows, columns) if axis is not None
    ]
    write_atomically(
        folder / CELLS, json.dumps({"sheet": record.FORMAT, "axes": axes, "cells": cells}, indent=1).encode()
    )
