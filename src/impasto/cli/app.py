"""Every command and the module that does it. Modules that need torch are imported inside the commands."""

from __future__ import annotations

import typer

from impasto.cli import again, bench, compare, learn, lists, look, pictures, studio

app = typer.Typer(
    name="impasto",
    help="Repaint a picture in the manner of another.",
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
) -> None:
    """Repaint a picture in the manner of another."""


app.command("stylize")(pictures.stylize)
app.command("demo")(pictures.demo)
app.command("inspect")(again.inspect)
app.command("replay")(again.replay)
app.command("resume")(again.resume)
app.command("explore")(look.explore)
app.command("evaluate")(look.evaluate)
app.command("anatomy")(look.anatomy)
app.command("compare")(compare.compare)
app.command("texture")(compare.texture)
app.command("studio")(studio.studio)
app.command("train")(learn.train)
app.command("export")(learn.export)
app.command("samples")(lists.samples)
app.command("layers")(lists.layers)
app.command("doctor")(lists.doctor)
app.add_typer(bench.bench_app, name="bench")
app.add_typer(lists.recipes_app, name="recipes")
app.add_typer(lists.weights_app, name="weights")
