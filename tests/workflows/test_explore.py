"""The sheet of choices: axes read and refused, cells warm or cold, targets made once."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from impasto.errors import OptionError
from impasto.imaging.images import load
from impasto.run.target_cache import TargetCache
from impasto.workflows.explore import Axis, Cell, axes_of, iter_explore, parse_axis
from random_weights import state_before

FEW: dict[str, Any] = {
    "size": "48",
    "steps": 5,
    "style_layers": "relu1_1",
    "content_layers": "relu1_2",
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Return random weights for the first block."""
    return state_before("conv2")


def explore(files: tuple[Path, Path], folder: Path, cache: TargetCache, *axes: str, **options: Any) -> list[Cell]:
    content, style = map(str, files)
    warm = options.pop("warm", True)
    return list(
        iter_explore(content, [style], axes_of(axes, [style]), folder, warm=warm, cache=cache, **{**FEW, **options})
    )


@pytest.mark.parametrize(
    ("text", "values", "warm"),
    [
        ("strength=0.2,0.8", (0.2, 0.8), True),
        ("--style-scale=1, 2", (1.0, 2.0), True),
        ("seed=1,2", (1, 2), False),
        ("style-layers=relu1_1,relu1_1+relu2_1", ("relu1_1", "relu1_1+relu2_1"), False),
        ("bits=8,16", (8, 16), False),
        ("seamless=false,true", (False, True), False),
        ("pooling=max,average", ("max", "average"), False),
    ],
)
def test_an_axis_is_an_option_and_its_values(text: str, values: tuple[Any, ...], warm: bool) -> None:
    axis = parse_axis(text)
    assert (axis.values, axis.warm) == (values, warm)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("strenght=0.2", r"there is no option 'strenght'; did you mean 'strength' .*Choose from: "),
        ("strength", r"specify values, as in strength=0.2,0.5,1"),
        ("strength=", r"specify values"),
        ("strength=0.2,,0.4", r"specify values"),
        ("strength=0.2,0.2", r"a value is repeated"),
        ("strength=much", r"strength: 'much' is not allowed; use numbers from 0.0 to 1.0"),
        ("seed=0.5", r"seed: '0.5' is not allowed; use whole numbers"),
        ("tv-weight=x", r"tv-weight: 'x' is not allowed; use numbers of at least 0.0"),
        ("seamless=maybe", r"seamless: 'maybe' is not allowed; use true or false"),
        ("pooling=mean", r"pooling: 'mean' is not allowed; .*average, l2, max"),
    ],
)
def test_a_bad_axis_names_the_option_and_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_axis(text)


def test_the_first_axis_runs_along_the_rows() -> None:
    rows, columns = axes_of(["strength=0.2,0.4", "style-scale=0.5,1,2"], ["a.jpg"])
    assert (rows.name, columns.name) == ("style_scale", "strength")


def test_several_styles_are_the_rows() -> None:
    rows, columns = axes_of(["strength=0.2,0.4"], ["a.jpg", "b.jpg"])
    assert (rows.name, rows.values, columns.name) == ("style", ("a.jpg", "b.jpg"), "strength")
    assert rows.label(1) == "style b"


