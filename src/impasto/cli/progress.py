"""A run on the terminal: progress, Ctrl-C, and the listeners that write snapshots, films and reports."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from impasto.errors import OptionError
from impasto.events import Event, Finished, Mailbox, Planned, ScaleStarted, Snapshot, Stepped, Warned
from impasto.files import why_not_writable

if TYPE_CHECKING:
    from impasto.run.result import Result

Listener = Callable[[Event], None]


def watch(events: Iterator[Event], mailbox: Mailbox, listeners: Sequence[Listener], quiet: bool) -> Result:
    """Follow a run to its end, then say in one line what came of it, and return it.

    Args:
        events: of the run.
        mailbox: into which Ctrl-C posts a stop.
        listeners: told every event, before the progress is shown.
        quiet: show no progress.
    """
    began = time.perf_counter()
    try:
        with _stop_on_interrupt(mailbox):
            result: Result = _show(events, listeners, quiet)
    finally:
        for listener in listeners:  # a film that has no end is given up
            getattr(listener, "close", lambda: None)()
    seconds = time.perf_counter() - began
    how = f"stopped after {result.steps} steps" if result.stopped else f"{result.steps} steps"
    height, width = result.pixels.shape[:2]
    names = {part: about["name"] for part, about in result.record["inputs"].items()}
    losses = ", ".join(f"{name} {value:.3g}" for name, value in result.saved_losses.items())
    typer.echo(
        f"{result.path}: {names['content']} painted as {names['style']}, {width}x{height} px, "
        f"{how} in {seconds:.0f} s" + (f" ({losses})" if losses else "")
    )
    return result


def folder_for(path: Path, option: str) -> Path:
    """Make a folder that an option names and see that it can be written, or say why not."""
    if (reason := why_not_writable(path)) is not None:
        raise OptionError(f"--{option} {path}: the folder {reason}", option)
    return path


def snapshots_in(folder: Path) -> Listener:
    """Return a listener that saves every snapshot under its step."""

    def save(event: Event) -> None:
        if isinstance(event, Snapshot):
            from impasto.imaging import images

            images.save(folder / f"{event.step:05d}.png", event.picture)

    return save


@contextmanager
def _stop_on_interrupt(mailbox: Mailbox) -> Iterator[None]:
    """Let the first Ctrl-C end the run with its picture and the second end the program."""

    def stop(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nstopping: the picture is written as it is (Ctrl-C again to give up)", file=sys.stderr)
        mailbox.post("stop")

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _show(events: Iterator[Event], listeners: Sequence[Listener], quiet: bool) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.fields[scale]}"),
        BarColumn(),
        TextColumn("step {task.fields[step]}"),
        TextColumn("{task.fields[losses]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    result = None
    events = chain([next(events)], events)  # what is refused is refused here, before anything is shown
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=None, scale="preparing", step="0", losses="")
        pixels: tuple[int, ...] = ()
        total = 0
        for event in events:
            for listener in listeners:
                listener(event)
            if isinstance(event, Planned):
                pixels = tuple(s["height"] * s["width"] for s in event.scales)
                total = event.total_steps
                bar.update(task, total=sum(p * s["steps"] for p, s in zip(pixels, event.scales, strict=True)))
            elif isinstance(event, ScaleStarted):
                name = f"scale {event.index + 1}/{event.count} {event.width}x{event.height}"
                bar.update(task, scale=name)
                if not quiet and not console.is_terminal:
                    console.print(name, highlight=False)
            elif isinstance(event, Stepped):
                losses = " ".join(f"{name} {value:.3g}" for name, value in event.losses.items())
                bar.update(task, advance=pixels[event.scale], step=f"{event.step}/{total}", losses=losses)
            elif isinstance(event, Warned):
                console.print(f"note: {event.message}", highlight=False, soft_wrap=True)
            elif isinstance(event, Finished):
                result = event.result
    return result
