"""``python -m benchmarks`` on the command line: what it prints, and how it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import batch, bf16_quality, race
from benchmarks.__main__ import app
from impasto import cli

FOUND: dict[str, Any] = {
    "ratio": 30.0,
    "rows": [
        {"step": 100, "best": False, "loss": 5.0, "seconds": 50.0, "own_seconds": 2.5, "ratio": 20.0},
        {"step": 500, "best": True, "loss": 3.0, "seconds": 90.0, "own_seconds": 3.0, "ratio": 30.0},
    ],
    "own": [{"step": 5, "seconds": 3.0, "loss": 2.9}],
    "evaluation": {"missing": "AlexNet is not here"},
    "by_style": None,
}


def test_the_race_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(race, "race", lambda *_, **__: FOUND)
    assert cli.run(["race", "a.jpg", "b.jpg", "-q"], app) == 0
    said = capsys.readouterr().out
    assert "500 (best)" in said
    assert "ratio: 30.0 (time of the baseline to its best saved image over the time of Impasto to that loss)" in said
    assert "the images are not evaluated: AlexNet is not here" in said


def test_a_race_not_won_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [FOUND["rows"][1] | {"own_seconds": None, "ratio": None}]
    judged = {"rows": [{"name": "ours", "lpips": 0.5, "style_distance": 0.25}]}
    monkeypatch.setattr(race, "race", lambda *_, **__: FOUND | {"ratio": None, "rows": rows, "evaluation": judged})
    assert cli.run(["race", "a.jpg", "b.jpg", "-q"], app) == 0
    said = capsys.readouterr().out
    assert "ratio: none, the best loss of the baseline was not reached" in said
    assert "equal style distance (AlexNet): not reached" in said
    assert "ours: LPIPS 0.500, style distance 0.250" in said


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = str(tmp_path / "gone.png")
    assert cli.run(["race", gone, gone, "-q", "-o", str(tmp_path / "out")], app) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"impasto: pastiche cannot read {gone}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(("difference", "verdict"), [(0.01, "within"), (0.03, "beyond")])
def test_precision_is_printed(
    difference: float, verdict: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {"fp32": 100.0, "bf16": 100 * (1 + difference), "difference": difference, "within": difference <= 0.02}
    monkeypatch.setattr(bf16_quality, "fidelity", lambda *_, **__: found)
    assert cli.run(["precision", "a.jpg", "b.jpg"], app) == 0
    assert f"bfloat16 is {difference:+.2%}, {verdict} the tolerance of 2%" in capsys.readouterr().out


def test_a_batch_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = {"single": 13.0, "batch": 11.7, "ratio": 0.9, "loop": 0.7, "fast": 0.5, "fast_rate": 1.4}
    monkeypatch.setattr(batch, "measure", lambda *_, **__: found)
    assert cli.run(["batch", "a.jpg", "b.jpg"], app) == 0
    said = capsys.readouterr().out
    assert "256 px: single 13.00 s, batch 11.70 s per image, 0.90" in said
    assert "--fast at 512 px: loop 0.70 s, batch 0.50 s per image, 140% of the loop's rate" in said
