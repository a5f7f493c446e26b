"""Disks without room are found before the work, and named with what is needed and what is there."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from impasto.errors import ImageError, MachineError, OptionError
from impasto.events import Planned
from impasto.files import disk_shortfall
from impasto.imaging.images import estimated_bytes, save
from impasto.options.recipes import resolve
from impasto.run.prepared_run import prepare
from impasto.workflows.timelapse import Timelapse


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what sets the bytes that every disk has left."""
    left = SimpleNamespace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: left)

    def leave(size: int) -> None:
        left.free = size

    return leave


def test_what_goes_to_one_disk_is_added_up(free: Any, tmp_path: Path) -> None:
    free(5_000_000)
    wants = [(tmp_path / "not" / "yet", 3_000_000, "its checkpoints"), (tmp_path, 3_000_000, "the image")]
    assert disk_shortfall(wants[:1]) is None
    said = disk_shortfall(wants)
    assert said == (
        f"folder {str(tmp_path)!r} has 5 MB left and its checkpoints and the image need about 6 MB: "
        "free some space or choose another folder"
    )


def test_the_picture_is_refused_before_the_work(free: Any, tmp_path: Path, tiny_files: tuple[Path, Path]) -> None:
    options = resolve(size=4096)
    free(30_000_000)
    with pytest.raises(ImageError, match=r"has 30 MB left and the image needs about 38 MB: free some space"):
        prepare(*tiny_files, options, tmp_path / "out.png")
    assert prepare(*tiny_files, options, tmp_path / "out.jpg").output is not None


def test_checkpoints_are_refused_before_the_work(free: Any, tmp_path: Path, tiny_files: tuple[Path, Path]) -> None:
    prepared = prepare(*tiny_files, resolve(size=1024))
    free(1_000_000)
    with pytest.raises(MachineError, match=r"has 1 MB left and its checkpoints need about \d+ MB"):
        prepared.check_disk_space(tmp_path / "run")
    free(10**12)
    prepared.check_disk_space(tmp_path / "run")


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp"])
def test_a_film_is_refused_before_the_work(free: Any, tmp_path: Path, suffix: str) -> None:
    film, planned = Timelapse(tmp_path / f"film{suffix}"), Planned(({"height": 900, "width": 1200, "steps": 9},), 9, {})
    free(100_000)
    with pytest.raises(OptionError, match=r"--timelapse .*film.* has 0 MB left and the timelapse needs about \d+ MB"):
        film(planned)
    free(10**9)
    film(planned)
    film.close()


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.jpg", "a.webp"])
def test_the_estimate_is_no_smaller_than_a_painted_file(name: str, tmp_path: Path, tiny_style: Any) -> None:
    painted = tiny_style.repeat(2, 0).repeat(2, 1).astype("float32") / 255
    size = save(tmp_path / name, painted).stat().st_size
    assert size <= estimated_bytes(name, painted.shape[:2])
    assert estimated_bytes("a.png", (1000, 1000), 16, 4) > 2.6 * estimated_bytes("a.png", (1000, 1000)) - 200_000
