"""The loop: steering, pausing, stopping, and getting up again after not-a-number."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from impasto.errors import NumericalError, OptionError
from impasto.events import Event, Mailbox, Snapshot, Steered, Stepped, Warned
from impasto.objective.objective import Evaluation
from impasto.optimizers import Adam, BoundedLBFGS
from impasto.options.fields import names_with
from impasto.run.engine import optimize
from impasto.run.live_weights import LiveWeights
from impasto.run.preview import as_preview
from impasto.run.state import Monitor, RunState
from impasto.runtime.distributed import RowShard
from waiting import HANG_SECONDS

REFERENCES = {"content": 2.0, "style": 0.5, "tv": 4.0}
SHAPE = (1, 3, 8, 10)


class Pulls:
    """An objective of three bowls, one a term; ``broken`` lists the evaluations, from 1, that are not a number."""

    def __init__(self, broken: tuple[int, ...] = (), *, in_gradient: bool = False) -> None:
        self.terms = dict.fromkeys(REFERENCES, SimpleNamespace(refresh_every=None))
        self.shard = RowShard(SHAPE[2])
        self.goals = {"content": 0.2, "style": 0.7, "tv": 0.5}
        self.broken, self.in_gradient = broken, in_gradient
        self.seen: list[dict[str, float]] = []
        self.canvases: list[Tensor] = []

    def evaluate(self, canvas: Tensor, weights: Mapping[str, float]) -> Evaluation:
        """Return the weighted bowls."""
        self.seen.append(dict(weights))
        self.canvases.append(canvas.clone())
        losses = {n: w * float((canvas - self.goals[n]).square().mean()) for n, w in weights.items() if w}
        gradient = torch.zeros_like(canvas)
        for name, weight in weights.items():
            gradient += weight * 2 * (canvas - self.goals[name]) / canvas.numel()
        total = sum(losses.values())
        if len(self.seen) in self.broken or -1 in self.broken:
            gradient[..., 0, 0] = math.nan
            total = total if self.in_gradient else math.nan
        return Evaluation(losses, total, gradient)


class Calls(BoundedLBFGS):
    """L-BFGS that notes when it is told of a change."""

    def __init__(self, start: Tensor) -> None:
        super().__init__(start)
        self.called: list[Any] = []

    def on_objective_change(self) -> None:
        """Note it."""
        self.called.append("changed")
        super().on_objective_change()

    def recover(self) -> None:
        """Note it."""
        self.called.append("recover")
        super().recover()

    def set_step_size(self, factor: float) -> None:
        """Note it."""
        self.called.append(factor)
        super().set_step_size(factor)


LISTENERS = ("mailbox", "preview_every", "snapshot_every")


def live_weights(strength: float | None = 0.5, **others: Any) -> LiveWeights:
    """Return the live_weights of a run."""
    return LiveWeights(strength, 1.0, 1.0, 0.1, **others)


def going(pulls: Pulls, optimizer: Any, run: RunState | None = None, steps: int = 6, **others: Any) -> Iterator[Event]:
    """Start a run."""
    run = run or RunState(live_weights())
    monitor = Monitor(**{name: others.pop(name) for name in LISTENERS if name in others})
    return optimize(run, pulls, optimizer, steps=steps, normalizers=REFERENCES, monitor=monitor, **others)  # type: ignore[arg-type]


def start() -> Tensor:
    """Return an image to start from."""
    return torch.full(SHAPE, 0.4)


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    """Return the events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def test_a_step_is_an_evaluation() -> None:
    pulls, run = Pulls(), RunState(live_weights(), step=10, scale=2)
    events = list(going(pulls, BoundedLBFGS(start()), run))
    assert [event.step for event in of(events, Stepped)] == [11, 12, 13, 14, 15, 16]
    assert [event.scale_step for event in of(events, Stepped)] == [1, 2, 3, 4, 5, 6]
    assert {event.scale for event in of(events, Stepped)} == {2}
    assert len(pulls.seen) == 6 == len(run.losses)
    for event, line in zip(of(events, Stepped), run.losses, strict=True):
        assert event.total == pytest.approx(sum(event.losses.values()))
        assert line == {"step": event.step, "scale": 2, "total": event.total, **event.losses}


