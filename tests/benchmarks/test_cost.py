"""What a fixed run costs, against recorded figures: forward passes, operations, bytes; never the clock.

The run: random weights of VGG-19's shape, 64x64 px, two scales, 8 steps, the moments of five layers. Forward passes
must be the same. Operations may be 2 % and the peak of live bytes 5 % over the record; where they fall a quarter short
of it, lower the record.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.cost import Cost, LiveBytes, cost_of
from impasto.network.encoder import Encoder
from impasto.options import recipes
from impasto.run.prepared_run import prepare
from impasto.run.target_cache import TargetCache
from impasto.runtime import device
from random_weights import state_before
from runs import iter_stylize

FLOPS_OVER, BYTES_OVER, SHORT = 1.02, 1.05, 0.75
LAYERS = "relu1_1+relu2_1+relu3_1+relu4_1+relu5_1"
RUN: dict[str, Any] = {
    "size": 64,
    "steps": 8,
    "scales": 2,
    "style_loss": "moments",
    "style_layers": LAYERS,
    "content_layers": "relu4_2",
    "tv_weight": 0.0,
}
RECORDED = {
    "fp32": Cost(forwards=17, flops=46_840_338_432, peak_bytes=34_782_240),
    "bf16": Cost(forwards=17, flops=46_750_881_792, peak_bytes=25_778_392),
}


def random_state() -> dict[str, torch.Tensor]:
    return state_before(seed=3)


@pytest.fixture(scope="module")
def cache() -> TargetCache:
    return TargetCache(state=random_state())


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_costs_what_is_recorded(cache: TargetCache, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_fast_bf16", lambda device: True)  # what it costs is the same everywhere
    generator = torch.Generator().manual_seed(4)
    content, style = (torch.rand(3, 64, 64, generator=generator) for _ in range(2))
    network = cache.encoder(prepare(content, style, recipes.resolve(precision=precision, **RUN)))
    found = cost_of(
        network, lambda: list(iter_stylize(content, style, cache=cache, device="cpu", precision=precision, **RUN))
    )
    record = RECORDED[precision]
    assert found.forwards == record.forwards, found
    assert SHORT * record.flops <= found.flops <= FLOPS_OVER * record.flops, found
    assert SHORT * record.peak_bytes <= found.peak_bytes <= BYTES_OVER * record.peak_bytes, found


def test_a_forward_pass_is_counted_as_the_formula_has_it(cache: TargetCache) -> None:
    encoder = Encoder(random_state())
    canvas = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        found = cost_of(encoder, lambda: encoder(canvas, ["relu2_1"]))
    positions = 32 * 32
    assert found.forwards == 1
    assert found.flops == 2 * 9 * (positions * 3 * 64 + positions * 64 * 64 + positions // 4 * 64 * 128)


def test_live_bytes_come_and_go() -> None:
    live = LiveBytes()
    with live:
        first = torch.zeros(1000)
        second = first + 1
        view = second.view(10, 100)
        assert live.now == 8000
        del second
        assert live.now == 8000  # the view holds it
        del view
        first.add_(1)
        assert (live.now, live.peak) == (4000, 8000)


def test_live_bytes_see_what_autograd_holds() -> None:
    leaf = torch.ones(1000, requires_grad=True)
    with LiveBytes() as live:
        total = (leaf * 2).exp().sum()
        held = live.now
        (gradient,) = torch.autograd.grad(total, leaf)
        assert held >= 4000  # exp keeps its result for the way back
        assert live.now <= held + 4  # which is given back, while the gradient has come
        assert gradient.shape == leaf.shape
