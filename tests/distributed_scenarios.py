"""Several processes that paint one image, for ``test_distributed``: one process that forks the ranks of each group.

In: a folder. Out: one line of JSON per scenario. Each rank has one thread, as with ``torchrun``, and the network has
only a few blocks with random weights. The minimum size of a split image is lowered, so that small images are split.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from impasto.errors import MachineError
from impasto.events import Mailbox, ScaleStarted, Stepped
from impasto.imaging import images
from impasto.losses.summaries.protocol import Loss, Refreshing
from impasto.network.encoder import Encoder
from impasto.objective.loss_factory import (
    STYLE_LOSSES,
    ScaleContext,
    content_loss,
    regularizer_losses,
    style_loss,
    total_variation_loss,
)
from impasto.objective.objective import Objective
from impasto.objective.style_features import StyleFeatures
from impasto.optimizers import Adam, BoundedLBFGS, LowMemoryAdam
from impasto.options.layer_names import stride
from impasto.options.recipes import resolve
from impasto.run.state import Monitor
from impasto.run.target_cache import TargetCache
from impasto.runtime import distributed
from impasto.runtime.distributed import ProcessGroup, RowShard
from impasto.workflows.replay import iter_resume
from random_weights import state_before
from rounding import TIMES, assert_as_exact, assert_same, epsilon
from runs import iter_stylize

STYLE = {"relu1_1": 0.2, "relu2_1": 0.3, "relu3_1": 0.5}
DEEP = {"relu1_1": 0.2, "relu4_1": 0.8}
WEIGHTS = {"content": 2.0, "moments": 3.0, "tv": 0.7}
SAMPLED = ("wasserstein", "mmd-gauss", "sliced", "histogram", "mrf", "nearest", "strotss")
SUMS = tuple(name for name in STYLE_LOSSES if name not in SAMPLED)
GUARDS = ("edge_weight", "color_anchor_weight", "photorealism_weight", "despeckle_weight", "border_weight")
OPTIONS: dict[str, Any] = {
    "size": "128",
    "steps": 8,
    "scales": 2,
    "style_layers": "relu1_1+relu2_1",
    "content_layers": "relu2_2",
    "precision": "fp32",
    "init": "random",
}
State = dict[str, Tensor]
THINNER = 8
HANG_SECONDS = 900  # seconds; only a process that hangs reaches this limit
Task = Callable[[ProcessGroup], Any]


def group(count: int, task: Task, folder: Path) -> list[dict[str, Any]]:
    """Run a task in a group of processes, and return the exit code and the result of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for index in range(count):
        child = os.fork()
        if child == 0:
            os.environ |= {"RANK": str(index), "LOCAL_RANK": str(index), "WORLD_SIZE": str(count)}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            signal.alarm(HANG_SECONDS)
            _member(task, folder / f"said-{index}.json")
        children.append(child)
    found = []
    for index, child in enumerate(children):
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said = folder / f"said-{index}.json"
        found.append({"code": code, "said": json.loads(said.read_text()) if said.exists() else None})
        said.unlink(missing_ok=True)
    return found