def test_strength_shares_between_the_terms() -> None:
    weights = live_weights(0.25).weights(REFERENCES, 3.0)
    assert weights == {"content": 0.75 * 3 / 2, "style": 0.25 / 0.5, "tv": 0.1 / 4}
    assert live_weights(0.0).weights(REFERENCES, 1.0)["style"] == 0
    assert live_weights(1.0).weights(REFERENCES, 1.0)["content"] == 0
    raw = LiveWeights(None, 5.0, 100.0, 0.0).weights(dict.fromkeys(REFERENCES, 1.0), 1.0)
    assert raw == {"content": 5.0, "style": 100.0, "tv": 0.0}


def test_terms_of_one_kind_have_factors_of_their_own() -> None:
    normalizers = {"content": 1.0, "style:sky": 2.0, "style:ground": 4.0, "tv": 1.0}
    turned = live_weights()
    turned.apply({"style:sky": 3.0}, list(normalizers))
    weights = turned.weights(normalizers, 1.0)
    assert (weights["style:sky"], weights["style:ground"]) == (0.5 * 3 / 2, 0.5 / 4)


def test_what_is_set_is_felt_at_the_next_step() -> None:
    pulls, box, run = Pulls(), Mailbox(), RunState(live_weights())
    events = going(pulls, Calls(start()), run, mailbox=box)
    next(events)
    box.post("set", strength=0.9)
    assert next(events) == Steered(2, "set", {"strength": 0.9})
    next(events)
    assert pulls.seen[0] == live_weights().weights(REFERENCES, 1.0)
    assert pulls.seen[1] == live_weights(0.9).weights(REFERENCES, 1.0)
    assert run.steering == [{"step": 2, "values": {"strength": 0.9}}]


def test_a_changed_weight_drops_what_the_optimizer_knew() -> None:
    box, optimizer = Mailbox(), Calls(start())
    events = going(Pulls(), optimizer, mailbox=box)
    next(events)
    box.post("set", tv_weight=2.0)
    list(events)
    assert optimizer.called == ["changed"]


@pytest.mark.parametrize("values", [{"strength": 0.5}, {"step_size": 1.0}, {"tv_weight": 0.1}, {"style": 1.0}])
@pytest.mark.parametrize("kind", [BoundedLBFGS, Adam])
def test_steering_to_the_same_value_changes_nothing(values: dict[str, float], kind: Any) -> None:
    plain, steered, box = kind(start()), kind(start()), Mailbox()
    # The step has been halved on the way, which being set to the value it started from must not undo.
    alone = list(going(Pulls(broken=(3,)), plain, steps=12))
    events = []
    for event in going(Pulls(broken=(3,)), steered, steps=12, mailbox=box):
        events.append(event)
        if isinstance(event, Stepped) and event.step == 5:
            box.post("set", **values)
    assert [e for e in events if not isinstance(e, Steered)] == alone
    assert len(of(events, Steered)) == 1
    assert torch.equal(plain.picture(), steered.picture())
    assert torch.equal(plain.canvas(), steered.canvas())


def test_a_step_size_reaches_the_optimizer_once() -> None:
    box, optimizer = Mailbox(), Calls(start())
    box.post("set", step_size=0.25)
    box.post("set", step_size=0.25)
    list(going(Pulls(), optimizer, mailbox=box))
    assert optimizer.called == [0.25]


