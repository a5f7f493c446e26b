"""Training: what is learned, what is skipped, and that an interrupted one goes on as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from distributed_scenarios import group
from impasto.cli import run
from impasto.errors import ImageError, OptionError, RecordError
from impasto.events import Finished, Mailbox, Snapshot, Stepped, Warned
from impasto.feedforward import dataset, model, train
from impasto.feedforward.dataset import load_folder
from impasto.feedforward.train import Trained, Training, iter_train, signature, styles_out
from impasto.imaging import images
from impasto.runtime import device
from impasto.runtime.distributed import ProcessGroup
from random_weights import state_before

TINY = {
    "crop_size": 32,
    "batch_size": 2,
    "width": 4,
    "blocks": 1,
    "steps": 8,
    "validate_every": 4,
    "learning_rate": 0.01,
}
LAYERS: dict[str, Any] = {"style_layers": "relu1_1", "content_layers": "relu1_2", "precision": "fp32"}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return {name: value / 100 for name, value in state_before("conv2").items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine small photographs, and one file that is none."""
    place = tmp_path / "photos"
    place.mkdir()
    chance = np.random.default_rng(0)
    for index in range(9):
        soft = images.resize(chance.random((6, 8, 3), np.float32), (48, 60))
        images.save(place / f"{index}.png", soft.clip(0, 1))
    (place / "broken.jpg").write_bytes(b"no image")
    return place


@pytest.fixture
def painting() -> Any:
    pixels = np.zeros((48, 48, 3), np.float32)
    pixels[::4] = (1, 0.4, 0.1)
    return pixels


def _train(folder: Path, out: Path, state: dict[str, Tensor], style: Any, **kwargs: Any) -> list[Any]:
    training = Training(**{**TINY, **kwargs.pop("training", {})})
    return list(iter_train(style, folder, out, training=training, state=state, **LAYERS, **kwargs))


def _tensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def test_the_loss_falls_and_the_file_paints(
    folder: Path, tmp_path: Path, state: dict[str, Tensor], painting: Any
) -> None:
    out = tmp_path / "a.safetensors"
    events = _train(folder, out, state, painting, training={"steps": 24, "validate_every": 8})
    done = events[-1].result
    assert isinstance(done, Trained)
    assert done.steps == 24
    assert done.stop_reason == "all steps done"
    assert done.history[-1][1] < done.history[0][1]
    assert sum(isinstance(event, Snapshot) for event in events) == 3
    painted = model.load(out)(torch.rand(1, 3, 40, 40))
    assert painted.shape == (1, 3, 40, 40)


def test_unreadable_pictures_are_skipped_counted_and_listed(
    folder: Path, tmp_path: Path, state: dict[str, Tensor], painting: Any
) -> None:
    events = _train(folder, tmp_path / "a.safetensors", state, painting, training={"steps": 1})
    (note,) = [event.message for event in events if isinstance(event, Warned)]
    assert note.startswith("1 unreadable images were skipped; ")
    listing = (tmp_path / "a.skipped.txt").read_text()
    assert listing.count("\n") == 1
    assert "broken.jpg" in listing


def test_where_bfloat16_is_slow_it_trains_in_float32_and_says_so(
    folder: Path, tmp_path: Path, state: dict[str, Tensor], painting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "broken.jpg").unlink()

    def trained(name: str, precision: str) -> tuple[list[str], dict[str, Tensor]]:
        options = {**LAYERS, "precision": precision}
        training = Training(**{**TINY, "steps": 1})
        out = tmp_path / name
        events = list(iter_train(painting, folder, out, training=training, state=state, **options))
        return [event.message for event in events if isinstance(event, Warned)], _tensors(out)

    monkeypatch.setattr(device, "has_fast_bf16", lambda device: True)
    monkeypatch.setattr(device, "cpu_rates", lambda: device.Rates(100.0, 20.0))
    (note,), slow = trained("slow.safetensors", "auto")
    assert note.startswith("bfloat16 is slower than float32 on this CPU")
    said, wanted = trained("fp32.safetensors", "fp32")
    assert said == []
    assert all(torch.equal(value, wanted[name]) for name, value in slow.items())
    monkeypatch.setattr(device, "cpu_rates", lambda: device.Rates(100.0, 400.0))
    said, fast = trained("fast.safetensors", "auto")
    assert said == []
    assert not all(torch.equal(value, wanted[name]) for name, value in fast.items())


def test_an_interrupted_training_goes_on_exactly(
    folder: Path, tmp_path: Path, state: dict[str, Tensor], painting: Any
) -> None:
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    _train(folder, whole, state, painting)
    running = iter_train(painting, folder, parts, training=Training(**TINY), state=state, **LAYERS)
    for event in running:
        if isinstance(event, Stepped) and event.step == 6:  # its last state is that of step 4
            break
    running.close()
    events = _train(folder, parts, state, painting, resume=True)
    assert [event.step for event in events if isinstance(event, Stepped)] == [5, 6, 7, 8]
    kept, again = _tensors(whole), _tensors(parts)
    assert all(torch.equal(kept[name], again[name]) for name in kept)


