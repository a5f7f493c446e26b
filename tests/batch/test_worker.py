"""The painter of a worker: warm, and with the bytes of a single run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from impasto.batch.executor import Task, failure
from impasto.batch.worker import WarmPainter
from impasto.errors import ImageError, WeightsError
from impasto.files import file_sha256
from impasto.options import recipes
from impasto.run.target_cache import TargetCache
from random_weights import state_before
from runs import stylize

TINY = {"style_layers": "relu1_1", "content_layers": "relu1_2", "steps": 2, "scales": 1, "size": "32", "threads": 1}


def test_a_second_image_has_the_bytes_of_a_single_run(
    tmp_path: Path, tiny_files: tuple[Path, Path], tiny_picture: NDArray[np.uint8]
) -> None:
    _, style = tiny_files
    Image.fromarray(tiny_picture[::-1].copy()).save(tmp_path / "second.png")
    painter, shares = WarmPainter(TargetCache(state_before("conv2"))), []
    for name in ("content", "second"):
        task = Task(0, str(tmp_path / f"{name}.png"), (str(style),), str(tmp_path / f"{name}_out.png"), _flat())
        digest = painter(task, shares.append)
        assert digest == file_sha256(tmp_path / f"{name}_out.png")
    cache = TargetCache(state_before("conv2"))
    stylize(str(tmp_path / "second.png"), [str(style)], output=tmp_path / "single.png", cache=cache, **TINY)
    assert (tmp_path / "single.png").read_bytes() == (tmp_path / "second_out.png").read_bytes()
    assert shares == [0.5, 1.0, 0.5, 1.0]


def test_only_the_masked_area_is_painted(
    tmp_path: Path, tiny_files: tuple[Path, Path], tiny_picture: NDArray[np.uint8]
) -> None:
    content, style = tiny_files
    half = np.zeros(tiny_picture.shape[:2], np.uint8)
    half[:, : half.shape[1] // 2] = 255
    Image.fromarray(half).save(tmp_path / "half.png")
    masks = {"style_only": str(tmp_path / "half.png")}
    task = Task(0, str(content), (str(style),), str(tmp_path / "out.png"), _flat(), **masks)
    WarmPainter(TargetCache(state_before("conv2")))(task, lambda _: None)
    cache = TargetCache(state_before("conv2"))
    stylize(str(content), [str(style)], output=tmp_path / "single.png", cache=cache, **masks, **TINY)
    assert (tmp_path / "single.png").read_bytes() == (tmp_path / "out.png").read_bytes()


def test_the_network_and_the_painting_are_loaded_once(
    tmp_path: Path, tiny_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from impasto import api
    from impasto.run import target_cache

    content, style = tiny_files
    parsed, loaded = [], []
    parse = api.parse_regions
    monkeypatch.setattr(api, "parse_regions", lambda *a, **k: parsed.append(1) or parse(*a, **k))
    state = state_before("conv2")
    monkeypatch.setattr(target_cache, "vgg19_state", lambda path: loaded.append(1) or state)
    painter = WarmPainter()
    for number in range(3):
        painter(Task(number, str(content), (str(style),), str(tmp_path / f"{number}.png"), _flat()), lambda _: None)
    assert (len(parsed), len(loaded)) == (1, 1)


def test_reports_of_failures_are_one_line() -> None:
    assert failure(1, "w", ImageError("a\nb")).reason == "a b"
    assert failure(1, "w", WeightsError("none")).kind == "weights"
    assert failure(1, "w", FileNotFoundError(2, "No such file", "x.png")).reason == "No such file: x.png"
    bug = failure(1, "w", KeyError("x"))
    assert (bug.kind, bug.reason) == ("bug", "unexpected KeyError: 'x'")
    assert "KeyError" in bug.details


def _flat() -> dict[str, object]:
    return recipes.resolve(**TINY).flat()
