"""What an evaluation of the loss and its gradient takes whole, in tiles, at another size and in several processes.

    python scripts/compare_evaluations.py photo.jpg painting.jpg --sides 2048 2048:1024 2048:512
    torchrun --standalone --nproc-per-node 2 scripts/compare_evaluations.py photo.jpg painting.jpg --sides 2048

A side is a long side in px, and after a colon that of the tiles. All sides are made ready first and then take turns, so
that a machine that is faster at one time than at another is so for all of them. Prints one line of JSON a side: median,
least and most seconds, those a megapixel, and how many times the first side's median and megapixel that is. Several
processes, one thread each, paint every side together and in between the first paints it alone; ``alone`` is its time.
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
from impasto.run.job import prepare
from impasto.run.target_cache import Shared
from impasto.runtime import allocator, distributed
from impasto.runtime.distributed import ProcessGroup

Side = tuple[str, float, Callable[[], Any], Callable[[], Any]]  # name, megapixels, together, alone


def main() -> None:
    """Make the sides ready, let them take turns, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("content")
    parser.add_argument("style")
    parser.add_argument("--sides", nargs="+", default=["1024", "1024:512"], metavar="SIZE[:TILE]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=int, default=1, help="tiles that keep what their first pass computed")
    parser.add_argument("--precision", default="auto")
    given = parser.parse_args()
    allocator.ask_for_huge_pages()
    joined = distributed.join()
    shared = Shared()
    with distributed.as_one(joined):
        sides = [made_ready(given, side, shared, joined) for side in given.sides]
        took: dict[str, list[tuple[float, float]]] = {side[0]: [] for side in sides}
        for turn in range(given.rounds + 1):
            for name, _, together, alone in sides:
                whole = ":" not in name
                single = timed(alone, joined, whole) if joined.world_size > 1 else 0.0
                times = timed(together, joined, whole), single
                if turn:  # the first turn touches memory for the first time
                    took[name].append(times)
        if joined.is_first:
            tell(sides, took, joined)


def made_ready(given: argparse.Namespace, side: str, shared: Shared, joined: ProcessGroup) -> Side:
    """Return a side with what evaluates it."""
    size, _, tile = side.partition(":")
    options = recipes.resolve(
        size=size, tile=int(tile) if tile else None, precision=given.precision, scales=1, style_scale=0.25
    )
    job = prepare(given.content, given.style, options, group=joined)
    scale, encoder = job.scales[-1], shared.encoder(job)
    shard = joined.shard(scale.height)
    problem = build_scale_objective(
        encoder, job.control, scale, job.options, job.style_layers, job.content_layers, given.keep, shard
    )
    weights = job.knobs().weights(problem.normalizers, scale.content_factor)
    canvas = problem.content
    own = problem.objective
    single = Objective(encoder, own.terms, own.height, own.width, tile=job.options.machine.tile, keep=given.keep)
    rows = shard.cut(canvas)

    def together() -> Any:
        return own.evaluate(rows, weights)

    def alone() -> Any:
        return single.evaluate(canvas, weights) if joined.is_first else None

    return side, scale.height * scale.width / 1e6, together, alone


def timed(work: Callable[[], Any], joined: ProcessGroup, whole: bool) -> float:
    """Return the seconds that all processes take for some work, from a common start.

    A whole picture is evaluated once before, as a run keeps its memory from step to step; what tiles free goes back.
    """
    with allocator.retain_freed_memory(allocator.MAX_INT) if whole else allocator.release_freed_memory():
        if whole:
            work()
        joined.broadcast(None)
        began = time.perf_counter()
        work()
        joined.all_reduce_scalars(0.0)
        return time.perf_counter() - began


def tell(sides: list[Side], took: dict[str, list[tuple[float, float]]], joined: ProcessGroup) -> None:
    """Print a line of JSON a side."""
    first = statistics.median(seconds for seconds, _ in took[sides[0][0]])
    for name, area, _, _ in sides:
        seconds = [taken for taken, _ in took[name]]
        middle = statistics.median(seconds)
        line: dict[str, object] = {"side": name, "processes": joined.world_size, "threads": torch.get_num_threads()}
        line |= {"seconds": [round(x, 2) for x in (middle, min(seconds), max(seconds))]}
        line |= {"a_megapixel": round(middle / area, 3), "times_the_first": round(middle / first, 3)}
        line["times_its_megapixel"] = round(middle / area / (first / sides[0][1]), 3)
        if joined.world_size > 1:
            alone = [taken for _, taken in took[name]]
            line["alone"] = [round(x, 2) for x in (statistics.median(alone), min(alone), max(alone))]
            line["times_as_fast"] = round(statistics.median(a / b for b, a in took[name]), 3)
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
