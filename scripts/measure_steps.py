"""Seconds, messages and memory of a step: where the figures in docs/scale.md come from.

    python scripts/measure_steps.py photo.jpg painting.jpg --size 2048 --tile 512 --steps 5
    torchrun --standalone --nproc-per-node 2 scripts/measure_steps.py photo.jpg painting.jpg --size 1024 --steps 5

paint at one size only, from the content, and print one line of JSON: the median seconds of a step (the first two are
left out where there are more, since history is short and memory is new), the seconds of processor time of each process
in it, which other programs on the machine lengthen less, what the first process sent in the last step, and each one's
peak of resident memory at the last step.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from itertools import pairwise

import torch

from impasto.api import iter_stylize
from impasto.events import ScaleStarted, Stepped
from impasto.runtime import allocator, distributed

LEFT_OUT = 2


def main() -> None:
    """Paint some steps and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("content")
    parser.add_argument("style")
    parser.add_argument("--size", default="1024")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--tile", type=int)
    parser.add_argument("--memory")
    parser.add_argument("--precision", default="auto")
    given = parser.parse_args()
    allocator.ask_for_huge_pages()
    joined = distributed.join()
    with distributed.as_one(joined):
        options = {"size": given.size, "steps": given.steps, "tile": given.tile}
        options |= {"precision": given.precision, "memory": given.memory}
        times, busy, sent, height, width = [], [], [], 0, 0
        for event in iter_stylize(given.content, given.style, group=joined, scales=1, style_scale=0.25, **options):
            if isinstance(event, Stepped):
                times.append(time.perf_counter())
                busy.append(time.process_time())
                sent.append(dict(joined.sent))
            elif isinstance(event, ScaleStarted):
                height, width = event.height, event.width
        own = torch.zeros(2, joined.world_size, dtype=torch.float64)
        own[0, joined.rank] = median(busy)
        own[1, joined.rank] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        last = {what: sent[-1][what] - sent[-2].get(what, 0) for what in sent[-1]}
        processor, peaks = joined.all_reduce_(own).tolist()
        if joined.is_first:
            found: dict[str, object] = {
                "processes": joined.world_size,
                "threads": torch.get_num_threads(),
                "size": [width, height],
            }
            found |= {"seconds": median(times), "processor": processor, "sent": last, "mebibytes": peaks}
            print(json.dumps(found))


def median(times: list[float]) -> float:
    """Return the median time from one step to the next, without the first ones where there are more."""
    taken = [after - before for before, after in pairwise(times)]
    return statistics.median(taken[LEFT_OUT - 1 :] or taken)


if __name__ == "__main__":
    main()
