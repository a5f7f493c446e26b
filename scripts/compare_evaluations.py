"""Time an evaluation of loss and gradient untiled, in tiles, at another size and in several processes.

    python scripts/compare_evaluations.py photo.jpg painting.jpg --sides 2048 2048:1024 2048:512
    torchrun --standalone --nproc-per-node 2 scripts/compare_evaluations.py photo.jpg painting.jpg --sides 2048

A side is a long side in px, optionally followed by a colon and the tile side. All sides are prepared first and then
evaluated in turn, so that variations in the speed of the machine affect all of them. Prints one line of JSON per side:
the median, minimum and maximum seconds, the seconds per megapixel, and the ratios to the first side. Several processes,
with one thread each, evaluate every side together; in between, the first process evaluates it alone (``alone``).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from impasto.objective.objective import Objective
from impasto.objective.scale_objective import build_scale_objective
from impasto.options import recipes
from impasto.run.prepared_run import prepare
from impasto.run.target_cache import TargetCache
from impasto.runtime import allocator, distributed
from impasto.runtime.distributed import ProcessGroup

Side = tuple[str, float, Callable[[], Any], Callable[[], Any]]  # name, megapixels, together, alone


def main() -> None:
    """Prepare the sides, evaluate them in turn, and print the times."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("content")
    parser.add_argument("style")
    parser.add_argument("--sides", nargs="+", default=["1024", "1024:512"], metavar="SIZE[:TILE]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=int, default=1, help="number of tiles that retain their first forward pass")
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()
    allocator.ask_for_huge_pages()
    group = distributed.join()
    cache = TargetCache()
    with distributed.as_one(group):
        sides = [prepare_side(args, side, cache, group) for side in args.sides]
        times_by_side: dict[str, list[tuple[float, float]]] = {side[0]: [] for side in sides}
        for turn in range(args.rounds + 1):
            for name, _, together, alone in sides:
                whole = ":" not in name
                single = time_call(alone, group, whole) if group.world_size > 1 else 0.0
                times = time_call(together, group, whole), single
                if turn:  # not the warmup turn, which touches memory for the first time
                    times_by_side[name].append(times)
        if group.is_first:
            print_times(sides, times_by_side, group)


def prepare_side(args: argparse.Namespace, side: str, cache: TargetCache, group: ProcessGroup) -> Side:
    """Return a side with the functions that evaluate it."""
    size, _, tile = side.partition(":")
    options = recipes.resolve(
        size=size, tile=int(tile) if tile else None, precision=args.precision, scales=1, style_scale=0.25
    )
    prepared = prepare(args.content, args.style, options, group=group)
    scale, encoder = prepared.scales[-1], cache.encoder(prepared)
    shard = group.shard(scale.height)
    scale_objective = build_scale_objective(
        encoder,
        prepared.tensors,
        scale,
        prepared.options,
        prepared.style_layers,
        prepared.content_layers,
        args.keep,
        shard,
    )
    weights = prepared.initial_weights().weights(scale_objective.normalizers, scale.content_factor)
    canvas = scale_objective.content
    own = scale_objective.objective
    single = Objective(encoder, own.terms, own.height, own.width, tile=prepared.options.machine.tile, keep=args.keep)
    rows = shard.cut(canvas)

    def together() -> Any:
        return own.evaluate(rows, weights)

    def alone() -> Any:
        return single.evaluate(canvas, weights) if group.is_first else None

    return side, scale.height * scale.width / 1e6, together, alone


def time_call(work: Callable[[], Any], group: ProcessGroup, whole: bool) -> float:
    """Return the seconds that all processes take for ``work`` from a common start.

    An untiled image is evaluated once before, because a run retains its memory from step to step; tiles release it.
    """
    with allocator.retain_freed_memory(allocator.MAX_INT) if whole else allocator.release_freed_memory():
        if whole:
            work()
        group.broadcast(None)
        began = time.perf_counter()
        work()
        group.all_reduce_scalars(0.0)
        return time.perf_counter() - began


def print_times(sides: list[Side], times_by_side: dict[str, list[tuple[float, float]]], group: ProcessGroup) -> None:
    """Print one line of JSON per side."""
    first = statistics.median(seconds for seconds, _ in times_by_side[sides[0][0]])
    for name, area, _, _ in sides:
        seconds = [taken for taken, _ in times_by_side[name]]
        middle = statistics.median(seconds)
        line: dict[str, object] = {"side": name, "processes": group.world_size, "threads": torch.get_num_threads()}
        line |= {"seconds": [round(x, 2) for x in (middle, min(seconds), max(seconds))]}
        line |= {"seconds_per_megapixel": round(middle / area, 3), "ratio_to_first": round(middle / first, 3)}
        line["ratio_per_megapixel"] = round(middle / area / (first / sides[0][1]), 3)
        if group.world_size > 1:
            alone = [taken for _, taken in times_by_side[name]]
            line["alone"] = [round(x, 2) for x in (statistics.median(alone), min(alone), max(alone))]
            line["speedup"] = round(statistics.median(a / b for b, a in times_by_side[name]), 3)
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
