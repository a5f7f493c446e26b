"""The whole way from images to a file, on small images with the real network."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import impasto
from impasto.errors import ImageError, ImpastoError, NumericalError, OptionError
from impasto.events import Event, Finished, Planned, ScaleStarted, Snapshot, Stepped, Warned
from impasto.imaging import images
from impasto.network.weights import vgg19_state
from impasto.objective.objective import Evaluation, Objective
from impasto.options.fields import Options
from impasto.options.recipes import resolve
from impasto.run.prepared_run import prepare
from impasto.run.result import Result
from impasto.run.target_cache import TargetCache
from runs import iter_stylize, stylize

Pixels = NDArray[np.uint8]
Files = tuple[Path, Path]
FEW: dict[str, Any] = {
    "size": 48,
    "steps": 3,
    "scales": 1,
    "tv_weight": 0.0,
    "style_layers": "relu1_1+relu2_1",
    "content_layers": "relu2_1",
}


@pytest.fixture(scope="module")
def cache() -> TargetCache:
    """Return the network's weights, read once."""
    return TargetCache(vgg19_state())


@pytest.fixture
def paint(cache: TargetCache, tiny_picture: Pixels, tiny_style: Pixels) -> Any:
    """Return ``stylize`` on the tiny images, quick unless told otherwise."""

    def run(content: Any = tiny_picture, style: Any = tiny_style, **options: Any) -> Result:
        return stylize(content, style, cache=cache, **{**FEW, **options})

    return run


