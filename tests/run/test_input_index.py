"""The index of input files: private, bounded, optional; and the records' relative paths."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pytest

from impasto.files import file_sha256
from impasto.imaging import images
from impasto.run import input_index, record


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty cache with the index switched on, and return its folder."""
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("IMPASTO_NO_INDEX", raising=False)
    return tmp_path / "cache"


def written(path: Path, value: float = 0.5) -> images.Picture:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.save(path, np.full((8, 8, 3), value, np.float32))
    return images.load(path)


def described(picture: images.Picture, output: Path) -> record.Record:
    return record.make({}, {}, {"content": picture}, output=output)


def test_a_moved_and_renamed_input_is_found(tmp_path: Path) -> None:
    picture = written(tmp_path / "photos" / "a.png")
    about = described(picture, tmp_path / "out.png")
    moved = tmp_path / "far" / "away" / "b.png"
    moved.parent.mkdir(parents=True)
    (tmp_path / "photos" / "a.png").rename(moved)
    input_index.remember({"content": images.load(moved)})
    assert record.find_input(about, "content") == str(moved)


def test_a_file_that_changed_is_not_found(tmp_path: Path) -> None:
    picture = written(tmp_path / "a.png")
    input_index.remember({"content": picture})
    written(tmp_path / "a.png", 0.1)
    assert input_index.paths_of(picture.sha256) == [tmp_path / "a.png"]
    with pytest.raises(record.RecordError, match=r"has changed"):
        record.find_input(described(picture, tmp_path / "out.png"), "content")


def test_it_is_private(cache: Path, tmp_path: Path) -> None:
    input_index.remember({"content": written(tmp_path / "a.png")})
    assert stat.S_IMODE(input_index.index_file().stat().st_mode) == 0o600
    assert stat.S_IMODE(input_index.index_file().parent.stat().st_mode) == 0o700
    assert cache in input_index.index_file().parents


def test_it_is_bounded_and_keeps_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_index, "MAX_FILES", 3)
    pictures = [written(tmp_path / f"{number}.png", number / 10) for number in range(5)]
    for picture in [*pictures, pictures[2]]:
        input_index.remember({"content": picture})
    names = [Path(path).name for path, _ in json.loads(input_index.index_file().read_bytes())["files"]]
    assert names == ["3.png", "4.png", "2.png"]


def test_it_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = written(tmp_path / "photos" / "a.png")
    input_index.remember({"content": picture})
    monkeypatch.setenv("IMPASTO_NO_INDEX", "1")
    assert input_index.paths_of(picture.sha256) == []
    assert "path" not in described(picture, tmp_path / "out.png")["inputs"]["content"]
    other = written(tmp_path / "b.png", 0.1)
    input_index.remember({"content": other})
    assert "b.png" not in input_index.index_file().read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"files": [1]}', "\x00"])
def test_a_damaged_index_is_replaced(text: str, tmp_path: Path) -> None:
    input_index.index_file().parent.mkdir(parents=True)
    input_index.index_file().write_text(text, encoding="utf-8")
    picture = written(tmp_path / "a.png")
    assert input_index.paths_of(picture.sha256) == []
    input_index.remember({"content": picture})
    assert input_index.paths_of(file_sha256(tmp_path / "a.png")) == [tmp_path / "a.png"]


def test_a_cache_that_cannot_be_written_is_ignored(cache: Path, tmp_path: Path) -> None:
    cache.write_bytes(b"a file in its place")
    input_index.remember({"content": written(tmp_path / "a.png")})


@pytest.mark.parametrize(
    ("source", "recorded"),
    [
        ("work/a.png", ""),
        ("photos/a.png", "../photos/a.png"),
        ("work/sub/a.png", "sub/a.png"),
        ("a.png", "../a.png"),
    ],
)
def test_the_record_has_the_relative_path(source: str, recorded: str, tmp_path: Path) -> None:
    picture = written(tmp_path / source)
    about = described(picture, tmp_path / "work" / "out.png")
    assert about["inputs"]["content"].get("path", "") == recorded
    assert str(tmp_path) not in record.text(about)
    again = record.load_input({**about, "options": {}}, "content", str(tmp_path / source))
    assert described(again, tmp_path / "elsewhere" / "out.png")["inputs"] == about["inputs"]


def test_a_far_path_is_not_recorded(tmp_path: Path) -> None:
    picture = written(tmp_path / "private" / "a.png")
    assert "path" not in described(picture, tmp_path / "x" / "y" / "z" / "out.png")["inputs"]["content"]


def test_an_input_is_found_relative_to_a_moved_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = written(tmp_path / "project" / "photos" / "a.png")
    about = described(picture, tmp_path / "project" / "work" / "out.png")
    (tmp_path / "project" / "work").mkdir()
    (tmp_path / "project").rename(tmp_path / "archive")
    found = record.find_input(about, "content", None, (tmp_path / "archive" / "work", tmp_path))
    assert Path(found).resolve() == tmp_path / "archive" / "photos" / "a.png"