def test_a_training_of_the_first_version_is_resumed(
    folder: Path, tmp_path: Path, state: dict[str, Tensor], painting: Any
) -> None:
    # Made by commit aceede4: iter_train with the same images and options (then recolour, anchor_weight, side, ...),
    # closed after step 6. The tensors were then rounded to one bit of mantissa, to keep the file small; the expected
    # losses are those of aceede4 resuming the rounded file.
    out = tmp_path / "a.safetensors"
    packed = Path(__file__).parent / "version_1.training.xz"
    out.with_suffix(".training").write_bytes(lzma.decompress(packed.read_bytes()))
    options: dict[str, Any] = {"final_recolor": 0.25, "color_anchor_weight": 0.1}
    events = _train(folder, out, state, painting, resume=True, **options)
    totals = {event.step: event.total for event in events if isinstance(event, Stepped)}
    expected = {5: 0.7040515706466977, 6: 1.0043084576027468, 7: 1.1699155376991257, 8: 0.9980923256662209}
    assert totals == pytest.approx(expected, rel=1e-3)
    assert events[-1].result.history == [(4, 0.8941550070885569), (8, pytest.approx(0.8733874233439565, rel=1e-3))]
    assert model.load(out)(torch.rand(1, 3, 40, 40)).shape == (1, 3, 40, 40)


def test_a_state_of_another_training_is_refused(
    folder: Path, tmp_path: Path, state: dict[str, Tensor], painting: Any
) -> None:
    out = tmp_path / "a.safetensors"
    _train(folder, out, state, painting, training={"steps": 4})
    with pytest.raises(RecordError, match="belongs to a training run with other options, photographs or styles"):
        _train(folder, out, state, painting, training={"steps": 4, "batch_size": 1}, resume=True)
    out.with_suffix(".training").write_bytes(b"damaged")
    with pytest.raises(RecordError, match=r"a\.training' is damaged: train without --resume"):
        _train(folder, out, state, painting, training={"steps": 4}, resume=True)


def test_any_style_learns_from_a_folder_of_paintings(folder: Path, tmp_path: Path, state: dict[str, Tensor]) -> None:
    out = tmp_path / "any.safetensors"
    _train(folder, out, state, None, paintings=folder, training={"steps": 2})
    loaded = model.load(out)
    assert loaded.shape.any_style
    assert loaded(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 40, 30)).shape == (1, 3, 32, 32)


def test_it_stops_early_and_when_told(folder: Path, tmp_path: Path, state: dict[str, Tensor], painting: Any) -> None:
    # So small a step size makes no progress after the first look.
    early = {"steps": 60, "validate_every": 2, "patience": 2, "learning_rate": 1e-6}
    done = _train(folder, tmp_path / "a.safetensors", state, painting, training=early)[-1]
    assert done.result.stop_reason == "no progress in 2 validations"
    assert done.result.steps < 60
    assert not done.stopped
    mailbox = Mailbox()
    mailbox.post("stop")
    done = _train(folder, tmp_path / "b.safetensors", state, painting, mailbox=mailbox)[-1]
    assert isinstance(done, Finished)
    assert done.stopped
    assert done.result.steps == 1
    assert (tmp_path / "b.safetensors").exists()
    done = _train(folder, tmp_path / "c.safetensors", state, painting, training={"minutes": 0.0})[-1]
    assert done.result.stop_reason == "time limit reached"
    assert done.result.steps == 1


def test_what_cannot_be_trained_on_is_said(tmp_path: Path, folder: Path, painting: Any) -> None:
    with pytest.raises(ImageError, match="absent' does not exist: use a folder with images"):
        load_folder(tmp_path / "absent", 32, color=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ImageError, match="cannot be trained on: it has no images"):
        load_folder(empty, 32, color=True)
    (empty / "a.png").write_bytes(b"x")
    with pytest.raises(ImageError, match="none of its 1 images can be read"):
        load_folder(empty, 32, color=True)
    with pytest.raises(OptionError, match=r"a network is saved as \.safetensors"):
        next(iter_train(painting, folder, "a.pth"))
    with pytest.raises(OptionError, match="pass one painting to learn, or --paintings DIR"):
        next(iter_train(None, folder, "a.safetensors"))
    with pytest.raises(OptionError, match="blocks is 9; it must be between 1 and 5"):
        Training(blocks=9)


def test_no_readable_photograph_is_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str], painting: Any) -> None:
    (tmp_path / "photos").mkdir()
    images.save(tmp_path / "a.png", painting)
    assert run(["train", str(tmp_path / "a.png"), "--photos", str(tmp_path / "photos")]) == 2
    assert "cannot be trained on: it has no images" in capsys.readouterr().err