def _member(task: Task, said: Path) -> None:
    try:
        joined = distributed.join()
        with distributed.as_one(joined):
            said.write_text(json.dumps(task(joined)))
        os._exit(0)
    except MachineError as error:
        said.write_text(json.dumps(str(error)))
        os._exit(2)
    except BaseException as error:
        said.write_text(json.dumps(f"{type(error).__name__}: {error}"))
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        os._exit(1)


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return uniform random numbers in [0, 1], equal in every dtype."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def terms_of(
    net: Encoder, size: tuple[int, int], names: Sequence[str], *, masked: bool = False, deep: bool = False
) -> dict[str, Loss]:
    """Return style losses by name, content, total variation and regularizers, with a random mask or none."""
    maps, layers, dtype = None, DEEP if deep else STYLE, net.means.dtype
    shown = {list(layers)[-1]: 1.0}
    if masked:
        shapes = {layer: (size[0] // stride(layer), size[1] // stride(layer)) for layer in layers}
        maps = {layer: random(1, 1, *shape, seed=9, dtype=dtype).round() for layer, shape in shapes.items()}
    picture, content = random(1, 3, 64, 80, seed=3, dtype=dtype), random(1, 3, *size, seed=2, dtype=dtype)
    terms: dict[str, Loss] = {}
    for name in names:
        options = resolve(style_loss=name)
        stage = ScaleContext(net, content, *size, layers, shown, options)
        style = StyleFeatures(stage.features(picture, layers), None, picture)
        terms[name] = style_loss(stage, [style], maps)
    options = resolve(**dict.fromkeys(GUARDS, 1.0), style_loss="gram")
    stage = ScaleContext(net, content, *size, layers, shown, options)
    return {
        **terms,
        "content": content_loss(stage, maps),
        "tv": total_variation_loss(*size, options),
        **regularizer_losses(content, options),
    }


def compare_evaluations(
    state: State, size: tuple[int, int], names: Sequence[str], tile: int | None = None, **kind: bool
) -> Task:
    """Compare losses and gradients of a group with those of one process, in float64 and, by exactness, in float32."""

    def task(joined: ProcessGroup) -> dict[str, Any]:
        found = {}
        for dtype in (torch.float64, torch.float32):
            net = Encoder(state, dtype=dtype)
            terms = terms_of(net, size, names, **kind)
            canvas, weights = random(1, 3, *size, seed=4, dtype=dtype), dict.fromkeys(terms, 1.0)
            alone = Objective(net, terms, *size, tile=tile)
            split = Objective(net, terms, *size, tile=tile, shard=joined.shard(size[0]))
            mine = split.shard.cut(canvas)
            if dtype == torch.float64:
                alone.refresh(canvas, 5)
                whole = alone.evaluate(canvas, weights)
                split.refresh(mine, 5)
                kept = {name: loss.state() for name, loss in terms.items() if isinstance(loss, Refreshing)}
                joined.sent.clear()
                part = split.evaluate(mine, weights)
                sent = dict(joined.sent)
                assert_same(part.losses, whole.losses)
                assert_same(part.gradient, split.shard.cut(whole.gradient))
            else:
                for name, taken in kept.items():  # the float64 result must use the same matches
                    terms[name].load_state(taken)
            found[dtype] = _one_by_one(alone, split, canvas, names)
        (exact, double), (plain, single) = found[torch.float64], found[torch.float32]
        assert_same(double, exact)
        products = sum(
            9 * (shape[0] + shape[1]) for shape in (part.shape for part in state.values()) if len(shape) == 4
        )
        least = epsilon(torch.float32, layers=2 * len(state) // 2, terms=products + size[0] * size[1])
        for name in exact:  # separately: a loss that sorts or takes roots is the least exact
            assert_as_exact(single[name], plain[name], exact[name], least=least)
        return {"split": not split.shard.is_whole, "sent": sent}

    return task


def _one_by_one(alone: Objective, split: Objective, canvas: Tensor, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the value of every term and the gradients of the named ones, for one process and for the group."""
    mine, found = split.shard.cut(canvas), []
    for own, part, together in ((alone, canvas, False), (split, mine, True)):
        made: dict[str, Any] = {name: [value] for name, value in own.values(canvas, together=together).items()}
        for name in names:
            gradient = own.evaluate(part, {name: 1.0}).gradient
            made[name].append(gradient if together else split.shard.cut(gradient))
        found.append(made)
    return found


def compare_optimizers(state: State, size: tuple[int, int], kind: str) -> Task:
    """Compare the image and the optimizer state of a group after some steps with those of one process."""
    kinds: dict[str, Callable[..., Any]] = {
        "lbfgs": partial(BoundedLBFGS, history_dtype=torch.float64),
        "adam": Adam,
        "lean": LowMemoryAdam,
    }
    # LowMemoryAdam keeps its canvas in float32.
    dtype = torch.float32 if kind == "lean" else torch.float64

    def task(joined: ProcessGroup) -> dict[str, Any]:
        net = Encoder(state, dtype=dtype)
        terms, start = terms_of(net, size, ["moments"]), random(1, 3, *size, seed=4, dtype=dtype)
        ends: list[Tensor] = []
        states: list[Tensor] = []
        # The second of two processes, painting the whole image: stochastic rounding differs between ranks.
        other = RowShard(size[0], ((0, 0), (0, size[0])), ProcessGroup(1, 2)) if kind == "lean" else None
        for own in (RowShard(size[0]), joined.shard(size[0])):
            objective = Objective(net, terms, *size, shard=own)
            optimizer = kinds[kind](own.cut(start), shard=own)
            for _ in range(6):
                found = objective.evaluate(optimizer.canvas(), WEIGHTS)
                joined.sent.clear()
                optimizer.step(found.total, found.gradient)
            ends.append(own.all_gather(optimizer.picture()))
            kept = optimizer.state()
            states.append(kept["x"])
            again = kinds[kind](own.cut(start), shard=own)
            sent = dict(joined.sent)
            if joined.is_first:
                torch.save(kept, STATE_FILE)
            joined.broadcast()
            again.load_state(torch.load(STATE_FILE, weights_only=True))
            assert torch.equal(again.canvas(), optimizer.canvas())
        if other is None:
            assert_same(ends[1], ends[0])
        else:
            reference = _alone(net, terms, start, other) - ends[0]
            # In norm: where a gradient is near zero, rounding decides the sign of a pixel's step.
            assert float((ends[1] - ends[0]).norm()) <= TIMES * float(reference.norm())
        whole = tuple(states[1].shape) == tuple(states[0].shape)
        return {"whole": whole or not joined.is_first, "sent": sent}

    return task


def _alone(net: Encoder, terms: dict[str, Loss], start: Tensor, shard: RowShard) -> Tensor:
    """Return the image of one process that rounds like another rank."""
    objective, optimizer = Objective(net, terms, *start.shape[-2:]), LowMemoryAdam(start, shard=shard)
    for _ in range(6):
        found = objective.evaluate(optimizer.canvas(), WEIGHTS)
        optimizer.step(found.total, found.gradient)
    return optimizer.picture()


STATE_FILE = Path("/dev/null")


class Runs:
    """Complete runs, each in its own folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = state_before("conv3")
        rng = np.random.default_rng(3)
        for name in ("content", "style"):
            coarse = Image.fromarray((rng.random((8, 8, 3)) * 255).astype(np.uint8))
            coarse.resize((96, 128), Image.Resampling.BICUBIC).save(root / f"{name}.png")
        left = np.zeros((128, 96), np.uint8)
        left[:, :40] = 255
        Image.fromarray(left).save(root / "mask.png")

    def follow(self, name: str, resume: bool = False, die: tuple[int, int] = (-1, 0), **options: Any) -> Task:
        """Paint to the end, steered once by rank 0; ``die`` is the rank and step at which a process kills itself."""

        def task(joined: ProcessGroup) -> dict[str, Any]:
            folder, mailbox = self.root / name, Mailbox()
            listeners: dict[str, Any] = {"mailbox": mailbox, "cache": TargetCache(self.state), "group": joined}
            listeners["preview_every"] = 4
            if resume:
                events = iter_resume(folder, monitor=Monitor(mailbox, 4), cache=listeners["cache"], group=joined)
            else:
                given = (self.root / "content.png", self.root / "style.png")
                events = iter_stylize(
                    *given,
                    output=folder / "out.png",
                    checkpoint_dir=folder,
                    checkpoint_seconds=0.0,
                    **listeners,
                    **{**OPTIONS, **options},
                )
            sizes, shown = [], []
            for event in events:
                if isinstance(event, ScaleStarted):
                    sizes.append(event.height)
                if isinstance(event, Stepped):
                    if event.preview is not None:
                        shown.append(event.preview.shape[0])
                    if event.step == 5 and joined.is_first:
                        mailbox.post("set", strength=0.8)
                    if die == (joined.rank, event.step):
                        os.kill(os.getpid(), signal.SIGKILL)
            return {"sizes": sizes, "shown": shown, "sent": joined.sent}

        return task

    def picture(self, name: str) -> Tensor:
        """Return the saved image of a run."""
        return torch.from_numpy(images.load(self.root / name / "out.png").pixels)


def scenarios(root: Path) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return the scenarios by name."""
    state, runs = state_before("conv4_2", thinner=THINNER), Runs(root)

    def law(count: int, *given: Any, **named: Any) -> Callable[[], dict[str, Any]]:
        return lambda: {"members": group(count, compare_evaluations(state, *given, **named), root)}

    def descent(kind: str) -> Callable[[], dict[str, Any]]:
        return lambda: {"members": group(2, compare_optimizers(state, (97, 48), kind), root)}

    def whole(name: str, count: int, **options: Any) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            alone = group(1, runs.follow(f"{name} alone", **options), root)
            members = group(count, runs.follow(name, **options), root)
            group(1, runs.follow(f"{name} in tiles", **options, tile=64), root)
            one = runs.picture(f"{name} alone")
            apart, tiled = ((runs.picture(other) - one).abs() for other in (name, f"{name} in tiles"))
            return {
                "alone": alone,
                "members": members,
                "worst": [float(apart.max()), float(tiled.max())],
                "mean": [float(apart.mean()), float(tiled.mean())],
            }

        return run

    def killed(name: str, die: tuple[int, int], after: int) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            members = group(2, runs.follow(name, die=die), root)
            kept = len(list((root / name).glob("checkpoint-*.json")))
            later = group(after, runs.follow(name, resume=True), root)
            apart = (runs.picture(name) - runs.picture("run alone")).abs()
            return {"members": members, "kept": kept, "later": later, "worst": float(apart.max())}

        return run

    regions = {"regions": [f"{root / 'mask.png'}={root / 'style.png'},color=content"]}
    return {
        "two": law(2, (96, 64), SUMS),
        "two, tiles and a mask": law(2, (131, 81), ("moments", "gram"), 32, masked=True),
        "three, odd": law(3, (113, 50), ("moments",), deep=True),
        "roots, samples and matches": law(2, (96, 64), SAMPLED),
        "lbfgs": descent("lbfgs"),
        "adam": descent("adam"),
        "lean": descent("lean"),
        "run": whole("run", 2),
        "regions": whole("regions", 3, **regions),
        "second dies": killed("second dies", (1, 7), 3),
        "first dies": killed("first dies", (0, 7), 1),
    }


def main(root: Path) -> None:
    """Run the scenarios, or those named, and print their outcomes."""
    global STATE_FILE  # noqa: PLW0603
    torch.set_num_threads(1)
    distributed.MIN_ROWS = 32
    STATE_FILE = root / "kept.pt"
    chosen = sys.argv[2:]
    for name, attempt in scenarios(root).items():
        if not chosen or name in chosen:
            print(json.dumps({"name": name, **attempt()}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
