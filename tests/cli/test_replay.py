"""The commands inspect, replay, resume, explore, evaluate and reconstruct, timelapses and reports."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import required
from impasto.cli import run
from impasto.imaging import images
from impasto.run import record

Capture = pytest.CaptureFixture[str]
QUICK = ["--size=48", "--steps=3", "--scales=1", "--style-layers=relu1_1", "--content-layers=relu1_2", "--quiet"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_picture: Any, tiny_style: Any) -> Path:
    """Work in a folder with a content and a style image, and return it."""
    monkeypatch.setenv("IMPASTO_CONFIG", str(tmp_path / "settings"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    Image.fromarray(tiny_picture).save("photo.png")
    Image.fromarray(tiny_style).save("painting.png")
    return tmp_path


def painted(*more: str, name: str = "out.png") -> Path:
    assert run(["stylize", "photo.png", "painting.png", "-o", name, *QUICK, *more]) == 0
    return Path(name)


def refused(capsys: Capture, *arguments: str) -> str:
    """Run a command that must be refused and return the one line that says why."""
    capsys.readouterr()
    assert run([*arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1, told.err
    return told.err


@pytest.mark.slow
def test_inspect_and_replay(capsys: Capture) -> None:
    out = painted("--strength=0.7", "--timelapse=film.mp4", "--report=page", "--run-dir=kept")
    assert Path("film.mp4").stat().st_size > 500
    assert Path("page/index.html").stat().st_size > 5000
    capsys.readouterr()
    assert run(["inspect", str(out)]) == 0
    told = capsys.readouterr().out
    assert told.startswith("image:     photo.png in the style of painting.png\nsize:      48x36 px\nstrength:  0.7\n")
    assert "strength 0.7 (default: 0.5)" in told
    assert "repeat:    impasto replay out.png\ncommand:   impasto stylize photo.png painting.png " in told
    assert record.read(out)["inputs"]["content"]["sha256"] in told
    assert "steps:     ran 3" in told
    assert run(["inspect", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == record.read(out)
    assert run(["replay", str(out), "--quiet"]) == 0
    assert Path("out-again.png").read_bytes() == out.read_bytes()
    assert "out-again.png: photo.png in the style of painting.png, 48x36 px, 3 steps in " in capsys.readouterr().out
    before = out.read_bytes()
    assert run(["resume", "kept", "--quiet"]) == 0
    assert out.read_bytes() == before


@pytest.mark.slow
def test_replay_larger_with_checkpoints(capsys: Capture) -> None:
    painted("--size=64")
    assert run(["replay", "out.png", "--size=96", "-o", "large.png", "--run-dir=kept", "-q"]) == 0
    before = Path("large.png").read_bytes()
    assert run(["resume", "kept", "-q"]) == 0
    assert Path("large.png").read_bytes() == before
    told = refused(capsys, "replay", "out.png", "-o", "again.png", "--run-dir=kept", "-q")
    assert "--run-dir kept already contains a run" in told


@pytest.mark.slow
def test_replay_with_more_steps(capsys: Capture) -> None:
    painted()
    assert run(["replay", "out.png", "--more-steps=2", "-o", "more.png", "--seed=4", "-q", "--report=page"]) == 0
    capsys.readouterr()
    assert run(["inspect", "more.png"]) == 0
    told = capsys.readouterr().out
    assert "parent 1: impasto stylize photo.png painting.png" in told
    assert "--seed 4" in told
    assert Path("page/index.html").exists()


@pytest.mark.slow
def test_inspect_shows_steering(capsys: Capture) -> None:
    about = {
        **record.read(painted()),
        "steering": [{"step": 2, "values": {"strength": 0.9}}, {"step": 3, "command": "stop"}],
    }
    images.save("steered.png", np.zeros((36, 48, 3), np.float32), record=record.text(about | {"stopped": True}))
    capsys.readouterr()
    assert run(["inspect", "steered.png"]) == 0
    told = capsys.readouterr().out
    assert "  step 2: strength 0.9\n  step 3: stop\n" in told
    assert "stopped after 3" in told


@pytest.mark.slow
def test_moved_inputs_are_found_by_the_index(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.delenv("IMPASTO_NO_INDEX")
    monkeypatch.setenv("IMPASTO_CACHE", str(folder / "cache"))
    Path("a/photos").mkdir(parents=True)
    Path("photo.png").rename("a/photos/C4.png")
    Path("my work").mkdir()
    monkeypatch.chdir("my work")
    Path("../painting.png").rename("painting.png")
    words = ["../a/photos/C4.png", "painting.png", *QUICK, "--axis", "strength=0.2,0.8", "-o", "my sheet"]
    assert run(["explore", *words]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("render one at full size: impasto replay 'my sheet/sheet.json' --cell 1,1")
    command = shlex.split(line.partition(": impasto ")[2])
    assert run([*command, "--size", "64", "-q"]) == 0
    assert run(["stylize", "../a/photos/C4.png", "painting.png", "-o", "out.png", *QUICK, "--run-dir", "kept"]) == 0
    before = Path("out.png").read_bytes()
    Path("../b").mkdir()
    Path("../a/photos/C4.png").rename("../b/renamed.png")
    assert run(["stylize", "../b/renamed.png", "painting.png", "-o", "other.png", *QUICK, "--seed=3"]) == 0
    assert run(["replay", "out.png", "-q"]) == 0
    assert Path("out-again.png").read_bytes() == before
    assert run(["resume", "kept", "-q"]) == 0
    assert Path("out.png").read_bytes() == before
    assert "the content 'C4.png'" in refused(capsys, "replay", "out.png", "-q", "--no-index", "-o", "third.png")


@pytest.mark.slow
def test_replay_with_changes_differs_and_says_so(capsys: Capture) -> None:
    out = painted("--strength=0.3")
    capsys.readouterr()
    assert run(["replay", "out.png", "--strength=0.8", "--steps=2", "-q", "-o", "stronger.png"]) == 0
    told = capsys.readouterr().err
    assert "note: the result will differ from the original: strength 0.8 (was 0.3), steps 2 (was 3)" in told
    changed, before = record.read("stronger.png"), record.read(out)
    different = {"strength": 0.8, "steps": 2}
    assert changed["options"] == before["options"] | different
    assert changed["inputs"] == before["inputs"]
    assert run(["replay", "stronger.png", "-q"]) == 0
    assert "will differ" not in capsys.readouterr().err
    assert Path("stronger-again.png").read_bytes() == Path("stronger.png").read_bytes()


@pytest.mark.slow
def test_the_look_of_an_image_for_a_different_photograph(capsys: Capture) -> None:
    painted("--style-scale=0.5", "--color=match", "--strength=0.3")
    Image.new("RGB", (64, 64), (90, 160, 40)).save("other.png")
    assert run(["stylize", "other.png", "--like", "out.png", "--strength", "0.8", "-o", "alike.png", "-q"]) == 0
    alike, before = record.read("alike.png"), record.read("out.png")
    assert alike["options"] == before["options"] | {"strength": 0.8}
    assert alike["inputs"]["content"]["name"] == "other.png"
    assert alike["inputs"]["style"] == before["inputs"]["style"]
    assert run(["stylize", "other.png", "photo.png", "--like", "out.png", "-o", "own.png", "-q"]) == 0
    assert record.read("own.png")["inputs"]["style"]["name"] == "photo.png"
    assert "contains no Impasto metadata" in refused(capsys, "stylize", "other.png", "--like", "photo.png")


@pytest.mark.slow
def test_a_side_file_follows_its_image() -> None:
    out = painted()
    record.side_file(out).write_bytes(b'{"steering": []}')
    painted("--no-metadata")
    assert not record.side_file(out).exists()


@pytest.mark.slow
def test_inputs_that_moved_are_found(capsys: Capture, folder: Path) -> None:
    painted()
    Path("elsewhere").mkdir()
    Path("photo.png").rename("elsewhere/photo.png")
    assert "the content 'photo.png'" in refused(capsys, "replay", "out.png", "-q")
    assert run(["replay", "out.png", "-q", "--content", "elsewhere/photo.png"]) == 0
    assert run(["replay", "out.png", "-q", "--input", "content=elsewhere/photo.png", "-o", "b.png"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "photo.png"], "'photo.png' contains no Impasto metadata"),
        (["inspect", "none.png"], "'none.png' does not exist"),
        (["replay", "photo.png"], "'photo.png' contains no Impasto metadata"),
        (["replay", "none.json", "--cell", "1,1"], "'none.json' cannot be read"),
        (["replay", "out.png", "--cell", "2"], "--cell is '2'; write row,column, counted from 1, such as 2,3"),
        (["replay", "out.png", "--cell", "1,1"], "--cell is for the JSON file of a contact sheet"),
        (["replay", "out.png", "-o", "out.png"], "'out.png' is the image itself: choose a different file with -o"),
        (["replay", "out.png", "--input", "sky"], "--input 'sky': write ROLE=FILE, such as 'mask sky=sky.png'"),
        (["replay", "out.png", "--timelapse", "a.avi"], "--timelapse 'a.avi': "),
        (
            ["replay", "out.png", "--size", "64", "--more-steps", "2", "-q"],
            "--size and --more-steps cannot be combined",
        ),
        (["replay", "out.png", "--content", "painting.png", "-q"], "the content 'photo.png' has changed: the run read"),
        (["resume", "settings"], "'settings' contains no run: use the folder that was passed as --run-dir"),
        (["explore", "photo.png", "painting.png"], "0 axes "),
        (["explore", "photo.png", "painting.png", "--axis", "sparkle=1"], "there is no option 'sparkle'"),
        (
            ["explore", "photo.png", "painting.png", "--axis", f"seed={','.join(map(str, range(200)))}"],
            "200 cells; --yes",
        ),
        (["explore", "none.png", "painting.png", "--axis", "seed=1,2", "-q"], "'none.png' does not exist"),
        (["reconstruct", "none.png", "-q"], "'none.png' does not exist"),
        (["reconstruct", "photo.png", "--content-from", "relu7_1"], "content_from: vgg19 has no layer 'relu7_1'"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_invalid_use_is_one_line(capsys: Capture, arguments: list[str], message: str) -> None:
    if "out.png" in arguments:
        painted()
    assert message in refused(capsys, *arguments)


@pytest.mark.slow
def test_a_run_is_not_overwritten(capsys: Capture) -> None:
    painted("--run-dir=kept")
    told = refused(capsys, "stylize", "photo.png", "painting.png", *QUICK, "--run-dir=kept")
    assert "--run-dir kept already contains a run: impasto resume kept, or choose a different folder" in told


@pytest.mark.slow
def test_contact_sheet_and_a_larger_cell(capsys: Capture) -> None:
    sheet = ["explore", "photo.png", "painting.png", *QUICK, "-o", "sheet", "--axis", "strength=0.2,0.8"]
    assert run(sheet) == 0
    told = capsys.readouterr().out
    assert "sheet/sheet.png: 2 cells in " in told
    assert "impasto replay sheet/sheet.json --cell 1,1 --size 1024" in told
    assert run(["replay", "sheet/sheet.json", "--cell", "1,2", "-q"]) == 0
    assert Path("sheet/sheet-1-2-again.png").read_bytes() == Path("sheet/cell-1-2.png").read_bytes()
    assert run(["replay", "sheet/sheet.json", "--cell", "1,2", "--size=64", "-o", "large.png", "-q"]) == 0
    assert images.load("large.png").width == 64


@pytest.mark.slow
def test_reconstruct(capsys: Capture) -> None:
    layers = ["--content-from=relu1_1", "--style-from=relu1_1,relu1_2"]
    assert run(["reconstruct", "painting.png", *layers, "--size=48", "--steps=3", "--quiet"]) == 0
    assert "reconstruction.png: 3 reconstructions in " in capsys.readouterr().out
    assert images.load("painting_reconstruction.png").width > 96


@pytest.fixture
def measured() -> None:
    """Ask for the weights that judge images; without a network, skip."""
    required.weights("evaluation")


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.usefixtures("measured")
def test_evaluate_several_images(capsys: Capture) -> None:
    rng = np.random.default_rng(4)
    for name in ("photo.png", "painting.png"):
        Image.fromarray(rng.integers(0, 255, (80, 96, 3), dtype=np.uint8)).save(name)
    for name in ("a.png", "b.png"):
        painted("--size=80", name=name)
    Path("other").mkdir()
    Path("b.png").rename("other/a.png")
    capsys.readouterr()
    assert run(["evaluate", "a.png", "other/a.png"]) == 0  # the inputs are in the record
    told = capsys.readouterr().out
    assert "other/a.png" in told.splitlines()[0]
    assert "lpips: perceptual distance from the content" in told
    assert "rows marked `same network` are not independent evidence" in told
    assert run(["evaluate", "a.png", "--content=photo.png", "--style=painting.png", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in found["rows"]] == ["a.png"]
    assert set(found["metrics"]) < set(found["rows"][0])


@pytest.mark.slow
def test_evaluate_rejects_images_of_different_inputs(capsys: Capture) -> None:
    for name, color in (("photo.png", 30), ("painting.png", 90), ("other.png", 200)):
        Image.new("RGB", (96, 80), (color, 10, 10)).save(name)
    painted("--size=80", name="a.png")
    Image.open("other.png").save("painting.png")
    painted("--size=80", name="b.png")
    assert "b.png and a.png have a different style: pass --style" in refused(capsys, "evaluate", "a.png", "b.png")


def test_a_timelapse_does_not_overwrite_an_image(capsys: Capture) -> None:
    Image.new("RGB", (96, 80)).save("photo.webp")
    for film in ("out.webp", "photo.webp"):
        words = ("stylize", "photo.webp", "painting.png", "-o", "out.webp", "--timelapse", film)
        assert f"--timelapse {film} is the output or an input" in refused(capsys, *words)
    words = ("stylize", "photo.webp#0,0,48,48", "painting.png", "-o", "out.png", "--timelapse", "photo.webp")
    assert "is the output or an input" in refused(capsys, *words)
    assert "would be overwritten" in refused(capsys, "reconstruct", "photo.png", "-o", "photo.png")


def test_evaluate_without_a_record_needs_the_inputs(capsys: Capture) -> None:
    assert "pass --content and --style: 'photo.png' contains no Impasto metadata" in refused(
        capsys, "evaluate", "photo.png"
    )
