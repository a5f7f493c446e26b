"""``impasto train`` and ``impasto export``: feed-forward networks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import typer

from impasto.cli.distributed import together
from impasto.cli.flags import QUIET, default_note, with_groups
from impasto.cli.progress import status_line
from impasto.cli.signals import stop_on_signal
from impasto.errors import OptionError
from impasto.events import Mailbox
from impasto.options.option_fields import OptionFields
from impasto.options.training import Training

if TYPE_CHECKING:
    from impasto.events import Event
    from impasto.feedforward.train import Trained


@with_groups("strength", "style_scale", "device", "precision", "threads")
def train(
    styles: list[str] | None = typer.Argument(
        None, metavar="STYLE", help="Paintings to learn; each gets its own network. Omit with --paintings."
    ),
    photos: Path = typer.Option(
        ..., "--photos", metavar="DIR", help="Folder of photographs; a few hundred are enough."
    ),
    paintings: Path | None = typer.Option(
        None, "--paintings", metavar="DIR", help="Folder of paintings: train one network for arbitrary styles."
    ),
    output: Path = typer.Option(Path("style.safetensors"), "--output", "-o", help="Output file."),
    *,
    training: Training,
    resume: bool = typer.Option(False, "--resume", help="Resume interrupted training."),
    quiet: bool = QUIET,
    **options: Unpack[OptionFields],
) -> None:
    """Train a feed-forward network for STYLE, or for arbitrary styles with --paintings.

    With `torchrun --nproc-per-node N -m impasto train ...` it runs on N devices.
    """
    if bool(styles) == (paintings is not None):
        raise OptionError(
            "pass paintings to learn, or --paintings DIR to train one network for arbitrary styles", "paintings"
        )
    from impasto.feedforward.train import iter_train, styles_out

    mailbox = Mailbox()
    with together() as group, stop_on_signal(mailbox, "saving the network and its training state"):
        for style, path in zip(styles or [None], styles_out(output, styles or []), strict=True):  # type: ignore[list-item]
            events = iter_train(
                style,
                photos,
                path,
                paintings=paintings,
                training=training,
                resume=resume,
                group=group,
                mailbox=mailbox,
                **options,
            )
            if _follow(events, path, quiet, leads=group.is_first):
                break


def _follow(events: Iterator[Event[Trained]], path: Path, quiet: bool, *, leads: bool) -> bool:
    """Consume the events of a training and return whether it was stopped; only the first process prints."""
    from rich.console import Console

    from impasto.events import Finished, Planned, Snapshot, Stepped, Warned
    from impasto.imaging import images

    began, total, preview = time.perf_counter(), 0, path.with_suffix(".preview.png")
    console = Console(stderr=True)
    done: Trained | None = None
    stopped = False
    with status_line(quiet, console) as show:
        for event in events:
            if isinstance(event, Finished):
                done, stopped = event.result, event.stopped
            if not leads:
                continue
            if isinstance(event, Planned):
                total = event.total_steps
            elif isinstance(event, Warned):
                console.print(f"note: {event.message}", highlight=False, soft_wrap=True)
            elif isinstance(event, Stepped):
                losses = " ".join(f"{name} {value:.3g}" for name, value in event.losses.items())
                show(f"step {event.step}/{total}  {losses}")
            elif isinstance(event, Snapshot):
                images.save(preview, event.picture)
                if not quiet:
                    console.print(f"step {event.step}/{total}: {preview}", highlight=False)
    if done is None or not leads:
        return stopped
    loss = f", loss {done.history[-1][1]:.3g} on held-out photographs" if done.history else ""
    typer.echo(f"{path}: {done.steps} steps in {time.perf_counter() - began:.0f} s{loss}; {done.stop_reason}")
    return stopped


def export(
    network: Path = typer.Argument(..., metavar="NETWORK", help="Network trained by `impasto train`."),
    onnx: bool = typer.Option(False, "--onnx", help="Export to ONNX, the only format."),
    output: Path | None = typer.Option(None, "--output", "-o", help=f"Output file. {default_note('NAME.onnx')}"),
) -> None:
    """Export a network for any image size and compare its output with that of PyTorch."""
    if not onnx:
        raise OptionError("specify the format: impasto export NETWORK --onnx", "onnx")
    from impasto.feedforward.export import OPSET, to_onnx

    target = output or network.with_suffix(".onnx")
    difference = to_onnx(network, target)
    typer.echo(f"{target}: opset {OPSET}, any size; at most {difference:.1e} from PyTorch")