def test_every_live_option_can_be_steered() -> None:
    live = names_with("live")
    assert {"strength", "content_weight", "style_weight", "tv_weight", "step_size"} <= set(live)
    for name in live:
        live_weights().apply({name: 0.5}, [])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"strength": math.nan}, "strength is nan; it must be between 0 and 1"),
        ({"strength": 1.5}, "strength is 1.5; it must be between 0 and 1"),
        ({"strength": -0.5}, "strength is -0.5; it must be between 0 and 1"),
        ({"style_weight": math.inf}, "style_weight is inf; it must be a finite number of at least 0"),
        ({"step_size": 0.0}, "step_size is 0.0; it must be between 0.0001 and 100"),
        ({"style": -1.0}, "style is -1.0; it must be a finite number of at least 0"),
        ({"strenght": 0.5}, "'strenght' cannot be changed during a run; did you mean 'strength'"),
    ],
)
def test_what_cannot_be_steered_is_said_and_changes_nothing(values: dict[str, float], message: str) -> None:
    pulls, box, run = Pulls(), Mailbox(), RunState(live_weights())
    box.post("set", tv_weight=3.0, **values)  # the good half must not be taken either
    events = list(going(pulls, Calls(start()), run, mailbox=box))
    assert of(events, Warned)[0].message.startswith(message)
    assert not of(events, Steered)
    assert run.steering == []
    assert pulls.seen[0] == live_weights().weights(REFERENCES, 1.0)


def test_a_raw_weight_takes_over_from_a_strength() -> None:
    turned = live_weights(0.8)
    turned.apply({"content_weight": 0.1}, [])
    assert turned.weights(REFERENCES, 1.0) == {"content": 0.1 / 2, "style": 0.8 / 0.5, "tv": 0.1 / 4}
    turned.apply({"strength": 0.3}, [])
    assert turned.weights(REFERENCES, 1.0) == live_weights(0.3).weights(REFERENCES, 1.0)


def test_a_run_with_raw_weights_has_no_strength() -> None:
    with pytest.raises(OptionError, match="this run has raw weights: set content_weight or style_weight"):
        LiveWeights(None, 5.0, 100.0, 0.0, unitless=False).apply({"strength": 0.5}, [])


def test_a_paused_run_waits_and_obeys_the_while() -> None:
    pulls, box, run = Pulls(), Mailbox(), RunState(live_weights())
    events = going(pulls, Calls(start()), run, mailbox=box)
    next(events)
    box.post("pause")
    box.post("snapshot")
    box.post("set", strength=0.1)
    assert next(events) == Steered(2, "pause", {})
    assert isinstance(next(events), Snapshot)
    assert next(events) == Steered(2, "snapshot", {})
    assert next(events) == Steered(2, "set", {"strength": 0.1})
    assert run.paused
    assert len(pulls.seen) == 1
    box.post("resume")
    assert next(events) == Steered(2, "resume", {})
    assert isinstance(next(events), Stepped)
    assert not run.paused
    assert run.steering == [{"step": 2, "values": {"strength": 0.1}}]


def test_a_pause_is_ended_from_another_thread() -> None:
    box, paused, events = Mailbox(), threading.Event(), []
    box.post("pause")

    def work() -> None:
        for event in going(Pulls(), Calls(start()), mailbox=box):
            events.append(event)
            if event == Steered(1, "pause", {}):
                paused.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert paused.wait(HANG_SECONDS)
    box.post("resume")
    thread.join(HANG_SECONDS)
    assert not thread.is_alive()
    assert len(of(events, Stepped)) == 6


@pytest.mark.parametrize("paused", [False, True])
def test_stop_ends_the_run_before_the_next_step(paused: bool) -> None:
    pulls, box, run = Pulls(), Mailbox(), RunState(live_weights())
    events = going(pulls, Calls(start()), run, mailbox=box)
    next(events)
    if paused:
        box.post("pause")
    box.post("stop")
    rest = list(events)
    assert rest[-1] == Steered(2, "stop", {})
    assert run.stopped
    assert len(pulls.seen) == 1
    assert list(going(pulls, Calls(start()), run)) == []


