"""The flags for regions, labels and protection, and a one-line error for each invalid use."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from impasto.cli import run
from impasto.cli.masks import Masks
from impasto.imaging.images import read_record

QUICK = "--size 48 --steps 2 --scales 1 --style-layers relu1_1 --content-layers relu2_1 -q"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("photo", "a", "b"):
        Image.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8)).save(f"{name}.png")
    half = np.zeros((40, 60), np.uint8)
    half[:, :30] = 255
    Image.fromarray(half).convert("1").save("half.png")
    Image.fromarray(255 - half).save("other.png")
    Image.fromarray(0 * half).save("none.png")
    Image.fromarray(half[:, :40]).save("square.png")
    labels = np.zeros((40, 60, 3), np.uint8)
    labels[:, 30:] = [255, 0, 0]
    Image.fromarray(labels).save("labels.png")
    Image.fromarray(0 * labels).save("black.png")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "a.png b.png --style-blend 0.7,0.3 --style-scales 1,0.5",
        "--region half.png=a.png,strength=0.8 --region other.png=b.png@half.png,color=content,scale=0.5,rotate=45",
        "b.png --region half.png=a.png",
        "a.png --labels labels.png labels.png",
        "a.png --protect half.png --protect-strength 0.5",
        "a.png --style-only half.png",
        "a.png --color palette --saturation 1.5",
        "a.png --seamless --rotate-style 30",
    ],
)
def test_valid_region_flags(folder: Path, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(shlex.split(f"stylize photo.png {words} -o out.png {QUICK}")) == 0, capsys.readouterr().err
    assert Path("out.png").exists()
    assert read_record("out.png") is not None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "no style: pass a painting, or regions with --region MASK=PAINTING"),
        ("--region square.png=a.png", "the mask of region square is 40x40 px and its image 60x40"),
        ("--region none.png=a.png", "the mask of region none is zero everywhere"),
        ("--region half.png", "region 'half.png' cannot be parsed"),
        ("a.png --labels labels.png black.png", "label #ff0000 of the content (50.0% of it) has no match"),
        ("a.png b.png --style-blend 0,0", "style_blend is '0,0'; at least one number must be above 0"),
        ("a.png b.png --style-blend 1", "style_blend has 1 numbers for 2 styles"),
        ("a.png --protect square.png", "the mask of --protect is 40x40 px"),
        ("a.png --seamless --tile 64", "seamless needs the whole image in one piece"),
        ("a.png --color blue", "blue"),
        ("a.png --faces hide", "--faces is 'hide'; choose from: keep, paint, recognizable"),
        ("a.png --faces keep --protect half.png", "--faces keep and --protect are both given"),
        ("a.png b.png --faces recognizable", "--faces recognizable needs one painting"),
        ("a.png --faces recognizable --pair auto", "--faces recognizable needs one painting"),
        ("a.png --pair sky", "--pair is 'sky'; it must be auto"),
        ("a.png --pair auto --labels labels.png labels.png", "--labels and --pair are both given"),
        ("a.png b.png --pair auto", "labels divide a single style"),
        ("a.png --select 0.4", "--select is '0.4'; write points as 0.42,0.31 or"),
        ("a.png --select 0.4,7", "the point 0.4,7 is outside the image"),
        ("a.png --select 0.4,0.7 --style-only sky", "--style-only and --select are both given"),
        (" ".join(f"--region half.png=a.png,strength={k / 50}" for k in range(50)), "50 regions with different styles"),
    ],
)
def test_invalid_region_flags(folder: Path, words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(shlex.split(f"stylize photo.png {words} {QUICK}")) == 2
    told = capsys.readouterr().err.strip()
    assert message in told
    assert "Traceback" not in told
    assert len([line for line in told.splitlines() if line.startswith("impasto:")]) == 1


def test_ways_to_paint_faces() -> None:
    def found(mode: str | None) -> dict[str, Any]:
        return Masks(faces=mode).inputs(["sky=b.png"], None, ["a.png"])

    plain = {"regions": ["sky=b.png"], "labels": None, "protect": None, "style_only": None}
    assert found(None) == found("paint") == plain
    assert found("keep") == {**plain, "protect": "faces"}
    (first, face, features) = found("recognizable")["regions"]
    assert first == "sky=b.png"
    assert face.startswith("faces=a.png,scale=")
    assert features.startswith("facial-features=a.png,scale=")