def test_draws_repeat_and_differ(folder: Path) -> None:
    pictures = load_folder(folder, 32, color=True)
    first, second, other = (pictures.draw(2, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == (2, 3, 32, 32)
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_held_out_photographs_are_not_learned_from(folder: Path) -> None:
    learned, held = load_folder(folder, 32, color=True).split()
    assert len(learned.paths) == 8
    assert len(held.paths) == 1
    assert not set(learned.paths) & set(held.paths)


def test_smaller_crops_show_a_part_at_the_same_scale(folder: Path) -> None:
    pictures = load_folder(folder, 32, color=True)
    whole, part = (pictures.draw(1, torch.Generator().manual_seed(4), side)[0] for side in (32, 16))
    places = [(y, x) for y in range(17) for x in range(17)]
    assert any(torch.equal(whole[:, y : y + 16, x : x + 16], part) for y, x in places)


def test_the_first_steps_learn_from_smaller_crops(
    folder: Path, tmp_path: Path, state: dict[str, Tensor], painting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = []
    draw = dataset.Pictures.draw

    def noted(self: Any, count: int, generator: torch.Generator, side: int | None = None) -> Tensor:
        found = draw(self, count, generator, side)
        sides.append(int(found.shape[-1]))
        return found

    monkeypatch.setattr(dataset.Pictures, "draw", noted)
    training = {"crop_size": 128, "batch_size": 1, "steps": 4, "small_crops": 0.5}
    _train(folder, tmp_path / "a.safetensors", state, painting, training=training)
    assert sides[-4:] == [64, 64, 128, 128]
    _train(folder, tmp_path / "b.safetensors", state, painting, training={**training, "crop_size": 96})
    assert sides[-4:] == [96] * 4  # half of it would leave too little


def test_photographs_left_out_are_never_looked_at(
    folder: Path, tmp_path: Path, state: dict[str, Tensor], painting: Any
) -> None:
    kept, less = tmp_path / "kept.safetensors", tmp_path / "less.safetensors"
    _train(folder, kept, state, painting, training={"hold_out": 2, "steps": 2})
    for index in (7, 8):
        (folder / f"{index}.png").unlink()
    _train(folder, less, state, painting, training={"steps": 2})
    first, second = _tensors(kept), _tensors(less)
    assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(ImageError, match="cannot hold out 7 of 7 photographs: at least one must remain"):
        load_folder(folder, 32, color=True).hold_out(7)


def test_what_is_saved_is_the_mean_of_the_last_steps(
    folder: Path, tmp_path: Path, state: dict[str, Tensor], painting: Any
) -> None:
    from safetensors.torch import load_file

    out = tmp_path / "a.safetensors"
    _train(folder, out, state, painting)
    kept, last = _tensors(out), load_file(out.with_suffix(".training"))
    name = "blocks.0.weight"
    assert torch.equal(kept[name], last[f"averaged.{name}"].half())
    assert not torch.equal(kept[name], last[f"network.{name}"].half())


@pytest.mark.slow
def test_two_processes_train_one_network(
    folder: Path, tmp_path: Path, state: dict[str, Tensor], painting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    slopes: list[Tensor] = []
    average = train._Run._average

    def watched(self: Any) -> None:
        slopes.append(torch.cat([p.grad.flatten() for p in self.network.parameters()]).clone())
        average(self)
        slopes.append(torch.cat([p.grad.flatten() for p in self.network.parameters()]).clone())

    monkeypatch.setattr(train._Run, "_average", watched)

    def member(group: ProcessGroup) -> Any:
        torch.set_num_threads(1)  # what the test before has started does not live on in a child
        # Only the first process's clock counts.
        training = {"steps": 8, "minutes": 0.0} if group.is_first else {"steps": 8}
        done = _train(folder, tmp_path / "two.safetensors", state, painting, group=group, training=training)[-1]
        return [done.result.steps, done.result.stop_reason, done.result.history, *[s.double().tolist() for s in slopes]]

    first, second = (found["said"] for found in group(2, member, tmp_path))
    assert first[:3] == second[:3]
    assert first[:2] == [1, "time limit reached"]
    assert first[3] != second[3]  # each has images of its own
    mean = (np.array(first[3]) + np.array(second[3])) / 2
    # One addition in float32, and a halving, which is exact.
    assert np.abs(np.array(first[4]) - mean).max() <= np.finfo(np.float32).eps * np.abs(mean).max()
    assert first[4] == second[4]
    assert _tensors(tmp_path / "two.safetensors")


def test_several_styles_have_a_file_each() -> None:
    assert styles_out("n.safetensors", ["x/a.jpg"]) == [Path("n.safetensors")]
    assert styles_out("n.safetensors", ["a.jpg", "b.png"]) == [Path("n-a.safetensors"), Path("n-b.safetensors")]


def test_a_checkpoint_of_an_earlier_version_has_the_same_signature() -> None:
    about = {"style": "any", "training": {"crop_size": 64, "hold_out": 2, "minutes": 3.0, "steps": 9}, "strength": 0.5}
    options = {"strength": 0.5, "final_recolor": 0.25, "device": "cpu", "threads": 1}
    before = {"style": "any", "training": {"side": 64, "leave_out": 2, "minutes": None, "steps": 9}, "strength": 0.5}
    text = json.dumps([before, {"strength": 0.5, "recolour": 0.25}], sort_keys=True)
    assert signature(about, options) == hashlib.sha256(text.encode()).hexdigest()
