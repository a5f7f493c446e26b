"""Steering of regions during a run."""

# ruff: noqa: F401, F811  (fixtures of the other tests of control)
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_region_tensors import FEW, cache, left, paintings, photo

from impasto.api import last
from impasto.events import Mailbox, ScaleStarted, Steered, Warned
from impasto.regions.region_tensors import build_region_tensors
from impasto.run.result import Result
from impasto.run.target_cache import TargetCache
from runs import iter_stylize, stylize


def steered(cache: TargetCache, photo: Any, paintings: Any, at: dict[int, dict[str, float]], **options: Any) -> Result:
    mailbox = Mailbox()

    def run() -> Any:
        events = iter_stylize(photo, mailbox=mailbox, cache=cache, **{**FEW, "steps": 10, **options})
        for event in events:
            step = 0 if isinstance(event, ScaleStarted) else getattr(event, "step", -1)
            if not isinstance(event, Steered) and step in at:
                mailbox.post("set", **at.pop(step))
            yield event

    return last(run())


CHANGES = {"blend:1": 0.0, "style:sky": 2.0, "strength:sky": 0.9, "strength": 0.2, "tv_weight": 5.0, "step_size": 0.5}


@pytest.mark.parametrize("name", list(CHANGES))
def test_every_weight_can_be_steered_and_repeated(cache: TargetCache, photo: Any, paintings: Any, name: str) -> None:
    setup = {
        "style": [paintings[0], 1 - paintings[0]],
        "regions": [{"mask": left(), "style": paintings[1], "name": "sky", "strength": 0.4}],
        "optimizer": "adam",
    }
    plain = steered(cache, photo, paintings, {}, **setup)
    turned = steered(cache, photo, paintings, {4: {name: CHANGES[name]}}, **setup)
    assert turned.record["steering"] == [{"step": 5, "values": {name: CHANGES[name]}}]
    assert not np.array_equal(plain.pixels, turned.pixels)
    again = stylize(photo, cache=cache, steering=turned.record["steering"], **{**FEW, "steps": 10, **setup})
    assert np.array_equal(again.pixels, turned.pixels)


@pytest.mark.slow
def test_steering_to_the_same_value_changes_nothing(cache: TargetCache, photo: Any, paintings: Any) -> None:
    setup = {"style": paintings, "regions": [{"mask": left(), "style": paintings[1], "name": "sky", "strength": 0.4}]}
    plain = steered(cache, photo, paintings, {}, **setup)
    for values in ({"blend:1": 0.5}, {"strength:sky": 0.4}, {"style:sky": 1.0}, {"strength": 0.5}, {"step_size": 1.0}):
        assert np.array_equal(steered(cache, photo, paintings, {4: dict(values)}, **setup).pixels, plain.pixels)


def test_what_is_not_there_cannot_be_steered(cache: TargetCache, photo: Any, paintings: Any) -> None:
    mailbox = Mailbox()
    mailbox.post("set", **{"strength:sea": 0.5})
    mailbox.post("set", **{"strength:sky": 1.5})
    regions = [{"mask": left(), "style": paintings[1], "name": "sky"}]
    events = list(iter_stylize(photo, None, regions=regions, mailbox=mailbox, cache=cache, **{**FEW, "steps": 1}))
    told = [event.message for event in events if isinstance(event, Warned)]
    assert any("'strength:sea' cannot be changed during a run; did you mean 'strength:sky'" in text for text in told)
    assert any("strength:sky is 1.5; it must be between 0 and 1" in text for text in told)
