"""A proof and its poster: one composition, whatever strength and stroke size were chosen on the proof."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from impasto.api import last
from impasto.imaging import images, samples
from impasto.losses.regularizers.proof_anchor import cell_for
from impasto.network.weights import vgg19_state
from impasto.run.target_cache import TargetCache
from impasto.workflows.evaluate import structural_similarity
from impasto.workflows.replay import iter_replay, read_source
from runs import stylize

PROOF, POSTER = 64, 128


@pytest.fixture(scope="module")
def cache() -> TargetCache:
    """Return the network's weights, read once."""
    return TargetCache(vgg19_state())


def likeness(one: Any, other: Any) -> float:
    """Return the structural similarity of two images at the first one's size."""
    return structural_similarity(one, images.resize(other, one.shape[:2]))


@pytest.mark.slow
@pytest.mark.parametrize(("strength", "style_scale"), [(0.3, 1.0), (0.7, 1.5)])
def test_a_poster_reduced_is_its_proof(cache: TargetCache, tmp_path: Path, strength: float, style_scale: float) -> None:
    paths = {path.stem: path for path in samples.write(tmp_path / "samples")}
    asked: dict[str, Any] = {"size": PROOF, "strength": strength, "style_scale": style_scale, "steps": 24}
    files = (paths["coffee"], paths["blue_swirls"])
    proof = stylize(*files, output=tmp_path / "proof.png", cache=cache, precision="fp32", **asked)
    given = {"content": str(files[0]), "style": str(files[1])}
    source = replace(read_source(tmp_path / "proof.png", None, given), cache=cache)
    poster = last(iter_replay(source, tmp_path / "poster.png", size=str(POSTER)))
    assert (source.record["options"]["strength"], source.record["options"]["style_scale"]) == (strength, style_scale)
    assert max(poster.pixels.shape) == POSTER
    same = likeness(proof.pixels, poster.pixels)
    photograph = images.load(files[0]).pixels
    assert same >= 0.75
    # The proof enlarged would be as like, but the photograph itself must not be.
    assert same > likeness(proof.pixels, photograph) + 0.05
    # What is new is finer than the proof can hold.
    enlarged = images.resize(proof.pixels, poster.pixels.shape[:2])
    assert detail(poster.pixels) > 1.2 * detail(enlarged)
    # And it is the hold on the proof that does it: without, the same steps go farther away.
    free = {key: value for key, value in poster.record["decisions"].items() if key != "proof"}
    loose = last(iter_replay(replace(source, record={**poster.record, "decisions": free}, path=None)))
    assert 1 - same < 0.8 * (1 - likeness(proof.pixels, loose.pixels))


@pytest.mark.parametrize(
    ("proof", "size", "cell"),
    [((75, 100), (75, 100), 1), ((75, 100), (105, 140), 2), ((48, 64), (96, 128), 2), ((48, 64), (480, 640), 16)],
)
def test_a_cell_is_no_smaller_than_a_pixel_of_the_proof(
    proof: tuple[int, int], size: tuple[int, int], cell: int
) -> None:
    assert cell_for(proof, size) == cell
    assert cell_for((4, 4), (1000, 1000)) == 16  # what tiles begin at multiples of


def detail(pixels: Any) -> float:
    """Return how much neighboring pixels differ."""
    return float(np.abs(np.diff(pixels, axis=1)).mean() + np.abs(np.diff(pixels, axis=0)).mean())
