"""An image made again from its record is the same to the byte; what cannot be made again is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from impasto.api import last
from impasto.errors import ImageError, MachineError, OptionError, RecordError
from impasto.events import Mailbox, Stepped, Warned
from impasto.options import recipes
from impasto.planning import memory
from impasto.run import record
from impasto.run.prepared_run import prepare
from impasto.run.result import Result
from impasto.run.target_cache import TargetCache
from impasto.workflows.command import as_command
from impasto.workflows.explore import axes_of, iter_explore
from impasto.workflows.replay import Source, iter_replay, read_sheet, read_source
from random_weights import state_before
from runs import iter_stylize, stylize

FEW: dict[str, Any] = {
    "size": "48",
    "steps": 6,
    "style_layers": "relu1_1",
    "content_layers": "relu1_2",
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def cache() -> TargetCache:
    """Return random weights for the first block."""
    return TargetCache(state_before("conv2"), retain=True)


@pytest.fixture
def painted(tiny_files: tuple[Path, Path], tmp_path: Path, cache: TargetCache) -> Any:
    """Return a function that paints into a file."""

    def paint(name: str = "out.png", **options: Any) -> Result:
        return stylize(*tiny_files, output=tmp_path / name, cache=cache, **{**FEW, **options})

    return paint


def again(
    path: Path, cache: TargetCache, name: str = "again.png", cell: tuple[int, int] | None = None, **changes: Any
) -> Result:
    source = read_source(path, cell)
    output = path.with_name(name)
    return last(iter_replay(replace(source, cache=cache), output, **changes))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"seed": 9, "init": "random"},
        {"bits": 16, "optimizer": "adam"},
        {"scales": 2, "init": "style", "strength": 0.8},
        {"recipe": "gatys2016", "steps": 4, "style_layers": "relu1_1", "content_layers": "relu1_2"},
    ],
    ids=lambda options: "+".join(options) or "default",
)
def test_made_again_it_is_the_same_file(painted: Any, cache: TargetCache, options: dict[str, Any]) -> None:
    first = painted(**options)
    second = again(first.path, cache)
    assert second.path is not None
    assert second.path.read_bytes() == first.path.read_bytes()
    assert second.record == first.record


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".webp"])
def test_other_formats_as_well(painted: Any, cache: TargetCache, suffix: str) -> None:
    first = painted(f"out{suffix}")
    assert again(first.path, cache, f"again{suffix}").path.read_bytes() == first.path.read_bytes()


def test_a_steered_and_stopped_run_is_repeated(
    tiny_files: tuple[Path, Path], tmp_path: Path, cache: TargetCache
) -> None:
    mailbox = Mailbox()
    events = iter_stylize(
        *tiny_files, output=tmp_path / "out.png", mailbox=mailbox, cache=cache, **{**FEW, "steps": 20}
    )
    for event in events:
        if isinstance(event, Stepped) and event.step == 3:
            mailbox.post("set", strength=0.95, style=2.0)
        if isinstance(event, Stepped) and event.step == 7:
            mailbox.post("stop")
    steering = record.read(tmp_path / "out.png")["steering"]
    assert steering == [{"step": 4, "values": {"strength": 0.95, "style": 2.0}}, {"step": 8, "command": "stop"}]
    second = again(tmp_path / "out.png", cache)
    assert (second.steps, second.stopped) == (7, True)
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "out.png").read_bytes()


def test_a_picture_as_start_is_an_input(painted: Any, cache: TargetCache, tmp_path: Path) -> None:
    start = tmp_path / "start.png"
    Image.fromarray(np.full((48, 64, 3), 99, np.uint8)).save(start)
    first = painted(init=str(start))
    assert first.record["options"]["init"] == "start.png"
    assert again(first.path, cache).path.read_bytes() == first.path.read_bytes()
    start.unlink()
    with pytest.raises(RecordError, match="the init 'start.png' .* is missing"):
        again(first.path, cache)


def test_another_seed_is_another_picture(painted: Any, cache: TargetCache) -> None:
    first = painted(init="random")
    second = again(first.path, cache, seed=5)
    assert second.options.optimization.seed == 5
    assert not np.array_equal(first.pixels, second.pixels)


def test_another_size_keeps_all_else(painted: Any, cache: TargetCache) -> None:
    second = again(painted(strength=0.7).path, cache, size="80")
    assert second.pixels.shape == (60, 80, 3)
    assert second.options.loss_weights.strength == 0.7


@pytest.mark.parametrize("name", ["out.png", "out.jpg"])
def test_going_on_starts_from_the_picture_and_can_be_repeated(
    painted: Any, cache: TargetCache, tmp_path: Path, name: str
) -> None:
    first = painted(name)
    second = again(first.path, cache, "more.png", more_steps=3)
    assert [entry["options"]["steps"] for entry in second.record["parents"]] == [6]
    assert second.losses[0]["total"] < first.losses[0]["total"]
    assert again(tmp_path / "more.png", cache).path.read_bytes() == second.path.read_bytes()
    first.path.unlink()  # made again from its own record, which the new one holds
    assert again(tmp_path / "more.png", cache).path.read_bytes() == second.path.read_bytes()


def test_steering_holds_from_the_start_at_another_size(painted: Any, cache: TargetCache, tmp_path: Path) -> None:
    first = painted()
    about = {
        **first.record,
        "steering": [{"step": 2, "values": {"strength": 0.9}}, {"step": 5, "values": {"style": 2.0}}],
    }
    larger = last(iter_replay(Source(about, (tmp_path,), first.path, cache=cache), size="80"))
    assert larger.record["steering"] == [{"step": 1, "values": {"strength": 0.9, "style": 2.0}}]


def test_another_version_is_warned_of(painted: Any, cache: TargetCache, tmp_path: Path) -> None:
    about = painted().record
    about["versions"]["torch"] = "1.0"
    events = list(iter_replay(Source(about, (tmp_path,), cache=cache)))
    notes = [event.message for event in events if isinstance(event, Warned)]
    assert any(note.startswith("torch was 1.0 and is ") and "last bits" in note for note in notes)


@pytest.mark.slow
def test_a_sheet_is_made_again_cell_by_cell(tiny_files: tuple[Path, Path], tmp_path: Path, cache: TargetCache) -> None:
    content, style = map(str, tiny_files)
    axes = axes_of(["strength=0.2,0.8", "style-scale=0.5,1"], [style])
    folder = tmp_path / "sheet"
    list(iter_explore(content, [style], axes, folder, cache=cache, **FEW))
    for name in ("content.png", "style.png"):
        (tmp_path / name).rename(folder / name)
    again(folder / "sheet.json", cache, cell=(2, 2))
    assert (folder / "again.png").read_bytes() == (folder / "cell-2-2.png").read_bytes()
    large = again(folder / "sheet.json", cache, "large.png", cell=(2, 2), size="80")
    assert large.pixels.shape == (60, 80, 3)
    assert large.record["parents"] == []
    assert (large.options.loss_weights.strength, large.options.features.style_scale) == (0.8, 1.0)


@pytest.mark.parametrize(
    ("text", "cell", "kind", "message"),
    [
        ("{", (1, 1), RecordError, "is not the JSON file of a contact sheet: use the file that impasto explore wrote"),
        ('{"sheet": 9, "cells": [CELL]}', (1, 1), RecordError, "was made by a newer impasto"),
        (
            '{"sheet": 1, "cells": [CELL]}',
            None,
            OptionError,
            "is a contact sheet: select one of its images with",
        ),
        (
            '{"sheet": 1, "cells": [CELL]}',
            (3, 1),
            RecordError,
            "has no cell 3,1: it has 1 rows and 1 columns",
        ),
    ],
)
def test_a_sheet_that_cannot_be_used_is_said(
    tmp_path: Path, text: str, cell: tuple[int, int] | None, kind: type[Exception], message: str
) -> None:
    entry = json.dumps({"row": 1, "column": 1, "file": "cell-1-1.png", "options": {}, "record": {}})
    (tmp_path / "sheet.json").write_text(text.replace("CELL", entry))
    with pytest.raises(kind, match=message):
        read_source(tmp_path / "sheet.json", cell)


def test_a_missing_sheet_is_said(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"sheet.json' cannot be read \(No such file or directory\): check the name"):
        read_sheet(tmp_path / "sheet.json")


def test_a_cell_of_a_picture_is_refused(painted: Any) -> None:
    with pytest.raises(OptionError, match="--cell is for the JSON file of a contact sheet, and 'out.png' is an image"):
        read_source(painted().path, (1, 1))


def test_size_and_more_steps_are_one_at_a_time(painted: Any, cache: TargetCache) -> None:
    with pytest.raises(OptionError, match="--size and --more-steps cannot be combined"):
        again(painted().path, cache, size="80", more_steps=3)


def test_without_a_picture_there_is_nothing_to_go_on_from(painted: Any, cache: TargetCache, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="there is no image to continue from"):
        list(iter_replay(Source(painted().record, (tmp_path,), cache=cache), more_steps=3))


def test_without_metadata_it_cannot_be_repeated(painted: Any) -> None:
    with pytest.raises(RecordError, match="contains no Impasto metadata"):
        read_source(painted(no_metadata=True).path)


def test_the_command_says_what_differs_from_the_recipe(painted: Any) -> None:
    about = painted(recipe="gatys2016", steps=4, seed=3).record
    assert as_command(about) == (
        "impasto stylize content.png style.png --recipe gatys2016 --style-layers relu1_1 --content-layers relu1_2 "
        "--seed 3 --steps 4 --size 48 --precision fp32"
    )


def test_a_larger_picture_takes_its_coarse_scales_from_the_proof(painted: Any, cache: TargetCache) -> None:
    proof = painted(init="random")
    large = again(proof.path, cache, "large.png", size="80")
    assert large.record["inputs"]["init"]["name"] == proof.path.name
    assert all(scale[1] > 48 for scale in large.record["decisions"]["scales"])
    assert large.record["decisions"]["proof"] is True
    assert as_command(large.record) == "impasto replay out.png --size 80"
    assert "guard:proof" in large.saved_losses
    assert "guard:proof" not in proof.saved_losses
    assert [entry["options"]["size"] for entry in large.record["parents"]] == ["48"]
    fresh = last(iter_replay(Source(proof.record, (proof.path.parent,), cache=cache), size="80", seed=9))

    def likeness(pixels: Any) -> float:
        small = np.asarray(Image.fromarray((pixels * 255).astype(np.uint8)).resize((64, 48)), np.float32)
        there = np.asarray(Image.fromarray((proof.pixels * 255).astype(np.uint8)).resize((64, 48)), np.float32)
        return float(np.corrcoef(small.ravel(), there.ravel())[0, 1])

    assert likeness(large.pixels) > 0.8
    assert likeness(large.pixels) > likeness(fresh.pixels)


@pytest.mark.slow
def test_a_large_picture_is_made_again_with_and_without_its_proof(painted: Any, cache: TargetCache) -> None:
    proof = painted()
    large = again(proof.path, cache, "large.png", size="80")
    assert again(large.path, cache, "same.png").path.read_bytes() == large.path.read_bytes()
    larger = again(large.path, cache, "larger.png", size="128")
    assert larger.record["inputs"]["init"]["name"] == "large.png"
    assert "guard:proof" in larger.saved_losses
    proof.path.unlink()
    assert again(large.path, cache, "without.png").path.read_bytes() == large.path.read_bytes()


@pytest.mark.slow
def test_a_plan_for_little_memory_is_followed_and_taken_again(
    painted: Any, tiny_files: tuple[Path, Path], cache: TargetCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "BASE", 0)
    monkeypatch.setattr(memory, "GROUPS", ((None,), (64,)))
    with pytest.raises(
        MachineError, match=r"96x72 px does not fit .* the smallest limit that works is --memory 0\.\d+GiB"
    ):
        painted("none.png", size="96", memory="1MiB", scales=1)
    monkeypatch.setattr(memory, "MARGIN", 0)
    memory_model = prepare(*tiny_files, recipes.resolve(**{**FEW, "size": "96", "scales": 1})).memory_model
    least = int(memory.SLACK * memory_model.peak(memory.MemoryPlan(64, 0, first_order=True))) + 1
    first = painted("lean.png", size="96", memory=str(least), scales=1)
    assert first.record["decisions"]["plans"][0][:6] == [72, 96, 64, 0, 0, 1]
    monkeypatch.undo()
    assert again(first.path, cache, "same.png").path.read_bytes() == first.path.read_bytes()
    with pytest.raises(MachineError, match="120x90 px does not fit"):  # another size needs a plan of its own
        again(first.path, cache, "larger.png", size="120")


def test_what_was_turned_last_holds_at_another_size(painted: Any, cache: TargetCache) -> None:
    turned = [{"strength": 0.9}, {"content_weight": 3.0}, {"strength": 0.7}]
    about = painted().record | {"steering": [{"step": n, "values": v} for n, v in enumerate(turned, start=1)]}
    large = last(iter_replay(Source(about, (painted().path.parent,), cache=cache), size="80"))
    assert list(large.record["steering"][0]["values"]) == ["content_weight", "strength"]


def test_what_was_painted_at_once_has_no_more_steps(painted: Any, cache: TargetCache) -> None:
    first = painted()
    about = first.record | {"options": {**first.record["options"], "fast": True}}
    with pytest.raises(OptionError, match=r"a feed-forward pass .* --init out.png"):
        list(iter_replay(Source(about, (first.path.parent,), first.path, cache=cache), more_steps=3))


def test_the_command_names_the_picture_that_it_goes_on_from(painted: Any, cache: TargetCache) -> None:
    more = again(painted().path, cache, "more.png", more_steps=3)
    assert "--init out.png" in as_command(more.record)
    large = again(painted().path, cache, "large.png", size="80", seed=5)
    assert as_command(large.record).endswith("--seed 5")


def test_raw_weights_know_no_hold_on_a_proof(painted: Any, cache: TargetCache) -> None:
    proof = painted(content_weight=1.0, style_weight=100.0, units="gatys")
    large = again(proof.path, cache, "large.png", size="80")
    assert large.record["inputs"]["init"]["name"] == "out.png"
    assert "proof" not in large.record["decisions"]
    assert "guard:proof" not in large.saved_losses


@pytest.mark.slow
def test_memory_and_dpi_go_with_a_size(painted: Any, cache: TargetCache) -> None:
    proof = painted()
    with pytest.raises(OptionError, match="--memory requires --size"):
        again(proof.path, cache, memory="1GiB")
    with pytest.raises(OptionError, match="--dpi requires --size"):
        again(proof.path, cache, dpi=300.0)
    large = again(proof.path, cache, "large.png", size="0.5in", dpi=160.0)
    assert max(large.pixels.shape) == 80
    assert as_command(large.record) == "impasto replay out.png --size 0.5in --dpi 160.0"
    assert max(again(large.path, cache, "larger.png", size="0.6in").pixels.shape) == 96  # at the same dots an inch
    with pytest.raises(MachineError, match="80x60 px does not fit"):
        again(proof.path, cache, size="80", memory="1MiB")
