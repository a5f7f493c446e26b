"""The commands, each with its module. Modules that need torch are imported inside the commands."""

from __future__ import annotations

import typer

from impasto.cli import batch, compare, explore, info, masks, replay, studio, stylize, train

app = typer.Typer(
    name="impasto",
    help="Neural style transfer: render an image in the style of another.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from impasto import __version__

        typer.echo(f"impasto {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", help="Show the version.", callback=_version, is_eager=True),
    no_index: bool = typer.Option(
        False,
        "--no-index",
        help="Do not remember where inputs are. Allowed after any command; or IMPASTO_NO_INDEX=1.",
    ),
) -> None:
    """Neural style transfer: render an image in the style of another."""


app.command("stylize")(stylize.stylize)
app.command("batch")(batch.batch)
app.command("demo")(stylize.demo)
app.command("inspect")(info.inspect)
app.command("replay")(replay.replay)
app.command("resume")(replay.resume)
app.command("explore")(explore.explore)
app.command("evaluate")(explore.evaluate)
app.command("reconstruct")(explore.reconstruct)
app.command("compare")(compare.compare)
app.command("texture")(compare.texture)
app.command("masks")(masks.masks)
app.command("studio")(studio.studio)
app.command("train")(train.train)
app.command("export")(train.export)
app.command("samples")(info.samples)
app.command("layers")(info.layers)
app.command("doctor")(info.doctor)
app.add_typer(info.recipes_app, name="recipes")
app.add_typer(info.weights_app, name="weights")
