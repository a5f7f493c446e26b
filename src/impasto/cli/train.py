"""``impasto train`` and ``impasto export``: feed-forward networks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import typer

from impasto.cli.distributed import together
from impasto.errors import OptionError


def train(
    styles: list[str] | None = typer.Argument(
        None, metavar="STYLE...", help="Paintings to learn; each gets its own network. Omit with --paintings."
    ),
    photos: Path = typer.Option(
        ..., "--photos", metavar="DIR", help="Folder of photographs; a few hundred are enough."
    ),
    paintings: Path | None = typer.Option(
        None, "--paintings", metavar="DIR", help="Folder of paintings: train one network for any style."
    ),
    out: Path = typer.Option(Path("style.safetensors"), "--out", "-o", help="Output file."),
    side: int | None = typer.Option(None, "--side", help="Side of the crops in px. (default: 256)"),
    batch: int | None = typer.Option(None, "--batch", help="Batch size per process. (default: 4)"),
    steps: int | None = typer.Option(None, "--steps", help="Maximum number of steps. (default: 4000)"),
    minutes: float | None = typer.Option(None, "--minutes", help="Stop after this many minutes."),
    rate: float | None = typer.Option(None, "--rate", help="Learning rate of Adam. (default: 0.001)"),
    small_crops: float | None = typer.Option(
        None, "--small-crops", help="Fraction of the steps that start on crops of half the side. (default: 0.4)"
    ),
    leave_out: int | None = typer.Option(
        None,
        "--leave-out",
        help="Photographs at the end of the folder to leave out of training and validation. (default: 0)",
    ),
    width: int | None = typer.Option(None, "--width", help="Channels of the widest feature map. (default: 32)"),
    blocks: int | None = typer.Option(None, "--blocks", help="Residual blocks, 1 to 5. (default: 5)"),
    check_every: int | None = typer.Option(None, "--check-every", help="Steps between validations. (default: 100)"),
    patience: int | None = typer.Option(
        None, "--patience", help="Stop after this many validations without improvement. (default: 10)"
    ),
    seed: int | None = typer.Option(None, "--seed", help="Random seed. (default: 0)"),
    strength: float | None = typer.Option(None, "--strength", help="From 0, all content, to 1, all style."),
    style_scale: float | None = typer.Option(
        None, "--style-scale", help="Scale of the style image relative to a crop."
    ),
    device: str | None = typer.Option(None, "--device", help="auto, cpu, cuda, cuda:1."),
    precision: str | None = typer.Option(None, "--precision", help="auto, fp32, bf16."),
    threads: int | None = typer.Option(None, "--threads", help="CPU threads."),
    resume: bool = typer.Option(False, "--resume", help="Resume an interrupted training."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Hide progress."),
) -> None:
    """Train a feed-forward network for STYLE, or for any style with --paintings.

    With `torchrun --nproc-per-node N -m impasto train ...` it runs on N devices.
    """
    given: dict[str, Any] = {
        "side": side, "batch": batch, "steps": steps, "minutes": minutes, "rate": rate, "small_crops": small_crops,
        "leave_out": leave_out, "width": width, "blocks": blocks, "check_every": check_every, "patience": patience,
        "seed": seed,
    }  # fmt: skip
    options: dict[str, Any] = {
        "strength": strength, "style_scale": style_scale, "device": device, "precision": precision,
        "threads": threads,
    }  # fmt: skip
    if bool(styles) == (paintings is not None):
        raise OptionError("give paintings to learn, or --paintings DIR to train one network for any style", "paintings")
    from impasto.feedforward.train import Training, iter_train, styles_out

    training = Training(**{name: value for name, value in given.items() if value is not None})
    options = {name: value for name, value in options.items() if value is not None}
    options |= {"paintings": paintings, "training": training, "resume": resume}
    with together() as group:
        for style, path in zip(styles or [None], styles_out(out, styles or []), strict=True):  # type: ignore[list-item]
            _follow(iter_train(style, photos, path, group=group, **options), path, quiet, leads=group.is_first)


def _follow(events: Any, path: Path, quiet: bool, *, leads: bool) -> None:
    """Show a training; of several processes only the first one writes and speaks."""
    from rich.console import Console

    from impasto.events import Finished, Planned, Snapshot, Stepped, Warned
    from impasto.imaging import images

    began, total, preview = time.perf_counter(), 0, path.with_suffix(".preview.png")
    console = Console(stderr=True)
    with console.status("preparing", spinner="line") as status:
        for event in events:
            if isinstance(event, Finished):
                done = event.result
            if not leads:
                continue
            if isinstance(event, Planned):
                total = event.total_steps
            elif isinstance(event, Warned):
                console.print(f"note: {event.message}", highlight=False, soft_wrap=True)
            elif isinstance(event, Stepped) and not quiet:
                losses = " ".join(f"{name} {value:.3g}" for name, value in event.losses.items())
                status.update(f"step {event.step}/{total}  {losses}")
            elif isinstance(event, Snapshot):
                images.save(preview, event.picture)
                if not quiet:
                    console.print(f"step {event.step}/{total}: {preview}", highlight=False)
    if not leads:
        return
    loss = f", loss {done.history[-1][1]:.3g} on held-out photographs" if done.history else ""
    typer.echo(f"{path}: {done.steps} steps in {time.perf_counter() - began:.0f} s{loss}; {done.stop_reason}")


def export(
    network: Path = typer.Argument(..., help="Network trained by `impasto train`."),
    onnx: bool = typer.Option(False, "--onnx", help="Export to ONNX, the only format."),
    output: Path | None = typer.Option(None, "--output", "-o", help="Output file. (default: NAME.onnx)"),
) -> None:
    """Export a network for any image size and compare its output with PyTorch's."""
    if not onnx:
        raise OptionError("name the format: impasto export NETWORK --onnx", "onnx")
    from impasto.feedforward.export import OPSET, to_onnx

    target = output or network.with_suffix(".onnx")
    difference = to_onnx(network, target)
    typer.echo(f"{target}: opset {OPSET}, any size; at most {difference:.1e} from PyTorch")
