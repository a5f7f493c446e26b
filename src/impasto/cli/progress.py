"""A run on the terminal: progress, and the listeners that write files while it is in progress."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from impasto.cli.signals import stop_on_signal
from impasto.events import Event, Finished, Mailbox, Planned, ScaleStarted, Snapshot, Stepped, Warned
from impasto.planning.schedule import Scale

if TYPE_CHECKING:
    from rich.console import Console

    from impasto.run.result import Result

LOSSES_FROM, STEPS_FROM = 120, 70  # columns of the terminal from which the losses, and the scale and step, are shown
Listener = Callable[[Event["Result"]], None]


def watch(
    events: Iterator[Event[Result]],
    mailbox: Mailbox,
    listeners: Sequence[Listener],
    quiet: bool,
    run_dir: Path | None = None,
) -> Result:
    """Consume the events of a run, show its progress, print one line about the result and return it.

    Args:
        events: the events of the run.
        mailbox: receives a ``stop`` on Ctrl-C or another ending signal.
        listeners: called with every event.
        quiet: hide the progress.
        run_dir: the folder of checkpoints, for the command that continues a stopped run.

    Raises:
        typer.Exit: a listener failed; the image is saved.
    """
    began = time.perf_counter()
    group = _Listeners(listeners)
    try:
        with stop_on_signal(mailbox):
            result = _show(events, group, quiet)
    finally:
        group.close()
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
    if result.stopped:
        _print_continuation(result, run_dir)
    if group.failed:
        raise typer.Exit(1)
    return result


def _print_continuation(result: Result, run_dir: Path | None) -> None:
    """Print the command that continues a stopped run."""
    scales = [Scale.from_data(data) for data in result.record["decisions"]["scales"]]
    missing = sum(scale.steps for scale in scales) - result.steps
    if run_dir is not None:
        command = ["resume", str(run_dir)]
    elif result.path is not None and missing > 0:
        command = ["replay", str(result.path), "--more-steps", str(missing)]
    else:
        return
    typer.echo(f"continue it: impasto {shlex.join(command)}", err=True)


class _Listeners:
    """Listeners that are called with every event; one that fails is dropped, since the image matters more."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._working = list(listeners)
        self.failed = False

    def __call__(self, event: Event[Result]) -> list[str]:
        """Call them and return the messages of those that failed."""
        messages = []
        for listener in list(self._working):
            try:
                listener(event)
            except Exception as error:
                messages.append(" ".join(str(error).split()) or type(error).__name__)
                self._close(listener)
        self.failed |= bool(messages)
        return messages

    def close(self) -> None:
        """Close them; an unfinished timelapse is deleted."""
        for listener in list(self._working):
            self._close(listener)

    def _close(self, listener: Listener) -> None:
        self._working.remove(listener)
        with contextlib.suppress(Exception):
            getattr(listener, "close", lambda: None)()


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


def _show(events: Iterator[Event[Result]], listeners: _Listeners, quiet: bool) -> Result | None:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    wide, medium = console.width >= LOSSES_FROM, console.width >= STEPS_FROM
    columns = (
        *([TextColumn("{task.fields[scale]}")] if medium else []),
        BarColumn(bar_width=None if not medium else 40 if wide else 20),
        TaskProgressColumn(),
        *([TextColumn("step {task.fields[step]}")] if medium else []),
        *([TextColumn("{task.fields[losses]}"), TimeElapsedColumn()] if wide else []),
        TimeRemainingColumn(compact=True, elapsed_when_finished=False),
        TextColumn("left"),
    )
    result = None
    events = chain([next(events)], events)  # invalid input is rejected here, before anything is shown
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=None, scale="preparing", step="0", losses="")
        pixels: tuple[int, ...] = ()
        total = 0
        for event in events:
            for message in listeners(event):
                console.print(f"note: {message}; the run continues without it", highlight=False, soft_wrap=True)
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
