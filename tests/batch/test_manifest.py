"""Manifests: rows become jobs, and all wrong rows are listed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batch_pictures import write_picture
from impasto.batch.job import Job
from impasto.batch.manifest import Defaults, read_manifest
from impasto.batch.naming import Namer
from impasto.errors import InputError

PLAIN = Defaults((), {})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "s.png", "t.png"):
        write_picture(tmp_path / name)
    return tmp_path


def read(path: Path, text: str, defaults: Defaults = PLAIN) -> list[Job]:
    path.write_text(text, encoding="utf-8")
    return read_manifest(path, defaults, Namer())


def test_csv_cells_have_the_types_of_their_options(folder: Path) -> None:
    text = "content,style,strength,steps,seamless,output\na.png,s.png,0.7,12,true,x/one.png\nb.png,s.png;t.png,,,,\n"
    one, two = read(folder / "jobs.csv", text)
    style = str(folder / "s.png")
    assert one == Job(str(folder / "a.png"), (style,), "x/one.png", {"strength": 0.7, "steps": "12", "seamless": True})
    assert two == Job(str(folder / "b.png"), (style, str(folder / "t.png")), "b_s+t.png")


def test_json_rows_and_options_with_dashes(folder: Path) -> None:
    rows = [{"content": "a.png", "style": ["s.png"], "style-scale": 0.5, "reason": "ignored", "size": None}]
    (job,) = read(folder / "jobs.jsonl", "\n".join(map(json.dumps, rows)))
    assert job.options == {"style_scale": 0.5}


def test_rows_without_a_style_take_each_of_the_command_line(folder: Path) -> None:
    defaults = Defaults(("s.png", "t.png"), {"size": "64", "seed": 1}, "faces")
    jobs = read(folder / "jobs.csv", "content,seed\na.png,5\n", defaults)
    assert [job.styles for job in jobs] == [("s.png",), ("t.png",)]
    assert [job.options for job in jobs] == [{"size": "64", "seed": 5}] * 2
    assert jobs[0].protect == "faces"


def test_all_bad_rows_are_listed(folder: Path) -> None:
    rows = [
        {"content": "a.png", "style": "s.png"},
        {"content": "gone.png", "style": "s.png"},
        {"content": "a.png", "style": "s.png", "strenght": 1},
        {"style": "s.png"},
        {"content": "a.png", "style": "s.png", "strength": 7},
        {"content": "a.png", "style": "s.png", "output": "../x.png"},
        {"content": "a.png"},
        {"content": "a.png", "style": "s.png", "steps": "many"},
    ]
    text = "\n".join(map(json.dumps, rows)) + "\n{broken\n[1]\n"
    with pytest.raises(InputError, match="9 bad rows") as caught:
        read(folder / "jobs.jsonl", text)
    message = str(caught.value)
    for number, part in (
        (2, "gone.png"),
        (3, "did you mean 'strength'"),
        (4, "no content"),
        (5, "strength is 7"),
        (6, "inside the output folder"),
        (7, "no painting"),
        (8, "steps is 'many'"),
        (9, "not JSON"),
        (10, "not a JSON object"),
    ):
        assert f"row {number}: " in message
        assert part in message.split(f"row {number}: ")[1].split("; row", maxsplit=1)[0]


def test_one_output_in_two_rows_is_refused(folder: Path) -> None:
    text = "content,style,output\na.png,s.png,x.png\nb.png,s.png,X.png\n"
    with pytest.raises(InputError, match="row 3: the output 'X.png' is the name of a different image"):
        read(folder / "jobs.csv", text)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("jobs.txt", "x", "must be a .csv or .jsonl file"),
        ("jobs.csv", "", "has no rows"),
        ("jobs.csv", "content\na.png,s.png\n", "more cells than the header"),
        (
            "jobs.csv",
            "content,style,seamless\na.png,s.png,perhaps\n",
            "seamless is 'perhaps'; it must be true or false",
        ),
        ("jobs.csv", "content,style,seed\na.png,s.png,x\n", "seed is 'x'; it must be a whole number"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused(folder: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(folder / name, text)


def test_a_missing_manifest_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_manifest(folder / "gone.csv", PLAIN, Namer())
