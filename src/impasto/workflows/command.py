"""The command that reproduces an image, written from its record."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from impasto.errors import OptionError
from impasto.objective.loss_factory import PROOF
from impasto.options import recipes
from impasto.options.choices import INIT_NAMES
from impasto.options.fields import names_with
from impasto.options.option_fields import OptionFields
from impasto.regions.command_line import as_words
from impasto.run import record
from impasto.run.record import InputEntry, Record, SteeringEntry


def replay_command(picture: str) -> str:
    """Return the command that reproduces an image from its record, with its live changes."""
    return shlex.join(["impasto", "replay", picture])


def commands(about: Record, path: Path | None) -> str:
    """Return the command that reproduces an image; for a steered one also a plain command, with a comment.

    Args:
        about: its record.
        path: its file; None if it was not saved.
    """
    if path is None or not needs_replay(about):
        return as_command(about)
    note = (
        "# without the live changes in between, with their final values:" if about["steering"] else "# from its inputs:"
    )
    return f"{replay_command(path.name)}\n{note}\n{as_command(about)}"


def needs_replay(about: Record) -> bool:
    """Whether only ``impasto replay`` reproduces the image: it was steered, or started from a different result."""
    return bool(about["steering"] or about.get("parents"))


def as_command(about: Record) -> str:
    """Return the command that reproduces an image from its inputs, without the options that its recipe sets.

    For an image that was kept close to a proof, the command names that proof and the image's size. For a steered image,
    it has the final values of the live changes, and its result differs from the image (see ``needs_replay``).
    """
    options: dict[str, Any] = {**with_final_values(about)}
    if about["decisions"].get("proof"):
        words = ["impasto", "replay", about["inputs"]["init"]["name"], "--size", str(options["size"])]
        words += [] if options["dpi"] is None else ["--dpi", str(options["dpi"])]
        return shlex.join([*words, *_other_seed(about)])
    if "init" in about["inputs"] and options["init"] in INIT_NAMES:
        options["init"] = about["inputs"]["init"]["name"]
    name = options.pop("recipe")
    try:
        usual = recipes.resolve(recipe=name).flat()
    except OptionError:  # a person's own recipe that is not here
        usual = {}
    files = {part: _with_crop(found) for part, found in about["inputs"].items()}
    placed = about["decisions"].get("placement")
    words = ["impasto", "stylize", files["content"], *([files["style"]] if placed is None else as_words(placed, files))]
    if name != recipes.DEFAULT and usual:
        words += ["--recipe", name]
    for option, value in options.items():
        if value is None or value is False or value == usual.get(option):
            continue
        words += [f"--{option.replace('_', '-')}", *([] if value is True else [str(value)])]
    return shlex.join(words)


def _other_seed(about: Record) -> list[str]:
    """Return the seed as an option if it differs from that of the previous image."""
    seed, parents = about["options"]["seed"], about.get("parents") or ()
    return ["--seed", str(seed)] if parents and parents[-1]["options"]["seed"] != seed else []


def _with_crop(about: InputEntry) -> str:
    crop = ",".join(str(number) for number in about["crop"]) if about.get("crop") else ""
    return f"{about['name']}#{crop}" if crop else str(about["name"])


def with_final_values(about: Record) -> dict[str, object]:
    """Return the options of a run by flat name, with the final values of its live changes."""
    entries = from_the_first_step(about["steering"], held=False)
    live = names_with("live")
    final = {name: value for entry in entries for name, value in entry["values"].items() if name in live}
    if "strength" in final:  # of the strength and the raw weights, the last one that was set holds
        raw = [name for name in recipes.RAW if name in final]
        last = list(final)[-1] if raw else "strength"
        replaced = raw if last == "strength" else ["strength"]
        final = {name: value for name, value in final.items() if name not in replaced}
    options = record.options_of(about)
    return {**(recipes.override(options, **cast(OptionFields, final)) if final else options).flat()}


def from_the_first_step(steering: Sequence[SteeringEntry], held: bool) -> list[SteeringEntry]:
    """Return all live changes as one command; without a proof, its weight is dropped."""
    values: dict[str, float] = {}
    for entry in steering:
        for name, value in entry.get("values", {}).items():
            if held or name != PROOF:
                values.pop(name, None)  # in the order of the changes: setting a strength may replace raw weights
                values[name] = value
    return [{"step": 1, "values": values}] if values else []