def digest(path: Path) -> str:
    """Return the hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_default_recipe_end_to_end(cache: TargetCache, tiny_files: Files, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder" / "out.png"
    result = stylize(*tiny_files, output=out, size=64, steps=6, scales=2, cache=cache)
    assert result.path == out
    assert result.steps == len(result.losses) == 6
    assert not result.stopped
    assert result.pixels.shape == (48, 64, 3)
    assert result.options == resolve(size=64, steps=6, scales=2)
    assert {line["scale"] for line in result.losses} == {0, 1}
    assert all(math.isfinite(line["total"]) for line in result.losses)
    with Image.open(out) as image:
        assert image.size == (64, 48)
        assert (np.asarray(image) == np.asarray(result.picture)).all()


@pytest.mark.parametrize("recipe", ["impasto", "gatys2016", "neural-style"])
def test_every_recipe_descends(paint: Any, recipe: str) -> None:
    result = paint(recipe=recipe, steps=8, size=64, style_layers=None, content_layers=None)
    totals = [line["total"] for line in result.losses]
    assert min(totals) < 0.8 * totals[0]
    assert np.unique(result.pixels).size > 50  # neither flat nor black and white


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("init", ["content", "random", "style"])
def test_a_seed_repeats_to_the_byte(paint: Any, tiny_files: Files, tmp_path: Path, init: str, optimizer: str) -> None:
    files = [tmp_path / name for name in ("one.png", "two.png", "other.png")]
    for path, seed in zip(files, (7, 7, 8), strict=True):
        paint(*tiny_files, output=path, init=init, optimizer=optimizer, seed=seed)
    assert digest(files[0]) == digest(files[1])
    if init != "content":
        assert (images.load(files[0]).pixels != images.load(files[2]).pixels).any()


def test_pictures_come_in_any_form(paint: Any, tiny_files: Files, tiny_picture: Pixels, tiny_style: Pixels) -> None:
    as_float = tiny_picture.astype(np.float32) / 255
    forms = {
        "path": tiny_files[0],
        "text": str(tiny_files[0]),
        "pil": Image.fromarray(tiny_picture),
        "array": tiny_picture,
        "floats": as_float,
        "tensor": torch.from_numpy(as_float).permute(2, 0, 1),
        "batch": torch.from_numpy(as_float).permute(2, 0, 1)[None],
    }
    pictures = {name: paint(form, steps=2).pixels for name, form in forms.items()}
    for name, pixels in pictures.items():
        assert np.array_equal(pixels, pictures["path"]), name
    style = torch.from_numpy(tiny_style.astype(np.float32) / 255).permute(2, 0, 1)
    assert np.array_equal(paint(style=style, steps=2).pixels, pictures["path"])


def test_the_result_is_a_picture_and_a_tensor(paint: Any) -> None:
    result = paint()
    assert result.picture.size == (48, 36)
    assert result.picture.mode == "RGB"
    assert result.tensor.shape == (1, 3, 36, 48)
    assert result.tensor.dtype == torch.float32
    assert 0 <= float(result.tensor.min()) <= float(result.tensor.max()) <= 1
    back = torch.from_numpy(np.array(result.picture)).permute(2, 0, 1)[None].float() / 255
    torch.testing.assert_close(back, result.tensor)


def test_alpha_comes_back(paint: Any, tiny_picture: Pixels, tmp_path: Path) -> None:
    alpha = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    content = Image.fromarray(np.dstack([tiny_picture, alpha]))
    result = paint(content, size=64, output=tmp_path / "out.png")
    assert result.picture.mode == "RGBA"
    with Image.open(tmp_path / "out.png") as saved:
        assert (np.asarray(saved)[..., 3] == alpha).all()
    assert paint(content).alpha.shape == (36, 48)  # resized with the image


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize("transparent", [False, True])
def test_the_losses_told_are_those_of_the_file(
    paint: Any, tiny_picture: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, transparent: bool
) -> None:
    problems, make, content = [], TargetCache.scale_objective, tiny_picture
    monkeypatch.setattr(TargetCache, "scale_objective", lambda *given: problems.append(make(*given)) or problems[-1])
    if transparent:
        content = np.dstack([tiny_picture, np.full((48, 64), 128, np.uint8)])
    path = tmp_path / f"out{suffix}"
    result = paint(content, output=path, precision="fp32", strength=0.3)
    decoded = torch.from_numpy(images.load(path).pixels.transpose(2, 0, 1).copy())[None]
    values, normalizers = problems[-1].objective.values(decoded), problems[-1].normalizers
    assert set(result.saved_losses) == {"content", "style"}
    for name, share in (("content", 0.7), ("style", 0.3)):
        assert result.saved_losses[name] == pytest.approx(share * values[name] / normalizers[name], rel=1e-12)


def test_events_come_in_order(cache: TargetCache, tiny_picture: Pixels, tiny_style: Pixels) -> None:
    options = {**FEW, "scales": 2, "steps": 5, "size": 64}
    events = list(iter_stylize(tiny_picture, tiny_style, cache=cache, snapshot_every=2, preview_every=1, **options))
    events = [event for event in events if not isinstance(event, Warned)]
    planned = events[0]
    assert isinstance(planned, Planned)
    assert planned.total_steps == sum(scale["steps"] for scale in planned.scales) == 5
    started = [event for event in events if isinstance(event, ScaleStarted)]
    assert [(event.index, event.count) for event in started] == [(0, 2), (1, 2)]
    assert isinstance(events[1], ScaleStarted)
    stepped = [event for event in events if isinstance(event, Stepped)]
    assert [event.step for event in stepped] == [1, 2, 3, 4, 5]
    for event in stepped:
        assert event.preview is not None
        size = planned.scales[event.scale]
        assert event.preview.shape == (size["height"], size["width"], 3)
    assert [event.step for event in events if isinstance(event, Snapshot)] == [1, 2, 4]
    assert isinstance(events[-1], Finished)
    assert events[-1].result.steps == 5


def test_the_steps_of_scales_too_small_are_not_lost(tiny_style: Pixels) -> None:
    panorama = np.zeros((20, 300, 3), np.uint8)
    prepared = prepare(panorama, tiny_style, resolve(size=300, steps=40, scales=3))
    assert sum(scale.steps for scale in prepared.scales) == 40
    assert min(scale.height for scale in prepared.scales) >= 16


def test_a_run_stopped_early_has_the_size_asked_for(
    cache: TargetCache, tiny_picture: Pixels, tiny_style: Pixels, tmp_path: Path
) -> None:
    box = impasto.Mailbox()
    options = {**FEW, "scales": 2, "steps": 20, "size": 64}
    out = tmp_path / "out.png"
    result = None
    for event in iter_stylize(tiny_picture, tiny_style, output=out, mailbox=box, cache=cache, **options):
        if isinstance(event, Stepped) and event.step == 2:
            box.post("stop")
        if isinstance(event, Finished):
            assert event.stopped
            result = event.result
    assert isinstance(result, Result)
    assert (result.steps, result.stopped) == (2, True)
    assert result.pixels.shape == (48, 64, 3)
    assert result.saved_losses == {}
    assert images.load(out).size == (48, 64)
    assert result.record["steering"] == [{"step": 3, "command": "stop"}]


def test_a_step_size_that_was_steered_lasts_beyond_its_scale(
    cache: TargetCache, tiny_picture: Pixels, tiny_style: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    from impasto.optimizers import BoundedLBFGS

    told: list[float] = []
    monkeypatch.setattr(BoundedLBFGS, "set_step_size", lambda self, factor: told.append(factor))
    box = impasto.Mailbox()
    for event in iter_stylize(
        tiny_picture, tiny_style, mailbox=box, cache=cache, **{**FEW, "scales": 2, "steps": 6, "size": 64}
    ):
        if isinstance(event, Stepped) and event.step == 1:
            box.post("set", step_size=0.5)
    assert told == [1.0, 0.5, 0.5]


def events_until(events: Iterator[Event], kind: type[Any], count: int = 1) -> None:
    """Go on until that many events of a kind have come."""
    seen = (event for event in events if isinstance(event, kind))
    assert len(list(itertools.islice(seen, count))) == count


def test_closing_the_generator_cleans_up(
    cache: TargetCache, tiny_picture: Pixels, tiny_style: Pixels, tmp_path: Path
) -> None:
    before = torch.get_num_threads()
    out = tmp_path / "out.png"
    events = iter_stylize(
        tiny_picture, tiny_style, output=out, cache=cache, threads=before + 1, checkpoint_dir=tmp_path / "run", **FEW
    )
    events_until(events, Stepped, 2)
    events.close()  # type: ignore[attr-defined]
    assert torch.get_num_threads() == before
    assert list(events) == []
    assert not out.exists()
    assert [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")] == []


def test_threads_are_given_back(paint: Any) -> None:
    before = torch.get_num_threads()
    assert paint(threads=before + 1).record["decisions"]["threads"] == before + 1
    assert torch.get_num_threads() == before


def test_threads_are_restored_after_a_refused_picture(tmp_path: Path, tiny_style: Pixels) -> None:
    before = torch.get_num_threads()
    with pytest.raises(ImpastoError):
        stylize(tmp_path / "missing.png", tiny_style, threads=before + 1)
    with pytest.raises(ImpastoError):  # the device is set up by then
        stylize(np.zeros((4, 4, 3), np.uint8), tiny_style, threads=before + 1)
    assert torch.get_num_threads() == before


def test_options_are_accepted_as_one_object(tmp_path: Path, tiny_style: Pixels) -> None:
    options = Options.of(steps=3)
    with pytest.raises(ImpastoError, match=r"missing\.png"):
        importlib.import_module("impasto.api").stylize(tmp_path / "missing.png", tiny_style, options=options, steps=2)


def broken_after(good: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the objective be not-a-number after some good evaluations."""
    count, evaluate = itertools.count(1), Objective.evaluate

    def failing(self: Objective, canvas: Tensor, weights: Any) -> Evaluation:
        found = evaluate(self, canvas, weights)
        return found if next(count) <= good else Evaluation(found.losses, math.nan, found.gradient)

    monkeypatch.setattr(Objective, "evaluate", failing)


