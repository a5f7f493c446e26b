"""Existing files are found by their whole names, whatever signs these contain."""

from __future__ import annotations

from pathlib import Path

import pytest

from impasto.regions.spec_text import split_region, split_text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with files of odd names."""
    monkeypatch.chdir(tmp_path)
    for name in ("sky=blue.png", "sky.png", "a=b.jpg", "a@2x.jpg", "m@2.png", "a,scale=2.jpg", "a#1.jpg", "a.jpg"):
        Path(name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "mask", "style"),
    [
        ("sky=blue.png=painting.jpg", "sky=blue.png", "painting.jpg"),
        ("sky=blue.png=a=b.jpg,strength=0.5", "sky=blue.png", "a=b.jpg,strength=0.5"),
        ("sky.png=a=b.jpg,strength=0.5", "sky.png", "a=b.jpg,strength=0.5"),
        ("sky=a=b.jpg", "sky", "a=b.jpg"),
        ("none.png=a.jpg", "none.png", "a.jpg"),
    ],
)
def test_a_region_is_split_behind_an_existing_mask(folder: Path, text: str, mask: str, style: str) -> None:
    assert split_region(text) == (mask, "=", style)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@2x.jpg", {"style": "a@2x.jpg"}),
        ("a@2x.jpg#0,0,8,8", {"style": "a@2x.jpg#0,0,8,8"}),
        ("a@2x.jpg@m@2.png", {"style": "a@2x.jpg", "style_mask": "m@2.png"}),
        ("a@2x.jpg@m@2.png,scale=0.5", {"style": "a@2x.jpg", "style_mask": "m@2.png", "scale": "0.5"}),
        ("a,scale=2.jpg", {"style": "a,scale=2.jpg"}),
        ("a,scale=2.jpg@sky.png", {"style": "a,scale=2.jpg", "style_mask": "sky.png"}),
        ("a,scale=2.jpg,scale=0.5", {"style": "a,scale=2.jpg", "scale": "0.5"}),
        ("a#1.jpg#0,0,8,8,scale=0.5", {"style": "a#1.jpg#0,0,8,8", "scale": "0.5"}),
        ("a.jpg#0,0,8,8@sky.png", {"style": "a.jpg#0,0,8,8", "style_mask": "sky.png"}),
        ("a=b.jpg,rotate=10", {"style": "a=b.jpg", "rotate": "10"}),
    ],
)
def test_a_style_is_split_behind_an_existing_file(folder: Path, text: str, expected: dict[str, str]) -> None:
    assert split_text(text) == expected
