"""``stylize`` and ``iter_stylize`` for tests: they also take, as keywords, what ``open_run`` takes beside options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from impasto.api import Inputs, iter_run, last
from impasto.events import Event
from impasto.run.painter import CheckpointFolder, History
from impasto.run.result import Result
from impasto.run.state import Monitor

HISTORY = ("decisions", "steering", "parents", "start")
LISTENERS = ("mailbox", "preview_every", "snapshot_every")
INPUTS = ("regions", "labels", "protect", "style_only")
DIRECT = ("cache", "group", "started_at", "output")


def iter_stylize(content: Any, style: Any = None, **given: Any) -> Iterator[Event]:
    """Yield the events of a run."""

    def taken(names: tuple[str, ...]) -> dict[str, Any]:
        return {name: given.pop(name) for name in names if name in given}

    inputs = Inputs(content, style, **taken(INPUTS))
    settings = {"history": History(**taken(HISTORY)), "monitor": Monitor(**taken(LISTENERS)), **taken(DIRECT)}
    folder, seconds, resume = (given.pop(name, None) for name in ("checkpoint_dir", "checkpoint_seconds", "resume"))
    if folder is not None:
        settings["checkpoints"] = CheckpointFolder(folder, 10.0 if seconds is None else seconds, bool(resume))
    return iter_run(inputs, given.pop("options", given), **settings)


def stylize(content: Any, style: Any = None, **given: Any) -> Result:
    """Return the result of a run."""
    return last(iter_stylize(content, style, **given))
