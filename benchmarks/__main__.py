"""``python -m benchmarks``, in the repository: where the figures in docs/performance.md come from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from impasto.cli import run

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(
    help="Measure: the race against another program, and what half precision costs.", add_completion=False
)


@app.command("race")
def _race(
    content: Path = typer.Argument(..., help="Photograph: what is to be seen. JPEG or PNG."),
    style: Path = typer.Argument(..., help="Painting: how it is painted. JPEG or PNG."),
    size: int | None = typer.Option(None, "--size", min=16, help="Long side in px. (default: 500x500 px in all)"),
    output: Path = typer.Option(Path("race"), "--output", "-o", help="Folder for race.json, the curves, the pictures."),
    steps: int | None = typer.Option(None, "--steps", min=1, help="Steps of the peer. (default: its own 1000)"),
    own_steps: int | None = typer.Option(None, "--own-steps", min=1, help="Steps of ours at the last size."),
    fresh: bool = typer.Option(False, "--fresh", help="Run the peer again though its curve is in the cache."),
    default: bool = typer.Option(True, "--default/--no-default", help="Paint with the default recipe too."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Hide progress."),
) -> None:
    """Race pastiche 1.6.0 with its own objective and defaults, both from a cold start."""
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
    for head in ("the peer's step", "loss", "the peer", "Impasto", "ratio"):
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
    typer.echo(f"Impasto at its end: {least:.5g} after {found['own'][-1]['seconds']:.1f} s")
    if "default" in found:
        made = found["default"]
        typer.echo(f"the default recipe, another objective: {made['seconds']:.1f} s; {made['loss']:.5g} by the peer's")
    evaluation = found["evaluation"]
    if "rows" in evaluation:
        for row in evaluation["rows"]:
            typer.echo(f"{row['name']}: LPIPS {row['lpips']:.3f}, style distance {row['style_distance']:.3f}")
    else:
        typer.echo(f"the pictures are not evaluated: {evaluation['missing']}")
    if near := found["by_style"]:
        typer.echo(f"as near to the style (AlexNet): {near['seconds']:.1f} s, ratio {near['ratio']:.1f}")
    elif "rows" in evaluation:
        typer.echo("as near to the style (AlexNet): not reached")
    if found["ratio"] is None:
        typer.echo("ratio: none, the peer's best loss was not reached")
    else:
        typer.echo(
            f"ratio: {found['ratio']:.1f} (the peer's time to its own best saved picture over ours to that loss)"
        )


@app.command("precision")
def _precision(
    content: Path = typer.Argument(..., help="Photograph. JPEG or PNG."),
    style: Path = typer.Argument(..., help="Painting. JPEG or PNG."),
    size: int | None = typer.Option(None, "--size", min=16, help="Long side in px. (default: 500x500 px in all)"),
    steps: int | None = typer.Option(None, "--steps", min=1, help="Steps at the last size."),
) -> None:
    """Run one descent in bfloat16 and in float32 and compare the pictures' losses, both measured in float32."""
    from benchmarks.bf16_quality import ALLOWED, fidelity

    found = fidelity(content, style, size=size, steps=steps)
    typer.echo(f"float32: {found['fp32']:.6g}, bfloat16: {found['bf16']:.6g}")
    verdict = "within" if found["within"] else "beyond"
    typer.echo(f"bfloat16 is {found['difference']:+.2%}, {verdict} the {ALLOWED:.0%} that are allowed")


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], app))
