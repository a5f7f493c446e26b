"""Recipes side by side."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from impasto.errors import OptionError, WeightsError
from impasto.imaging import images
from impasto.workflows import compare

FEW = {"size": "64", "steps": 2, "scales": 1, "style_layers": "relu1_1+relu2_1", "content_layers": "relu2_1"}


class Ruler:
    """An evaluator that measures nothing real."""

    def __init__(self, content: object, style: object) -> None:
        self.seen: list[object] = []

    def __call__(self, out: object) -> dict[str, float]:
        assert Path(str(out)).exists()
        return {"lpips": 0.25, "style_distance": 0.5, "ssim": 0.75}


@pytest.mark.slow
def test_a_sheet_has_every_recipe_with_time_and_metrics(tiny_files, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(compare, "Evaluator", Ruler)
    content, style = map(str, tiny_files)
    planned = compare.plan("impasto,sliced", **FEW)
    entries = list(compare.iter_compare(content, style, planned, tmp_path / "out"))
    assert [entry.name for entry in entries] == ["impasto", "sliced"]
    assert all(entry.seconds > 0 and entry.caption.endswith(" s  0.25 / 0.50") for entry in entries)
    table = json.loads((tmp_path / "out" / compare.TABLE).read_text())
    assert [row["name"] for row in table["recipes"]] == ["impasto", "sliced"]
    assert table["recipes"][1]["options"]["style_loss"] == "sliced"
    assert table["recipes"][0]["metrics"]["ssim"] == 0.75
    sheet = images.load(tmp_path / "out" / compare.SHEET).pixels
    assert sheet.shape[1] > 4 * 64
    for row in table["recipes"]:
        assert images.load(tmp_path / "out" / row["file"]).pixels.shape[1] == 64


@pytest.mark.slow
def test_many_recipes_are_drawn_in_rows(tiny_files, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(compare, "Evaluator", Ruler)
    content, style = map(str, tiny_files)
    shapes = []
    for names in ("impasto", "impasto,sliced,mrf,gatys2016,texture,photoreal,neural-style"):
        list(compare.iter_compare(content, style, compare.plan(names, **FEW), tmp_path))
        shapes.append(images.load(tmp_path / compare.SHEET).pixels.shape)
    (low, narrow, _), (high, wide, _) = shapes
    assert 1.6 < high / low < 2.1  # nine images in two rows
    assert wide < 5 * 80 + 80
    assert narrow < wide


@pytest.mark.slow
def test_without_the_network_of_the_evaluator_the_sheet_says_so(tiny_files, tmp_path: Path, monkeypatch) -> None:
    def absent(content: object, style: object) -> None:
        raise WeightsError("AlexNet is not here: impasto weights fetch evaluation")

    monkeypatch.setattr(compare, "Evaluator", absent)
    content, style = map(str, tiny_files)
    (entry,) = compare.iter_compare(content, style, compare.plan("impasto", **FEW), tmp_path)
    assert "impasto weights fetch evaluation" in entry.note
    assert entry.metrics == {}
    assert entry.caption.endswith(" s")


def test_a_recipe_can_take_its_published_steps() -> None:
    planned = compare.plan("gatys2016@published,neural-style", steps=7)
    assert planned["gatys2016@published"].optimization.steps == 500
    assert planned["neural-style"].optimization.steps == 7


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ("impasto,impasto", {}, "lists 'impasto' twice"),
        ("impresto", {}, "there is no recipe 'impresto'"),
        ("", {}, "there is no recipe"),
        ("impasto", {"recipe": "mrf"}, "use --recipes a,b,c"),
        ("impasto@published", {}, "the source of impasto does not state a step count"),
    ],
)
def test_what_cannot_be_compared_is_refused(names: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        compare.plan(names, **options)


def test_a_folder_that_cannot_be_made_is_refused(tiny_files, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    content, style = map(str, tiny_files)
    with pytest.raises(OptionError, match="cannot be created"):
        next(compare.iter_compare(content, style, compare.plan("impasto", **FEW), tmp_path / "file" / "out"))


@pytest.mark.slow
def test_the_commands(tiny_files, tmp_path: Path, monkeypatch) -> None:
    from typer.testing import CliRunner

    from impasto.cli.app import app

    monkeypatch.setattr(compare, "Evaluator", Ruler)
    content, style = map(str, tiny_files)
    few = ["--size", "64", "--steps", "2", "--scales", "1", "--quiet"]
    done = CliRunner().invoke(
        app,
        ["compare", content, style, "--recipes", "impasto", "-o", str(tmp_path / "c"), *few],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    assert "lpips 0.250" in done.output
    out = tmp_path / "t.png"
    shape = ["--width", "64", "--height", "48"]
    few = ["--steps", "3", "--scales", "1", "--style-layers", "relu1_1+relu2_1", "--quiet"]
    done = CliRunner().invoke(
        app, ["texture", style, "-o", str(out), *shape, "--seamless", *few], catch_exceptions=False
    )
    assert done.exit_code == 0
    assert images.load(out).pixels.shape == (48, 64, 3)
    assert np.ptp(images.load(out).pixels) > 0.2
    done = CliRunner().invoke(
        app, ["texture", style, "-o", str(out), *shape, "--size=48", *few], catch_exceptions=False
    )
    assert done.exit_code == 0
    assert images.load(out).pixels.shape == (36, 48, 3)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--width", "70", "--height", "48", "--seamless"], "use 64 by 48"),
        (["--size", "72", "--seamless"], "use 64 by 64"),
    ],
)
def test_textures_that_cannot_be_made_are_refused(flags: list[str], message: str, tiny_files) -> None:
    from typer.testing import CliRunner

    from impasto.cli.app import app

    done = CliRunner().invoke(app, ["texture", str(tiny_files[1]), *flags])
    assert isinstance(done.exception, OptionError)
    assert message in str(done.exception)
