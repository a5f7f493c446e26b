"""``python -m benchmarks``, in the repository: the programs behind the figures in docs/performance.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from impasto.cli import run

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(
    help="Benchmarks: the race against another program, and the quality of half precision.", add_completion=False
)


@app.command("race")
def _race(
    content: Path = typer.Argument(..., help="Photograph, JPEG or PNG."),
    style: Path = typer.Argument(..., help="Painting, JPEG or PNG."),
    size: int | None = typer.Option(None, "--size", min=16, help="Long side in px. (default: 250,000 px in total)"),
    output: Path = typer.Option(Path("race"), "--output", "-o", help="Folder for race.json, curves and images."),
    steps: int | None = typer.Option(None, "--steps", min=1, help="Steps of the baseline. (default: 1000)"),
    own_steps: int | None = typer.Option(None, "--own-steps", min=1, help="Steps of Impasto at the last size."),
    fresh: bool = typer.Option(False, "--fresh", help="Run the baseline even if its curve is cached."),
    default: bool = typer.Option(True, "--default/--no-default", help="Also run the default recipe."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Hide progress."),
) -> None:
    """Compare with pastiche 1.6.0 on its own objective and defaults, both from a cold start."""
    from rich.console import Console

    from benchmarks.race import race

    console = Console(stderr=True)
    found = race(
        content,
        style,
        output,
        size=size,
        steps=steps,
        own_steps=own_steps,
        fresh=fresh,
        default=default,
        tell=lambda line: None if quiet else console.print(line, highlight=False),
    )
    _print_race(found)
    typer.echo(f"{output / 'race.json'}, {output / 'curves.png'}, {output / 'pictures.png'}")


def _print_race(found: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    grid = Table(box=None, pad_edge=False)
    for head in ("baseline step", "loss", "baseline", "Impasto", "ratio"):
        grid.add_column(head, justify="right")
    for row in found["rows"]:
        own = "not reached" if row["own_seconds"] is None else f"{row['own_seconds']:.1f} s"
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.1f}"
        grid.add_row(
            f"{row['step']}{' (best)' if row['best'] else ''}",
            f"{row['loss']:.5g}",
            f"{row['seconds']:.1f} s",
            own,
            ratio,
        )
    Console(highlight=False).print(grid)
    least = min(point["loss"] for point in found["own"])
    typer.echo(f"Impasto, final: {least:.5g} after {found['own'][-1]['seconds']:.1f} s")
    if "default" in found:
        default = found["default"]
        typer.echo(
            f"the default recipe, a different objective: {default['seconds']:.1f} s;"
            f" {default['loss']:.5g} by that of the baseline"
        )
    evaluation = found["evaluation"]
    if "rows" in evaluation:
        for row in evaluation["rows"]:
            typer.echo(f"{row['name']}: LPIPS {row['lpips']:.3f}, style distance {row['style_distance']:.3f}")
    else:
        typer.echo(f"the images are not evaluated: {evaluation['missing']}")
    if near := found["by_style"]:
        typer.echo(f"equal style distance (AlexNet): {near['seconds']:.1f} s, ratio {near['ratio']:.1f}")
    elif "rows" in evaluation:
        typer.echo("equal style distance (AlexNet): not reached")
    if found["ratio"] is None:
        typer.echo("ratio: none, the best loss of the baseline was not reached")
    else:
        typer.echo(
            f"ratio: {found['ratio']:.1f}"
            " (time of the baseline to its best saved image over the time of Impasto to that loss)"
        )


@app.command("precision")
def _precision(
    content: Path = typer.Argument(..., help="Photograph, JPEG or PNG."),
    style: Path = typer.Argument(..., help="Painting, JPEG or PNG."),
    size: int | None = typer.Option(None, "--size", min=16, help="Long side in px. (default: 250,000 px in total)"),
    steps: int | None = typer.Option(None, "--steps", min=1, help="Steps at the last size."),
) -> None:
    """Run the same optimization in bfloat16 and in float32 and compare the losses, both measured in float32."""
    from benchmarks.bf16_quality import ALLOWED, fidelity

    found = fidelity(content, style, size=size, steps=steps)
    typer.echo(f"float32: {found['fp32']:.6g}, bfloat16: {found['bf16']:.6g}")
    verdict = "within" if found["within"] else "beyond"
    typer.echo(f"bfloat16 is {found['difference']:+.2%}, {verdict} the tolerance of {ALLOWED:.0%}")


@app.command("batch")
def _batch(
    content: Path = typer.Argument(..., help="Photograph."),
    style: Path = typer.Argument(..., help="Painting."),
    count: int = typer.Option(40, "--count", min=6, help="Images of the batch."),
    workers: int | None = typer.Option(None, "--workers", min=1, help="Images at a time. (default: auto)"),
    fast: bool = typer.Option(True, "--fast/--no-fast", help="Also measure --fast at 512 px."),
) -> None:
    """Compare the time per image of a batch at 256 px with single runs, and --fast with a bare loop."""
    from benchmarks.batch import measure

    found = measure(content, style, count=count, workers=workers, fast=fast)
    typer.echo(f"256 px: single {found['single']:.2f} s, batch {found['batch']:.2f} s per image, {found['ratio']:.2f}")
    if fast:
        typer.echo(
            f"--fast at 512 px: loop {found['loop']:.2f} s, batch {found['fast']:.2f} s per image, "
            f"{found['fast_rate']:.0%} of the loop's rate"
        )


@app.command("cluster")
def _cluster(
    count: int = typer.Option(10_000, "--count", min=1, help="Images of the batch."),
    nodes: int = typer.Option(100, "--nodes", min=1, help="Nodes of the cluster."),
    per_node: int = typer.Option(2, "--per-node", min=1, help="Workers of a node, one per core."),
    seconds: float = typer.Option(..., "--seconds", min=0.001, help="Measured seconds per image on one worker."),
    driver: float = typer.Option(0.03, "--driver", min=0, help="Measured seconds of the driver per image."),
    start: float = typer.Option(30.0, "--start", min=0, help="Measured seconds until a worker is ready."),
    loss_hours: float = typer.Option(100.0, "--loss-hours", min=0, help="Mean hours until a worker is lost."),
) -> None:
    """Simulate a batch on a cluster from measured figures."""
    from benchmarks.cluster import ClusterModel, simulate

    model = ClusterModel(nodes * per_node, seconds, driver=driver, start=start, loss_hours=loss_hours)
    found = simulate(count, model)
    typer.echo(
        f"{count} images on {nodes} nodes: {60 * found.hours:.1f} min, workers used {found.use:.0%}, "
        f"{found.lost} workers lost, {found.failed} images failed"
    )


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], app))
