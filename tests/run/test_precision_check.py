"""Half precision is trusted after one look at a gradient, and left where the look fails."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from impasto.api import last
from impasto.events import Planned, Warned
from impasto.objective.scale_objective import ScaleObjective
from impasto.options import recipes
from impasto.planning import memory
from impasto.planning.memory import MemoryPlan
from impasto.run import precision_check
from impasto.run.prepared_run import in_float32, prepare
from impasto.run.target_cache import TargetCache
from impasto.runtime import device
from random_weights import state_before
from runs import iter_stylize

RUN: dict[str, Any] = {"size": 32, "steps": 1, "scales": 1, "device": "cpu", "style_layers": "relu1_1+relu2_1"}


@pytest.fixture(autouse=True)
def bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take bfloat16 for fast; its arithmetic is the same everywhere, only slow where the hardware lacks it."""
    monkeypatch.setattr(device, "has_fast_bf16", lambda device: True)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return state_before(seed=3)


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(3, 32, 32, generator=generator), torch.rand(3, 32, 32, generator=generator)


def run(pair: Any, cache: TargetCache, **more: Any) -> tuple[str, list[str]]:
    events = list(iter_stylize(*pair, cache=cache, **{**RUN, **more}))
    (planned,) = [event for event in events if isinstance(event, Planned)]
    said = [event.message for event in events if isinstance(event, Warned)]
    return planned.decisions["precision"], [line for line in said if "bfloat16" in line]


def test_good_arithmetic_is_trusted(pair: Any, state: Any) -> None:
    cache = TargetCache(state=state)
    assert run(pair, cache) == ("bf16", [])
    (cosine,) = cache.bf16_cosine.values()
    assert 0.98 < cosine <= 1.0


def test_another_gradient_falls_back_to_float32_and_says_so(
    pair: Any, state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision_check, "agreement", lambda *_, **__: 0.42)
    decided, said = run(pair, TargetCache(state=state))
    assert decided == "fp32"
    assert said == ["bfloat16 gives a different gradient than float32 here (cosine 0.42): the run uses float32"]


def test_slow_arithmetic_falls_back_to_float32_says_so_and_is_decided_once(
    pair: Any, state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "cpu_rates", lambda: device.Rates(100.0, 20.0))
    decided, said = run(pair, TargetCache(state=state))
    assert decided == "fp32"
    (line,) = said
    assert line.startswith("bfloat16 is slower than float32 on this CPU")
    decisions = prepare(*pair, recipes.resolve(**RUN)).decisions
    monkeypatch.setattr(device, "cpu_rates", lambda: device.Rates(100.0, 400.0))
    assert run(pair, TargetCache(state=state), decisions=decisions) == ("fp32", [])
    decisions = prepare(*pair, recipes.resolve(**RUN)).decisions
    monkeypatch.setattr(device, "cpu_rates", lambda: device.Rates(100.0, 20.0))
    assert run(pair, TargetCache(state=state), decisions=decisions) == ("bf16", [])


@pytest.mark.slow
def test_what_was_asked_for_or_decided_is_not_looked_at(pair: Any, state: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> float:
        raise AssertionError

    monkeypatch.setattr(precision_check, "agreement", refuse)
    assert run(pair, TargetCache(state=state), precision="bf16")[0] == "bf16"
    assert run(pair, TargetCache(state=state), precision="fp32")[0] == "fp32"
    decisions = prepare(*pair, recipes.resolve(**RUN)).decisions
    assert run(pair, TargetCache(state=state), decisions=decisions)[0] == "bf16"


@pytest.mark.slow
def test_a_network_is_looked_at_once(pair: Any, state: Any) -> None:
    cache = TargetCache(state=state)
    run(pair, cache)
    cache.bf16_cosine[next(iter(cache.bf16_cosine))] = 0.1
    assert run(pair, cache)[0] == "fp32"


def test_a_large_single_scale_is_judged_at_a_small_size(pair: Any, state: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def judge(scale_objective: ScaleObjective, *_: object, **__: object) -> float:
        sizes.append((scale_objective.objective.height, scale_objective.objective.width))
        return 1.0

    monkeypatch.setattr(precision_check, "agreement", judge)
    monkeypatch.setattr(precision_check, "COMPARISON_SIDE", 24)
    assert run(pair, TargetCache(state=state)) == ("bf16", [])
    assert sizes == [(24, 24)]


def test_a_foreign_network_does_not_agree(pair: Any, state: Any) -> None:
    prepared = prepare(*pair, recipes.resolve(**RUN))
    cache = TargetCache(state=state)
    scale_objective = cache.scale_objective(prepared, prepared.scales[0])
    weights = prepared.initial_weights().weights(scale_objective.normalizers, 1.0)
    other = TargetCache(state={name: tensor.flip(0) for name, tensor in state.items()}).encoder(prepared)
    found = precision_check.agreement(scale_objective, other, weights, tile=None, seed=0)
    assert found < precision_check.MIN_COSINE
    broken = TargetCache(state={name: tensor * float("nan") for name, tensor in state.items()}).encoder(prepared)
    assert precision_check.agreement(scale_objective, broken, weights, tile=None, seed=0) == 0.0


def test_float32_gets_memory_plans_of_its_own() -> None:
    wide = torch.rand(3, 512, 512)
    options = {**RUN, "size": 512}
    needed = prepare(wide, wide, recipes.resolve(**options)).memory_plan_at(512, 512).bytes
    options["memory"] = f"{needed + 1}B"
    half, full = (prepare(wide, wide, recipes.resolve(**options, precision=name)) for name in ("bf16", "fp32"))
    assert half.memory_plans != full.memory_plans
    changed = in_float32(half, "a note")
    assert changed.memory_plans == full.memory_plans
    assert changed.decisions == full.decisions
    assert "a note" in changed.notes


def test_the_memory_plans_of_a_fallback_are_recorded_and_used_by_a_replay(
    pair: Any, state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision_check, "agreement", lambda *_, **__: 0.42)
    plain, cache = {**RUN, "size": 64}, TargetCache(state=state)
    needed = prepare(*pair, recipes.resolve(**plain)).memory_plan_at(64, 64).bytes
    plain["memory"] = f"{int(memory.SLACK * needed) + 1}B"
    half = prepare(*pair, recipes.resolve(**plain))
    first = last(iter_stylize(*pair, cache=cache, **plain))
    decisions = first.record["decisions"]
    assert half.memory_plan_at(64, 64).is_plain
    assert not MemoryPlan.from_data(decisions["plans"][0][2:]).is_plain
    plain["memory"] = None
    again = last(iter_stylize(*pair, cache=cache, decisions=decisions, **plain))
    assert again.record["decisions"] == decisions
    assert (again.pixels == first.pixels).all()
