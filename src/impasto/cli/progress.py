"""A run on the terminal: progress, Ctrl-C, and the listeners that write files while it is in progress."""

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

from impasto.events import Event, Finished, Mailbox, Planned, ScaleStarted, Snapshot, Stepped, Warned

if TYPE_CHECKING:
    from rich.console import Console

    from impasto.run.result import Result

Listener = Callable[[Event["Result"]], None]


def watch(events: Iterator[Event[Result]], mailbox: Mailbox, listeners: Sequence[Listener], quiet: bool) -> Result:
    """Consume the events of a run, show its progress, print one line about the result and return it.

    Args:
        events: the events of the run.
        mailbox: receives a ``stop`` on Ctrl-C.
        listeners: called with every event.
        quiet: hide the progress.
    """
    began = time.perf_counter()
    try:
        with _stop_on_interrupt(mailbox):
            result = _show(events, listeners, quiet)
    finally:
        for listener in listeners:  # an unfinished timelapse is deleted
            getattr(listener, "close", lambda: None)()
    assert result is not None
    seconds = time.perf_counter() - began
    how = f"stopped after {result.steps} steps" if result.stopped else f"{result.steps} steps"
    height, width = result.pixels.shape[:2]
    names = {part: about["name"] for part, about in result.record["inputs"].items()}
    losses = ", ".join(f"{name} {value:.3g}" for name, value in result.saved_losses.items())
    typer.echo(
        f"{result.path}: {names['content']} in the style of {names['style']}, {width}x{height} px, "
        f"{how} in {seconds:.0f} s" + (f" ({losses})" if losses else "")
    )
    return result


def snapshots_in(folder: Path) -> Listener:
    """Return a listener that saves every snapshot as ``STEP.png``."""

    def save(event: Event[Result]) -> None:
        if isinstance(event, Snapshot):
            from impasto.imaging import images

            images.save(folder / f"{event.step:05d}.png", event.picture)

    return save


@contextmanager
def status_line(quiet: bool, console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """Show a status line on stderr and yield the function that replaces its text; with ``quiet``, show nothing."""
    if quiet:
        yield lambda text: None
        return
    from rich.console import Console

    with (console or Console(stderr=True)).status("preparing", spinner="line") as status:
        yield status.update


@contextmanager
def _stop_on_interrupt(mailbox: Mailbox) -> Iterator[None]:
    """On the first Ctrl-C, stop the run and save its image; on the second, abort."""

    def stop(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("\nstopping: saving the current image (Ctrl-C again to abort)", file=sys.stderr)
        mailbox.post("stop")

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _show(events: Iterator[Event[Result]], listeners: Sequence[Listener], quiet: bool) -> Result | None:
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
    events = chain([next(events)], events)  # invalid input is rejected here, before anything is shown
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
