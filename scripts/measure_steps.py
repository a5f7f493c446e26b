"""Measure the time, communication and memory of a step, for docs/scale.md.

    python scripts/measure_steps.py photo.jpg painting.jpg --size 2048 --tile 512 --steps 5
    torchrun --standalone --nproc-per-node 2 scripts/measure_steps.py photo.jpg painting.jpg --size 1024 --steps 5

These commands paint at one size only, from the content, and print one line of JSON: the median seconds of a step
(without the first two if there are more, because the history is short and memory is touched for the first time), the
processor seconds of each process, which other programs affect less, the bytes that the first process sent in the last
step, and the peak resident memory of each process at the last step.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from itertools import pairwise

import torch

from impasto.api import Inputs, iter_run
from impasto.events import ScaleStarted, Stepped
from impasto.runtime import allocator, distributed

WARMUP_STEPS = 2


def main() -> None:
    """Run some steps and print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("content")
    parser.add_argument("style")
    parser.add_argument("--size", default="1024")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--tile", type=int)
    parser.add_argument("--memory")
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()
    allocator.ask_for_huge_pages()
    group = distributed.join()
    with distributed.as_one(group):
        options = {"size": args.size, "steps": args.steps, "tile": args.tile, "scales": 1, "style_scale": 0.25}
        options |= {"precision": args.precision, "memory": args.memory}
        times, busy, sent, height, width = [], [], [], 0, 0
        for event in iter_run(Inputs(args.content, args.style), options, group=group):
            if isinstance(event, Stepped):
                times.append(time.perf_counter())
                busy.append(time.process_time())
                sent.append(dict(group.sent))
            elif isinstance(event, ScaleStarted):
                height, width = event.height, event.width
        local = torch.zeros(2, group.world_size, dtype=torch.float64)
        local[0, group.rank] = median(busy)
        local[1, group.rank] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        last = {what: sent[-1][what] - sent[-2].get(what, 0) for what in sent[-1]}
        processor, peaks = group.all_reduce_(local).tolist()
        if group.is_first:
            line: dict[str, object] = {
                "processes": group.world_size,
                "threads": torch.get_num_threads(),
                "size": [width, height],
            }
            line |= {"seconds": median(times), "processor": processor, "sent": last, "mebibytes": peaks}
            print(json.dumps(line))


def median(times: list[float]) -> float:
    """Return the median time from one step to the next, without the warmup steps if there are more."""
    durations = [after - before for before, after in pairwise(times)]
    return statistics.median(durations[WARMUP_STEPS - 1 :] or durations)


if __name__ == "__main__":
    main()
