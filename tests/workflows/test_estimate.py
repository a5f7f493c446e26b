"""What a run would take, against what it then takes, on a clock that the evaluations turn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from impasto import cli
from impasto.api import stylize
from impasto.errors import OptionError
from impasto.workflows.estimate import forecast

SMALL = {"size": 64, "scales": 2, "style_layers": "relu1_1", "content_layers": "relu1_1"}


@pytest.mark.slow
def test_the_plan_is_that_of_the_run(tiny_picture: NDArray[np.uint8], tiny_style: NDArray[np.uint8]) -> None:
    foreseen = forecast(tiny_picture, tiny_style, steps=4, **SMALL)
    result = stylize(tiny_picture, tiny_style, steps=4, **SMALL)
    taken = [entry[:3] for entry in result.record["decisions"]["scales"]]
    assert [[s.height, s.width, s.steps] for s in foreseen.scales] == taken
    assert foreseen.seconds > 0
    assert foreseen.bytes > 0
    assert foreseen.tile is None


@pytest.mark.slow
def test_it_is_written_for_people(tiny_files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    content, style = tiny_files
    target = content.parent / "never.png"
    arguments = [str(content), str(style), "-o", str(target), "--size", "64", "--dry-run", "--tile", "64"]
    assert cli.run(["stylize", *arguments]) == 0
    out = capsys.readouterr().out
    assert "steps" in out
    assert "including startup" in out
    assert not target.exists()


def test_what_is_painted_at_once_has_no_steps_to_foresee(tiny_picture: NDArray[np.uint8]) -> None:
    with pytest.raises(OptionError, match="--dry-run estimates optimization runs"):
        forecast(tiny_picture, tiny_picture, fast=True)


def test_what_a_run_refuses_is_refused(tiny_picture: NDArray[np.uint8]) -> None:
    with pytest.raises(OptionError, match="strength is 3"):
        forecast(tiny_picture, tiny_picture, strength=3.0)
