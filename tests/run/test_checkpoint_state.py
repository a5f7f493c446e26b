"""What a checkpoint stores of losses, the optimizer and randomness, and when it is written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from impasto.optimizers import Adam
from impasto.run.checkpoint import Checkpointer, State
from impasto.run.live_weights import LiveWeights
from impasto.run.state import RunState
from impasto.runtime.distributed import RowShard


class Drawing:
    """A loss with a state of its own."""

    layers: tuple[str, ...] = ()
    halo_px = 0
    refresh_every: int | None = None

    def __init__(self) -> None:
        self.drawn = torch.zeros(3)

    def summarize(self, canvas: Tensor, features: Any, region: Any) -> Tensor:
        return canvas.sum().reshape(1)

    def value(self, summary: Tensor) -> Tensor:
        return summary.sum()

    def refresh(self, generator: torch.Generator, sweep: Any) -> None:
        self.drawn = torch.rand(3, generator=generator)

    def state(self) -> dict[str, Tensor]:
        return {"drawn": self.drawn}

    def load_state(self, state: Any) -> None:
        self.drawn = state["drawn"]


class Terms:
    """What a checkpoint needs of an objective."""

    def __init__(self, loss: Drawing) -> None:
        self.terms = {"drawing": loss}
        self.shard = RowShard(4)


def test_a_checkpoint_with_the_old_name_of_the_weights_is_read(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    loss, optimizer = Drawing(), Adam(torch.rand(1, 3, 4, 4, generator=generator))
    loss.refresh(generator, None)
    beginning = {"options": {}, "decisions": {}, "inputs": {}}
    checkpointer = Checkpointer(tmp_path, 0.0, beginning, generator, resume=False)
    weights = LiveWeights(0.25, 1.0, 1.0, 0.0, strengths={"sky": 0.75})
    checkpointer.save(RunState(weights, step=3), optimizer, Terms(loss), now=True)  # type: ignore[arg-type]
    (path,) = tmp_path.glob("checkpoint-*.json")
    inner = json.loads(json.loads(path.read_bytes())["state"])
    inner["run"]["knobs"] = inner["run"].pop("live_weights")
    old = json.dumps(inner, sort_keys=True)
    path.write_text(json.dumps({"state": old, "sha256": hashlib.sha256(old.encode()).hexdigest()}))
    state = Checkpointer(tmp_path, 0.0, beginning, torch.Generator(), resume=True).state
    assert isinstance(state, State)
    assert state.run == RunState(weights, step=3)


def test_losses_and_randomness_come_back(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    loss, optimizer = Drawing(), Adam(torch.rand(1, 3, 4, 4, generator=generator))
    loss.refresh(generator, None)
    beginning = {"options": {}, "decisions": {}, "inputs": {}}
    checkpointer = Checkpointer(tmp_path, 0.0, beginning, generator, resume=False)
    checkpointer.normalizers = {"drawing": 2.5}
    checkpointer.save(RunState(LiveWeights(0.5, 1.0, 1.0, 0.0), step=3), optimizer, Terms(loss), now=True)  # type: ignore[arg-type]
    following = torch.rand(5, generator=generator)

    other, fresh = torch.Generator(), Drawing()
    state = Checkpointer(tmp_path, 0.0, beginning, other, resume=True).state
    assert isinstance(state, State)
    twin = Adam(torch.zeros(1, 3, 4, 4))
    state.restore(twin, Terms(fresh), other)  # type: ignore[arg-type]
    assert torch.equal(fresh.drawn, loss.drawn)
    assert torch.equal(torch.rand(5, generator=other), following)
    assert torch.equal(twin.canvas(), optimizer.canvas())
    assert (state.run.step, state.normalizers) == (3, {"drawing": 2.5})


def test_states_are_put_off_where_they_cost_much(tmp_path: Path) -> None:
    generator = torch.Generator()
    checkpointer = Checkpointer(tmp_path, 5.0, {"options": {}, "decisions": {}, "inputs": {}}, generator, resume=False)
    checkpointer._began = 100.0
    checkpointer._due = 105.0
    checkpointer._delay_next(0.01)
    assert checkpointer._due == 105.0
    checkpointer._delay_next(1.0)
    assert checkpointer._due == pytest.approx(150.0)
