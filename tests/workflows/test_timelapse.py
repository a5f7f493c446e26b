"""The film of a run: slow at first, ending on the result, in every format, and never half a file."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from impasto.errors import OptionError
from impasto.events import Finished, Planned, Stepped
from impasto.workflows.timelapse import HOLD_SECONDS, RATE, Timelapse, shown_step, timelapse_size

TOTAL = 40
END = np.full((48, 64, 3), 200 / 255, np.float32)


def played(film: Timelapse, steps: int = TOTAL, ended: bool = True) -> None:
    """Let a film see a run that grows from black to gray at half the size and ends at another gray."""
    film(Planned(({"height": 24, "width": 32, "steps": 20}, {"height": 48, "width": 64, "steps": 20}), TOTAL, {}))
    for step in range(1, steps + 1):
        film(Stepped(step, 0, step, 0.0, {}, np.full((24, 32, 3), 4 * step, np.uint8)))
    if ended:
        film(Finished(steps, steps < TOTAL, SimpleNamespace(pixels=END)))


def greys(path: Path) -> list[float]:
    """Return the mean level of each frame."""
    if path.suffix == ".webp":
        picture = Image.open(path)
        levels = []
        for index in range(picture.n_frames):  # type: ignore[attr-defined]
            picture.seek(index)
            levels.append(float(np.asarray(picture.convert("RGB")).mean()))
        return levels
    with av.open(str(path)) as file:
        return [float(frame.to_ndarray(format="rgb24").mean()) for frame in file.decode(video=0)]


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp"])
def test_it_grows_and_ends_on_the_result(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film{suffix}"
    played(Timelapse(path, seconds=2))
    levels = greys(path)
    way = [level for level in levels if level < 190]
    assert way[0] < 12
    assert all(later >= earlier - 2 for earlier, later in pairwise(way))
    assert levels[-1] == pytest.approx(200, abs=4)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_it_is_as_long_as_it_is_meant_to_be(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film{suffix}"
    played(Timelapse(path, seconds=2))
    assert len(greys(path)) == round(2 * RATE[suffix]) + round(HOLD_SECONDS * RATE[suffix])


def test_early_steps_take_the_most_frames() -> None:
    shown = [shown_step(index, 100, TOTAL) for index in range(100)]
    assert (shown[0], shown[-1]) == (1, TOTAL)
    assert shown == sorted(shown)
    assert sum(step <= TOTAL / 4 for step in shown) > 45


def test_frames_between_two_steps_are_mixed(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    played(Timelapse(path, seconds=3))
    way = [level for level in greys(path) if level < 170]
    assert max(np.diff(way)) < 10  # steps alone would jump by 4 at first and by 12 at the end


def test_a_run_stopped_early_has_a_film(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    played(Timelapse(path, seconds=2), steps=10)
    levels = greys(path)
    assert max(level for level in levels if level < 190) < 45
    assert levels[-1] == pytest.approx(200, abs=4)


def test_a_run_without_steps_shows_its_result(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    played(Timelapse(path), steps=0)
    assert set(map(round, greys(path))) == {round(greys(path)[0])}


def test_a_run_that_fails_leaves_no_film(tmp_path: Path) -> None:
    film = Timelapse(tmp_path / "film.mp4")
    played(film, steps=5, ended=False)
    film.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("height", "width"), [(3001, 2001), (49, 65), (1, 1)])
def test_sizes_are_even_and_small_enough(height: int, width: int) -> None:
    size = timelapse_size(height, width, 1080)
    assert all(side % 2 == 0 and 2 <= side <= 1080 for side in size)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match=r"--timelapse 'film.avi': did you mean '.gif'\? Choose from: .gif, .mp4, .webp"
    ):
        Timelapse(tmp_path / "film.avi")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    film: Any = Timelapse(tmp_path / "file" / "film.mp4")
    with pytest.raises(OptionError, match=r"film.mp4: the folder cannot be created \(File exists\)"):
        played(film)
