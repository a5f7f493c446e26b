"""The look of a finished image for a different photograph: its paintings and options, read from its record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.errors import RecordError
from impasto.options import recipes
from impasto.options.choices import INIT_NAMES
from impasto.options.fields import Machine, Options
from impasto.options.option_fields import OptionFields, passed
from impasto.regions.command_line import as_words
from impasto.regions.segmentation.names import parse_clicks
from impasto.regions.spec import ONLY, PROTECT
from impasto.run import record
from impasto.run.record import Record
from impasto.workflows.command import with_final_values

PER_MACHINE = ("device", "precision", "threads", "tile", "memory")


@dataclass(frozen=True)
class Look:
    """What a different photograph can take over from an image.

    Args:
        styles: its paintings, as the command line writes them; empty if a trained network for one style made it.
        options: its options, with the final values of live changes, by flat name.
        placed: its regions, protected part and painted part, where their masks are drawn by name, as the arguments of
            ``iter_stylize``.
        notes: what is left out because it belongs to the photograph of that image.
    """

    styles: tuple[str, ...]
    options: dict[str, Any]
    placed: dict[str, Any]
    notes: tuple[str, ...]

    def with_changes(self, given: OptionFields, *, own_styles: bool) -> OptionFields:
        """Return the options of a run, where those given override those of the look.

        Args:
            given: options by flat name; None stands for not given.
            own_styles: whether the run has its own paintings, for which the blend of the look has no meaning.
        """
        values = dict(self.options)
        if own_styles:
            values |= {"style_blend": None, "style_scales": None}
        return passed(recipes.override(Options.of(**values), **given).flat())


def read_look(path: str | Path) -> Look:
    """Read the look of an image.

    Raises:
        ImageError: the file is missing or is not an image.
        RecordError: it has no record, a painting is missing, or all its paintings belong to regions.
    """
    path = Path(path)
    about = record.read(path)
    folders = (path.resolve().parent, Path.cwd())
    options = with_final_values(about)
    machine = Machine()
    options |= {name: getattr(machine, name) for name in PER_MACHINE}
    notes = []
    if options["init"] not in INIT_NAMES:
        options["init"] = "content"
        notes.append(f"the initial image of {path.name} belongs to its photograph and is left out")
    if "model" in about["inputs"]:
        options["model"] = record.find_input(about, "model", None, folders)
    elif options["model"] is not None:
        options["model"] = record.find_input(about, "style", None, folders)
        return Look((), options, {}, tuple(notes))
    styles, placed = _styles(about, path, folders, notes)
    return Look(styles, options, placed, tuple(notes))


def _styles(
    about: Record, path: Path, folders: tuple[Path, ...], notes: list[str]
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the paintings of an image, with their masks and settings, and its regions with masks drawn by name."""
    data = about["decisions"].get("placement")
    if data is None:
        return (record.find_input(about, "style", None, folders),), {}
    drawn = {role: mask["name"] for role, mask in data.get("drawn", {}).items() if not parse_clicks(mask["name"])}
    entries = [entry for entry in data["styles"] if entry.get("mask") is None or entry["mask"] in drawn]
    if not entries:
        raise RecordError(
            f"all paintings of {path.name} belong to regions of its photograph: pass a painting or --region"
        )
    protect = drawn.get(PROTECT) or ("faces" if data["protect"] == "faces" else None)
    kept = len(entries) == len(data["styles"]) and bool(protect) == bool(data["protect"])
    if not kept or data["labels"] or (data.get("only") and ONLY not in drawn):
        notes.append(f"regions and masks of {path.name} that belong to its photograph are left out")
    parts = {entry[part] for entry in entries for part in ("style", "style_mask") if part in entry}
    files = {part: record.find_input(about, part, None, folders) for part in parts if part in about["inputs"]}
    words: dict[bool, list[str]] = {False: [], True: []}
    for entry in entries:
        text = as_words({"styles": [entry], "labels": False, "protect": None}, {**drawn, **files})[-1]
        words["mask" in entry].append(text)
    placed = {"regions": words[True], "protect": protect, "style_only": drawn.get(ONLY)}
    return tuple(words[False]), {name: value for name, value in placed.items() if value}
