"""The record in an image: everything, nothing of the clock or of paths, and every refusal."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from impasto.errors import RecordError
from impasto.imaging import images
from impasto.options.fields import Options
from impasto.run import record


def picture(**about: Any) -> images.Picture:
    return images.Picture(np.zeros((2, 2, 3), np.float32), **about)


def example(**changes: Any) -> record.Record:
    inputs = {
        "content": picture(name="a.jpg", sha256="aa"),
        "style": picture(name="b.jpg", sha256="bb", crop=(1, 2, 3, 4)),
    }
    made = record.make({**Options().flat(), "init": "/home/me/start.png"}, {"threads": 2}, inputs)
    return {**made, **changes}


def write(path: Path, text: str | None) -> Path:
    return images.save(path, np.zeros((8, 8, 3), np.float32), record=text)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_what_goes_in_comes_out(tmp_path: Path, suffix: str) -> None:
    made = example()
    assert record.read(write(tmp_path / f"out{suffix}", record.text(made))) == made


def test_it_holds_names_and_no_paths() -> None:
    made = example()
    assert made["options"]["init"] == "start.png"
    assert "/home" not in record.text(made)
    assert made["inputs"]["style"] == {"name": "b.jpg", "sha256": "bb", "crop": [1, 2, 3, 4]}


def test_it_is_the_same_text_every_time() -> None:
    assert record.text(example()) == record.text(example())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"contains no Impasto metadata: it was not made by impasto, was saved with --no-metadata, or"),
        ("no json", r"the record in '.*out.png' is damaged: use the original file"),
        ("[1]", "is damaged"),
        ('{"format": 1}', "is damaged"),
        (
            '{"format": 2, "versions": {"impasto": "9.1"}}',
            r"was made by impasto 9.1, which is newer .* --upgrade impasto",
        ),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, text: str | None, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        record.read(write(tmp_path / "out.png", text))


def test_an_option_of_another_version_is_said() -> None:
    made = example()
    made["options"]["sparkle"] = 3
    with pytest.raises(RecordError, match=r"made by impasto .* and cannot be used here: there is no option 'sparkle'"):
        record.options_of(made)


def test_other_versions_are_named() -> None:
    made = example()
    assert record.differences(made) == []
    made["versions"]["torch"] = "1.0"
    assert record.differences(made)[0].startswith("torch was 1.0 and is ")


def test_long_steering_goes_to_a_file_beside(tmp_path: Path) -> None:
    rng = random.Random(5)
    steering = [{"step": step, "values": {"strength": rng.random()}} for step in range(8000)]
    made, path = example(steering=steering), tmp_path / "out.jpg"
    inside, side = record.for_file(made, path)
    assert side is not None
    assert len(inside) < record.LONGEST
    write(path, inside)
    with pytest.raises(RecordError, match=r"'out.jpg.steering.json', the log of live changes of '.*', is missing"):
        record.read(path)
    record.side_file(path).write_bytes(side)
    assert record.read(path) == made
    record.side_file(path).write_bytes(side + b" ")
    with pytest.raises(RecordError, match="is not the log of live changes"):
        record.read(path)


def test_short_steering_stays_inside(tmp_path: Path) -> None:
    assert record.for_file(example(), tmp_path / "out.jpg")[1] is None


@pytest.fixture
def lost(tmp_path: Path) -> tuple[record.Record, Path]:
    """Return a record whose content lies in a folder, and the folder."""
    folder = tmp_path / "there"
    folder.mkdir()
    Image.fromarray(np.full((4, 6, 3), 7, np.uint8)).save(folder / "a.png")
    made = example()
    made["inputs"]["content"] = {"name": "a.png", "sha256": images.load(folder / "a.png").sha256}
    return made, folder


def test_an_input_is_found_where_it_is(lost: tuple[record.Record, Path], tmp_path: Path) -> None:
    made, folder = lost
    assert record.find_input(made, "content", None, [tmp_path, folder]) == str(folder / "a.png")
    assert record.find_input(made, "content", folder / "a.png") == str(folder / "a.png")


def test_a_renamed_input_is_found_by_its_hash(lost: tuple[record.Record, Path]) -> None:
    made, folder = lost
    (folder / "a.png").rename(folder / "z.png")
    (folder / "a.png").write_bytes(b"something else")
    assert record.find_input(made, "content", None, [folder]) == str(folder / "z.png")
    loaded = record.load_input(made, "content", str(folder / "z.png"))
    assert loaded.name == "a.png"


def test_a_crop_is_taken_again(lost: tuple[record.Record, Path]) -> None:
    made, folder = lost
    made["inputs"]["content"]["crop"] = [1, 0, 2, 3]
    place = record.find_input(made, "content", None, [folder])
    assert record.load_input(made, "content", place).size == (3, 2)


def test_a_missing_input_is_said(lost: tuple[record.Record, Path], tmp_path: Path) -> None:
    made, folder = lost
    with pytest.raises(RecordError, match=r"the content 'a.png' \(sha256 [0-9a-f]{12}\) is missing: .* --content FILE"):
        record.find_input(made, "content", None, [tmp_path])
    with pytest.raises(RecordError, match=r"the content '.*b.png' cannot be read: check the name"):
        record.find_input(made, "content", folder / "b.png")
    made["inputs"]["mask sky"] = {"name": "sky.png", "sha256": "00"}
    with pytest.raises(RecordError, match="--input 'mask sky=FILE'"):
        record.find_input(made, "mask sky", None, [folder])


@pytest.mark.parametrize("given", [True, False])
def test_a_changed_input_is_said(lost: tuple[record.Record, Path], given: bool) -> None:
    made, folder = lost
    Image.fromarray(np.full((4, 6, 3), 8, np.uint8)).save(folder / "a.png")
    with pytest.raises(RecordError, match=r"the content 'a.png' has changed: the run read sha256 [0-9a-f]{12} and "):
        record.find_input(made, "content", folder / "a.png" if given else None, [folder])


def test_the_record_is_json() -> None:
    assert json.loads(record.text(example())) == example()


def test_a_side_file_of_a_replaced_image_is_removed(tmp_path: Path) -> None:
    beside = record.side_file(tmp_path / "out.png")
    beside.write_bytes(b'{"steering": []}')
    record.remove_side_file(tmp_path / "out.png")
    assert not beside.exists()
    beside.write_bytes(b"notes of a person")
    record.remove_side_file(tmp_path / "out.png")
    assert beside.exists()
