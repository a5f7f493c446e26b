"""FeedForward images through the same door as all others: options, records, replay, the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from impasto.api import last, stylize
from impasto.cli import run
from impasto.errors import OptionError, RecordError
from impasto.feedforward import model
from impasto.feedforward import run as feedforward_run
from impasto.feedforward.network import Shape, StyleNetwork
from impasto.imaging import images
from impasto.options.fields import FeedForward
from impasto.run import record
from impasto.workflows.replay import iter_replay, read_source

FEW: dict[str, Any] = {"size": "48", "precision": "fp32"}


@pytest.fixture
def files(tmp_path: Path, photograph: Tensor, painting: Tensor) -> tuple[Path, Path]:
    paths = tmp_path / "photo.png", tmp_path / "painting.png"
    for path, picture in zip(paths, (photograph, painting), strict=True):
        images.save(path, picture[0].permute(1, 2, 0).numpy())
    return paths


@pytest.fixture(autouse=True)
def weights(monkeypatch: pytest.MonkeyPatch, adain: dict[str, Tensor]) -> None:
    monkeypatch.setattr(feedforward_run, "adain_state", lambda: adain)


def _network(path: Path, *, any_style: bool = False, seed: int = 1) -> Path:
    torch.manual_seed(seed)
    network = StyleNetwork(Shape(4, 1, any_style=any_style))
    torch.nn.init.normal_(network.head.weight, std=0.2)
    about = {"style": "a", "impasto": "1", "thumbnail": model.thumbnail(np.full((32, 32, 3), 0.5, np.float32))}
    return model.save(path, network, about)


def test_a_fast_picture_has_a_record_and_can_be_made_again(files: tuple[Path, Path], tmp_path: Path) -> None:
    result = stylize(*files, output=tmp_path / "out.png", fast=True, **FEW)
    assert result.steps == 0
    assert result.pixels.shape == (38, 48, 3)
    assert record.read(tmp_path / "out.png")["options"]["fast"] is True
    last(iter_replay(read_source(tmp_path / "out.png"), tmp_path / "again.png"))
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "out.png").read_bytes()


def test_protected_places_and_regions_hold(files: tuple[Path, Path]) -> None:
    mask = np.zeros((64, 80), bool)
    mask[:, 40:] = True
    plain = stylize(*files, fast=True, **FEW).pixels
    kept = stylize(files[0], files[1], fast=True, protect=mask, **FEW).pixels
    still = stylize(*files, fast=True, strength=0.0, **FEW).pixels
    assert np.array_equal(kept[:, 30:], still[:, 30:])
    assert not np.allclose(plain[:, 30:], still[:, 30:], atol=0.02)
    region = stylize(files[0], None, fast=True, regions=[(mask, files[1])], **FEW).pixels
    assert np.array_equal(region[:, :20], still[:, :20])
    assert not np.allclose(region[:, 30:], still[:, 30:], atol=0.02)


def test_a_network_needs_no_painting_and_can_be_replayed(files: tuple[Path, Path], tmp_path: Path) -> None:
    path = _network(tmp_path / "style.safetensors")
    result = stylize(files[0], None, output=tmp_path / "out.png", model=path, **FEW)
    about = record.read(tmp_path / "out.png")
    assert about["inputs"]["style"]["name"] == "style.safetensors"
    assert about["options"]["model"] == "style.safetensors"
    last(iter_replay(read_source(tmp_path / "out.png"), tmp_path / "again.png"))
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "out.png").read_bytes()
    weak = stylize(files[0], None, model=path, strength=0.25, **FEW).pixels
    none = stylize(files[0], None, model=path, strength=0.0, **FEW).pixels
    assert np.allclose(weak, (none + result.pixels) / 2, atol=0.01)


def test_a_network_of_any_style_needs_one(files: tuple[Path, Path], tmp_path: Path) -> None:
    path = _network(tmp_path / "any.safetensors", any_style=True)
    assert stylize(*files, model=path, **FEW).pixels.shape == (38, 48, 3)
    with pytest.raises(OptionError, match=r"'any\.safetensors' accepts arbitrary styles: pass a painting"):
        stylize(files[0], None, model=path, **FEW)


def test_a_replay_takes_no_other_network_of_any_style(files: tuple[Path, Path], tmp_path: Path) -> None:
    path = _network(tmp_path / "any.safetensors", any_style=True)
    stylize(*files, output=tmp_path / "out.png", model=path, **FEW)
    inputs = record.read(tmp_path / "out.png")["inputs"]
    assert inputs["style"]["name"] == "painting.png"
    assert inputs["model"] == {"name": "any.safetensors", "sha256": model.load(path).sha256}
    last(iter_replay(read_source(tmp_path / "out.png"), tmp_path / "again.png"))
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "out.png").read_bytes()
    elsewhere = path.rename(tmp_path.joinpath("moved").with_suffix(".safetensors"))
    with pytest.raises(RecordError, match=r"the model 'any\.safetensors' .* is missing: .* --input 'model=FILE'"):
        last(iter_replay(read_source(tmp_path / "out.png")))
    given = {"model": str(elsewhere)}
    last(iter_replay(read_source(tmp_path / "out.png", given=given), tmp_path / "moved.png"))
    _network(path, any_style=True, seed=2)
    with pytest.raises(RecordError, match=r"the model 'any\.safetensors' has changed: the run read sha256"):
        last(iter_replay(read_source(tmp_path / "out.png")))


def test_contradictions_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="fast and model are both given: choose --fast, or --model FILE"):
        FeedForward(fast=True, model="a.safetensors")
    path = _network(tmp_path / "style.safetensors")
    with pytest.raises(OptionError, match="paints the whole image in one style"):
        stylize(files[0], [files[1], files[1]], model=path, **FEW)


def test_init_fast_starts_at_the_fast_picture(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from impasto import stylize as entry
    from impasto.options.recipes import resolve
    from impasto.run.prepared_run import prepare

    prepared = prepare(*files, resolve(init="fast", **FEW))
    start = feedforward_run.starting_picture(prepared)
    fast = entry(*files, fast=True, **FEW)
    assert np.abs(start[0].permute(1, 2, 0).numpy() - fast.pixels).max() < 0.01


def test_missing_weights_are_one_line_with_their_command(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from impasto.network.weights import adain_state

    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "nothing"))
    monkeypatch.setattr(feedforward_run, "adain_state", adain_state)
    assert run(["stylize", *map(str, files), "--fast", "-o", str(tmp_path / "out.png")]) == 2
    said = capsys.readouterr().err
    assert said == "impasto: the adain weights are not downloaded; run: impasto weights fetch adain\n"


def test_the_command_line_paints_with_a_network(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _network(tmp_path / "style.safetensors")
    out = tmp_path / "out.png"
    assert run(["stylize", str(files[0]), "--model", str(path), "--size", "48", "-q", "-o", str(out)]) == 0
    assert "photo.png in the style of style.safetensors, 48x38 px" in capsys.readouterr().out
    assert out.exists()
    assert run(["stylize", str(files[0]), "--model", str(path), "--size", "80", "-o", str(out)]) == 0
    assert "smaller" not in capsys.readouterr().err  # the style's thumbnail says nothing of strokes
    assert run(["export", str(path)]) == 2
    assert "specify the format: impasto export NETWORK --onnx" in capsys.readouterr().err


def test_the_command_line_names_what_is_wrong_with_a_network(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import save_file

    facts = model.describe(Shape(4, 1), {"impasto": "9.9.9"}) | {"version": "7"}
    save_file({"x": torch.zeros(2)}, tmp_path / "new.safetensors", facts)
    cut = _network(tmp_path / "cut.safetensors")
    cut.write_bytes(cut.read_bytes()[:-100])
    for name, said in (("new", "has version 7, written by impasto 9.9.9"), ("cut", "is damaged")):
        path = tmp_path / f"{name}.safetensors"
        assert run(["stylize", str(files[0]), "--model", str(path), "-o", str(tmp_path / "out.png")]) == 2
        error = capsys.readouterr().err
        assert f"the network '{path}' {said}" in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out.png").exists()


def test_a_network_is_read_once(files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, loaded = _network(tmp_path / "a.safetensors"), []

    def counted(*arguments: Any, **settings: Any) -> Any:
        loaded.append(arguments[0])
        return model.load(*arguments, **settings)

    monkeypatch.setattr(feedforward_run, "load", counted)
    stylize(files[0], None, model=path, **FEW)
    assert [Path(source) for source in loaded] == [path]