@pytest.mark.parametrize(
    ("axes", "styles", "message"),
    [
        ([], ["a"], r"0 axes .*: specify one or two, as in --axis strength=0.2,0.5,0.8"),
        (["strength=0,1", "seed=1,2", "bits=8,16"], ["a"], "3 axes "),
        (["strength=0,1", "seed=1,2"], ["a", "b"], "3 axes "),
        (["strength=0,1", "strength=0.2,0.4"], ["a"], "--axis strength is repeated: specify it once"),
        (
            ["seed=" + ",".join(map(str, range(101)))],
            ["a"],
            "the sheet would have 101 cells; --yes paints more than 100",
        ),
    ],
)
def test_a_grid_that_cannot_be_is_said(axes: list[str], styles: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        axes_of(axes, styles)


def test_more_than_a_hundred_cells_can_be_wanted() -> None:
    assert len(axes_of(["seed=" + ",".join(map(str, range(101)))], ["a"], None)[0].values) == 101


def test_a_value_out_of_range_is_refused_before_anything_is_painted(
    tiny_files: tuple[Path, Path], tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    with pytest.raises(OptionError, match=r"strength is 1.5; it must be between 0.0 and 1.0"):
        explore(tiny_files, tmp_path / "sheet", TargetCache(state, retain=True), "strength=0.2,1.5")
    assert not (tmp_path / "sheet").exists()


def test_the_folder_holds_the_sheet_the_cells_and_their_options(
    tiny_files: tuple[Path, Path], tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    folder = tmp_path / "sheet"
    cells = explore(tiny_files, folder, TargetCache(state, retain=True), "strength=0.2,0.8", "style-scale=0.5,1,2")
    assert [(cell.row, cell.column) for cell in cells] == [(r, c) for r in (1, 2, 3) for c in (1, 2)]
    kept = json.loads((folder / "sheet.json").read_text())
    assert kept["axes"][0] == {"name": "style_scale", "values": ["0.5", "1.0", "2.0"]}
    chosen = kept["cells"][3]
    assert (chosen["row"], chosen["column"], chosen["file"]) == (2, 2, "cell-2-2.png")
    assert (chosen["options"]["strength"], chosen["options"]["style_scale"]) == (0.8, 1.0)
    assert load(folder / chosen["file"]).size == (36, 48)
    assert min(load(folder / "sheet.png").size) > 100


def test_neighbors_start_from_each_other_and_remember_it(
    tiny_files: tuple[Path, Path], tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    cells = explore(
        tiny_files, tmp_path / "s", TargetCache(state, retain=True), "strength=0.2,0.8", "style-scale=0.5,1"
    )
    assert [cell.result.steps for cell in cells] == [5, 2, 2, 2]
    chain = cells[3].result.record["parents"]  # up along the first column, then along the row
    told = [(parent["options"]["strength"], parent["options"]["style_scale"]) for parent in chain]
    assert told == [(0.2, 0.5), (0.2, 1.0)]
    assert all("parents" not in parent for parent in chain)


@pytest.mark.parametrize("axes", [("style-layers=relu1_1,relu1_1+relu1_2",), ("seed=1,2",)])
def test_layers_and_seeds_start_afresh(
    tiny_files: tuple[Path, Path], tmp_path: Path, state: dict[str, torch.Tensor], axes: tuple[str, ...]
) -> None:
    cells = explore(tiny_files, tmp_path / "sheet", TargetCache(state, retain=True), *axes)
    assert [cell.result.steps for cell in cells] == [5, 5]
    assert all(cell.result.record["parents"] == [] for cell in cells)


def test_cold_is_cold(tiny_files: tuple[Path, Path], tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    cells = explore(tiny_files, tmp_path / "sheet", TargetCache(state, retain=True), "strength=0.2,0.8", warm=False)
    assert [cell.result.steps for cell in cells] == [5, 5]


def test_targets_are_made_once_for_each_objective(
    tiny_files: tuple[Path, Path], tmp_path: Path, state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    module = importlib.import_module("impasto.run.target_cache")
    build = module.build_scale_objective

    def counted(*arguments: Any, **settings: Any) -> Any:
        made.append(arguments)
        return build(*arguments, **settings)

    monkeypatch.setattr(module, "build_scale_objective", counted)
    explore(tiny_files, tmp_path / "s", TargetCache(state, retain=True), "strength=0.2,0.5,0.8", "style-scale=0.5,1")
    assert len(made) == 2


def test_a_folder_that_cannot_be_made_is_said(
    tiny_files: tuple[Path, Path], tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OptionError, match=r"the folder '.*sheet' cannot be created \(Not a directory\): name another"):
        explore(tiny_files, tmp_path / "file" / "sheet", TargetCache(state, retain=True), "strength=0.2,0.8")


def test_labels_say_the_option_and_the_value() -> None:
    assert Axis("style_scale", (0.5, 2.0), True).label(1) == "style-scale 2.0"


def test_a_proof_has_no_time_to_keep(
    tiny_files: tuple[Path, Path], tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    options: dict[str, Any] = {**FEW, "steps": None, "time": "30s", "quality": "draft"}
    content, style = map(str, tiny_files)
    axes = axes_of(["strength=0.2,0.8"], [style])
    cache = TargetCache(state, retain=True)
    cells = list(iter_explore(content, [style], axes, tmp_path / "sheet", cache=cache, **options))
    assert all(cell.result.options.optimization.time is None for cell in cells)


def test_an_axis_of_steps_is_not_overruled(
    tiny_files: tuple[Path, Path], tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    cells = explore(tiny_files, tmp_path / "sheet", TargetCache(state, retain=True), "steps=2,4", tolerance=0.0)
    assert [cell.result.steps for cell in cells] == [2, 4]
