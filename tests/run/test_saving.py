"""A finished image is saved whatever happens to its metadata, its folder, or the files next to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from impasto.api import last
from impasto.cli import run
from impasto.errors import MachineError
from impasto.imaging import encode, images
from impasto.run import record, result
from impasto.run.target_cache import TargetCache
from impasto.workflows.report import Report
from random_weights import state_before
from runs import iter_stylize

FEW: dict[str, Any] = {
    "size": "32",
    "steps": 2,
    "scales": 1,
    "style_layers": "relu1_1",
    "content_layers": "relu1_2",
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def cache() -> TargetCache:
    """Return random weights for the first block."""
    return TargetCache(state_before("conv2"))


@pytest.fixture
def odd_files(tiny_files: tuple[Path, Path]) -> tuple[Path, Path]:
    """Return content and style, with a byte in their names that is not UTF-8."""
    moved = [path.rename(path.with_name(os.fsdecode(b"caf\xe9" + os.fsencode(path.name)))) for path in tiny_files]
    return moved[0], moved[1]


def test_a_name_that_is_not_utf8_is_escaped_and_found_again(odd_files: Any, cache: TargetCache, tmp_path: Path) -> None:
    out = tmp_path / os.fsdecode(b"out\xe9.png")
    last(iter_stylize(*odd_files, cache=cache, output=out, **FEW))
    about = record.read(out)
    assert about["inputs"]["content"]["name"] == "caf\\xe9content.png"
    assert record.find_input(about, "content", None, [tmp_path]) == str(odd_files[0])


def test_a_record_that_cannot_be_written_costs_no_image(
    tiny_files: Any, cache: TargetCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise UnicodeEncodeError("utf-8", "a", 0, 1, "no such character")

    monkeypatch.setattr(record, "for_file", fail)
    done = last(iter_stylize(*tiny_files, cache=cache, output=tmp_path / "out.png", **FEW))
    assert len(done.notes) == 1
    assert "has no record" in done.notes[0]
    assert images.load(tmp_path / "out.png").pixels.shape == done.pixels.shape


def test_metadata_that_cannot_be_encoded_costs_no_image(
    tiny_files: Any, cache: TargetCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = encode.encode

    def fail(*arguments: Any, **options: Any) -> bytes:
        if options["record"] is not None:
            raise ValueError("too long")
        return whole(*arguments, **options)

    monkeypatch.setattr(encode, "encode", fail)
    done = last(iter_stylize(*tiny_files, cache=cache, output=tmp_path / "out.png", **FEW))
    assert [note for note in done.notes if "has no metadata" in note]
    assert images.load(tmp_path / "out.png").pixels.shape == done.pixels.shape


@pytest.mark.parametrize("in_run_folder", [True, False])
def test_an_image_without_a_place_is_saved_elsewhere(
    in_run_folder: bool, tiny_files: Any, cache: TargetCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    expected = tmp_path / ("run" if in_run_folder else "cache/unsaved")
    out = tmp_path / "out.png"
    options = {**FEW, "checkpoint_dir": tmp_path / "run"} if in_run_folder else FEW
    events = iter_stylize(*tiny_files, cache=cache, output=out, **options)
    next(events)
    out.mkdir()
    with pytest.raises(MachineError, match="cannot be written .*; the image was saved as "):
        list(events)
    (saved,) = expected.glob("out-*.png")
    assert images.load(saved).size == (24, 32)
    assert record.read(saved)["steps"] == 2


def test_an_image_that_fits_nowhere_is_an_error(
    tiny_files: Any, cache: TargetCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise images.ImageError("the disk is full")

    monkeypatch.setattr(result, "save", fail)
    with pytest.raises(images.ImageError, match="the disk is full"):
        last(iter_stylize(*tiny_files, cache=cache, output=tmp_path / "out.png", **FEW))


@pytest.mark.slow
def test_a_report_that_fails_costs_no_image(
    tiny_files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Report, "__call__", fail)
    out = tmp_path / "out.png"
    flags = ["--size=32", "--steps=2", "--scales=1", "--precision=fp32", "--report", str(tmp_path / "report")]
    assert run(["stylize", *map(str, tiny_files), "-o", str(out), *flags]) == 1
    shown = capsys.readouterr()
    assert "No space left on device" in shown.err
    assert shown.out.startswith(f"{out}: ")
    assert images.load(out).size == (24, 32)
