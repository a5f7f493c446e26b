"""From arguments to jobs, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batch_pictures import write_picture
from impasto.batch.build import Request, jobs_of
from impasto.errors import InputError
from impasto.imaging import images


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("photos/a.png", "photos/trip/b.png", "s.png", "art/t.png", "art/u.png"):
        write_picture(Path(name))
    return tmp_path


def outputs(photos: list[str], styles: list[str], **settings: Any) -> list[str]:
    return [job.output for job in jobs_of(Request(photos, styles, Path("out"), **settings))]


def test_every_photograph_is_painted_in_every_style() -> None:
    assert outputs(["photos"], ["s.png", "art"]) == [
        *("a_s.png", "trip/b_s.png", "a_t.png", "trip/b_t.png", "a_u.png", "trip/b_u.png")
    ]


def test_pairs() -> None:
    assert outputs(["photos"], ["art/*.png"], pairs=True, extension="jpg") == ["a_t.jpg", "trip/b_u.jpg"]


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("s.png,scale=0.5", "{folder}/s.png,scale=0.5"),
        ("s.png@art/t.png", "{folder}/s.png@{folder}/art/t.png"),
        ("s.png@sky,scale=0.5", "{folder}/s.png@sky,scale=0.5"),
    ],
)
def test_masks_and_settings_of_a_style_stay(style: str, expected: str, folder: Path) -> None:
    (job,) = jobs_of(Request(["photos/a.png"], [style], Path("out")))
    assert job.styles == (expected.format(folder=folder),)
    assert job.output == "a_s.png"


def test_own_results_in_the_folder_of_the_photographs_are_not_painted() -> None:
    images.save("photos/a_s.png", np.zeros((8, 8, 3), np.uint8), record='{"format": 1, "versions": {"impasto": "1"}}')
    jobs = jobs_of(Request(["photos"], ["s.png"], Path("photos")))
    assert [job.output for job in jobs] == ["a_s.png", "trip/b_s.png"]


def test_a_result_does_not_replace_a_photograph() -> None:
    jobs = jobs_of(Request(["photos"], ["s.png"], Path("photos"), template="{content}.{ext}"))
    assert [job.output for job in jobs] == ["a-png.png", "trip/b-png.png"]


@pytest.mark.parametrize(
    ("photos", "styles", "settings", "message"),
    [
        ([], ["s.png"], {}, "pass photographs, or --manifest"),
        (["photos"], [], {}, "has no painting: pass one with --style"),
        (["photos"], ["gone.png"], {}, "'gone.png' does not exist"),
        (["photos"], ["s.png"], {"pairs": True}, "there are 2 photographs and 1 styles"),
        (["photos"], ["s.png"], {"extension": "xyz"}, "unknown suffix '.xyz'"),
        (["photos"], ["s.png"], {"template": "{nothing}.png"}, "has no field 'nothing'"),
        (["photos"], ["s.png"], {"options": {"strength": 7.0}}, "strength is 7"),
        (["photos"], ["s.png"], {"manifest": Path("jobs.csv")}, "pass photographs, or --manifest"),
        ([], ["s.png"], {"manifest": Path("jobs.csv"), "pairs": True}, "omit it with --manifest"),
    ],
)
def test_what_cannot_be_painted_is_refused(
    photos: list[str], styles: list[str], settings: dict[str, Any], message: str, folder: Path
) -> None:
    with pytest.raises(InputError, match=message):
        outputs(photos, styles, **settings)
    assert not (folder / "out").exists()


def test_an_output_that_is_a_file_is_refused() -> None:
    Path("out").write_text("x")
    with pytest.raises(InputError, match="--output 'out' is a file: choose a folder"):
        outputs(["photos"], ["s.png"])
