"""Which files a batch finds, and in which order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from batch_pictures import write_picture
from impasto.batch.photos import Photo, find_photos, is_pattern, natural
from impasto.errors import InputError
from impasto.imaging import images


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("photos/frame10.png", "photos/frame2.png", "photos/trip/day1/lake.png", "photos/.hidden/x.png"):
        write_picture(Path(name))
    for name in ("photos/.DS_Store", "photos/._frame2.png", "photos/Thumbs.db", "photos/notes.txt"):
        Path(name).write_text("x")
    return tmp_path


def test_a_folder_is_searched_in_natural_order(folder: Path) -> None:
    assert find_photos(["photos"], Path("out")) == [
        Photo("photos/frame2.png"),
        Photo("photos/frame10.png"),
        Photo("photos/trip/day1/lake.png", "trip/day1"),
    ]


def test_natural_order_compares_numbers() -> None:
    assert sorted(["b", "a10", "A2", "a", "10", "9"], key=natural) == ["9", "10", "a", "A2", "a10", "b"]


def test_a_glob_keeps_the_tree_below_its_first_wildcard(folder: Path) -> None:
    found = find_photos(["photos/**/*.png"], Path("out"))
    assert Photo("photos/trip/day1/lake.png", "trip/day1") in found
    assert len(found) == 3


def test_a_file_with_wildcards_in_its_name_is_a_file(folder: Path) -> None:
    write_picture(Path("a[1].png"))
    assert not is_pattern("a[1].png")
    assert find_photos(["a[1].png"], Path("out")) == [Photo("a[1].png")]


def test_a_photograph_is_found_once(folder: Path) -> None:
    assert len(find_photos(["photos/frame2.png", "photos", "./photos/frame*.png"], Path("out"))) == 3


def test_a_crop_is_a_photograph_of_its_own(folder: Path) -> None:
    assert len(find_photos(["photos/frame2.png", "photos/frame2.png#0,0,20,20"], Path("out"))) == 2


def test_paths_are_read_from_standard_input(folder: Path) -> None:
    assert find_photos(["-"], Path("out"), lines=["photos/frame2.png\n", "\n"]) == [Photo("photos/frame2.png")]


def test_the_output_folder_is_passed_over(folder: Path) -> None:
    write_picture(Path("photos/out/frame2_waves.png"))
    assert len(find_photos(["photos"], Path("photos/out"))) == 3


def test_own_results_are_passed_over_where_input_and_output_are_one_folder(folder: Path) -> None:
    images.save("photos/own.png", np.zeros((8, 8, 3), np.uint8), record='{"format": 1, "versions": {"impasto": "1"}}')
    write_picture(Path("photos/no_record.png"))
    found = find_photos(["photos"], Path("photos"), known={"no_record.png"})
    assert [photo.path for photo in found if "/" not in photo.tree] == ["photos/frame2.png", "photos/frame10.png"]


def test_a_result_in_a_different_folder_is_a_photograph(folder: Path) -> None:
    images.save("photos/own.png", np.zeros((8, 8, 3), np.uint8), record='{"format": 1, "versions": {"impasto": "1"}}')
    assert len(find_photos(["photos"], Path("out"))) == 4


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("empty", "the folder 'empty' has no photographs"),
        ("photos/*.jpg", "nothing matches 'photos/\\*.jpg'"),
        ("photos/gone.png", "'photos/gone.png' does not exist"),
        ("-", "no paths on standard input"),
    ],
)
def test_nothing_found_is_refused(folder: Path, argument: str, message: str) -> None:
    Path("empty").mkdir()
    with pytest.raises(InputError, match=message):
        find_photos([argument], Path("out"))


def test_all_missing_files_of_standard_input_are_named(folder: Path) -> None:
    with pytest.raises(InputError, match=r"2 files on standard input do not exist: 'a.png', 'b.png'"):
        find_photos(["-"], Path("out"), lines=["a.png", "photos/frame2.png", "b.png"])