def test_a_snapshot_is_the_picture_as_it_is() -> None:
    box, optimizer = Mailbox(), Calls(start())
    events = going(Pulls(), optimizer, mailbox=box)
    next(events)
    box.post("snapshot")
    snapshot = next(events)
    assert isinstance(snapshot, Snapshot)
    assert (snapshot.step, snapshot.picture.shape, str(snapshot.picture.dtype)) == (1, (8, 10, 3), "uint8")
    assert (snapshot.picture == as_preview(optimizer.picture())).all()


def test_previews_and_snapshots_come_when_due() -> None:
    events = list(going(Pulls(), Calls(start()), steps=7, preview_every=3, snapshot_every=2))
    assert [e.step for e in of(events, Stepped) if e.preview is not None] == [1, 3, 6]
    assert [e.step for e in of(events, Snapshot)] == [1, 2, 4, 6]


def test_replayed_steering_is_the_same_run() -> None:
    box, run, first = Mailbox(), RunState(live_weights()), BoundedLBFGS(start())
    pulls = Pulls(broken=(4,))
    for event in going(pulls, first, run, steps=9, mailbox=box):
        if isinstance(event, Stepped) and event.step in (2, 5):
            box.post("set", strength=event.step / 10, step_size=0.5)
    again, second = RunState(live_weights()), BoundedLBFGS(start())
    list(going(Pulls(broken=(4,)), second, again, steps=9, replayed=run.steering))
    assert again.steering == run.steering
    assert again.losses == run.losses
    assert torch.equal(first.picture(), second.picture())


@pytest.mark.parametrize("in_gradient", [False, True])
@pytest.mark.parametrize("kind", [BoundedLBFGS, Adam])
def test_not_a_number_is_caught_where_it_appears(kind: Any, in_gradient: bool) -> None:
    pulls, run, optimizer = Pulls(broken=(3, 6), in_gradient=in_gradient), RunState(live_weights()), kind(start())
    events = list(going(pulls, optimizer, run, steps=6))
    warned = of(events, Warned)
    assert [event.message.split(":")[0] for event in warned] == [
        f"the loss became NaN at step {step}" for step in (3, 5)
    ]
    assert run.recoveries == 2
    assert len(of(events, Stepped)) == 6
    assert bool(optimizer.picture().isfinite().all())
    assert all(math.isfinite(line["total"]) for line in run.losses)


def test_after_a_turn_back_it_goes_on_from_a_good_picture() -> None:
    pulls, optimizer = Pulls(broken=(4,)), Calls(start())
    events = going(pulls, optimizer, steps=5)
    pictures = [optimizer.picture().clone() for event in events if isinstance(event, Stepped)]
    assert optimizer.called == ["recover"]
    torch.testing.assert_close(pulls.canvases[4], pictures[2])


def test_three_turns_back_are_enough() -> None:
    pulls, run, optimizer = Pulls(broken=(3, 4, 5, 6)), RunState(live_weights()), Calls(start())
    seen: list[Event] = []
    with pytest.raises(NumericalError, match=r"became NaN at step 3, and halving the step size 3 times did not help"):
        seen.extend(going(pulls, optimizer, run))
    assert optimizer.called == ["recover"] * 3
    assert run.step == 2
    assert bool(optimizer.picture().isfinite().all())


def test_without_a_mailbox_nothing_is_waited_for() -> None:
    run = RunState(live_weights(), paused=True)
    assert len(list(going(Pulls(), Calls(start()), run))) == 6


def test_a_checkpoint_without_a_folder_is_said() -> None:
    box = Mailbox()
    box.post("checkpoint")
    events = list(going(Pulls(), Calls(start()), mailbox=box))
    assert "this run has no folder for it" in of(events, Warned)[0].message


def test_a_preview_is_rounded_in_bands_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = torch.rand(1, 3, 37, 23, generator=torch.Generator().manual_seed(3)) * 1.2 - 0.1
    enabled = (picture[0].permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).numpy()
    for band in (1, 50, 10**6):
        monkeypatch.setattr("impasto.run.preview.CHUNK_PX", band)
        assert (as_preview(picture) == enabled).all()