@pytest.mark.parametrize("good", [0, 2])
def test_the_last_good_picture_is_on_disk(
    paint: Any, tiny_picture: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: int
) -> None:
    broken_after(good, monkeypatch)
    out = tmp_path / "out.png"
    with pytest.raises(NumericalError, match=r"the last good image is kept.*out\.png") as caught:
        paint(output=out, steps=9, size=64)
    assert "\n" not in str(caught.value)
    saved = images.load(out).pixels
    assert saved.shape == (48, 64, 3)
    if good == 0:  # nothing better than the start is known
        assert np.abs(saved - tiny_picture / 255).max() < 1 / 255


def test_without_a_file_the_error_comes_as_it_is(paint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_after(1, monkeypatch)
    with pytest.raises(NumericalError, match="at step 2, and halving"):
        paint()


def test_a_pixel_that_is_not_a_number_is_refused(paint: Any, tiny_picture: Pixels) -> None:
    broken = tiny_picture.astype(np.float32) / 255
    broken[3, 3] = np.nan
    with pytest.raises(ImageError, match="floats must be between 0 and 1"):
        paint(broken)


def test_a_style_smaller_than_asked_for_is_said(cache: TargetCache, tiny_picture: Pixels) -> None:
    style = np.zeros((20, 20, 3), np.uint8)
    style[5:, 5:] = 200
    events = list(iter_stylize(tiny_picture, style, cache=cache, **{**FEW, "steps": 1}))
    assert any("the style is smaller" in event.message for event in events if isinstance(event, Warned))


def test_a_picture_to_start_from(paint: Any, tiny_picture: Pixels, tiny_files: Files, tmp_path: Path) -> None:
    from_file = paint(init=str(tiny_files[0]), size=64)
    assert np.array_equal(from_file.pixels, paint(size=64).pixels)
    other = tmp_path / "other.png"
    Image.fromarray(tiny_picture[::-1].copy()).save(other)
    assert not np.array_equal(paint(init=other, size=64).pixels, from_file.pixels)
    assert paint(init=f"{other}#0,0,40,30").record["inputs"]["init"]["name"] == "other.png"


def test_a_misspelt_start_is_caught_before_the_work(paint: Any) -> None:
    with pytest.raises(OptionError, match="init is 'contnt'; did you mean 'content'"):
        paint(init="contnt")
    with pytest.raises(ImageError, match=r"start\.png' does not exist"):
        paint(init="start.png")


def test_an_output_that_is_an_input_is_refused(paint: Any, tiny_files: Files) -> None:
    content, style = tiny_files
    before = digest(content), digest(style)
    for options in ({"output": content}, {"output": style}, {"output": f"{content}", "init": str(content)}):
        with pytest.raises(ImageError, match="is one of the inputs and would be overwritten"):
            paint(content, style, **options)
    other = content.with_name("other.png")
    other.write_bytes(content.read_bytes())
    with pytest.raises(ImageError, match="is one of the inputs"):
        paint(content, style, output=other, init=str(other))
    assert (digest(content), digest(style)) == before


def test_what_the_format_cannot_hold_is_said_before_the_work(
    paint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TargetCache, "scale_objective", lambda *given: pytest.fail("the work began"))
    with pytest.raises(ImageError, match="use PNG or TIFF for 16"):
        paint(output=tmp_path / "out.jpg", bits=16)


def test_sixteen_bits_are_painted(paint: Any, tmp_path: Path) -> None:
    result = paint(output=tmp_path / "out.png", bits=16)
    levels = result.pixels * 65535
    assert np.abs(levels - levels.round()).max() < 0.01
    assert np.unique(levels.round() % 257).size > 1  # not eight bits in a wider coat
    assert np.array_equal(images.load(tmp_path / "out.png").pixels, result.pixels)


def test_the_style_may_be_the_content(paint: Any, tiny_picture: Pixels) -> None:
    result = paint(style=tiny_picture)
    assert np.abs(result.pixels * 255 - np.asarray(paint(style=tiny_picture, steps=1).pixels) * 255).mean() < 8
    assert np.isfinite(result.pixels).all()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_constant_pictures_are_no_trouble(paint: Any, level: int) -> None:
    flat = np.full((40, 48, 3), level, np.uint8)
    for content, style in ((flat, flat), (flat, flat[::-1])):
        assert np.isfinite(paint(content, style).pixels).all()


def test_tiles_paint_the_same_picture(paint: Any, tiny_picture: Pixels) -> None:
    content = np.tile(tiny_picture, (2, 2, 1))
    whole = paint(content, size=128, precision="fp32", steps=2)
    tiled = paint(content, size=128, precision="fp32", steps=2, tile=64)
    assert np.abs(whole.pixels - tiled.pixels).max() <= 1.001 / 255  # what rounding moves across half a level


def test_the_place_is_told(paint: Any) -> None:
    decisions = paint(precision="fp32", device="cpu").record["decisions"]
    assert (decisions["device"], decisions["precision"]) == ("cpu", "fp32")


def test_a_larger_share_of_style_is_nearer_to_the_style(paint: Any) -> None:
    def styled(strength: float) -> float:
        result = paint(strength=strength, steps=12, precision="fp32")
        return float(result.saved_losses["style"] / strength)

    assert styled(0.9) < styled(0.1)
