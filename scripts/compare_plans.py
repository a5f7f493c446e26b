"""Compare images by the size of the L-BFGS history, for docs/scale.md.

    python scripts/compare_plans.py photo.jpg painting.jpg --size 512 -o plans

paints a pair with ten history pairs in float32, with ten and three in bfloat16, and with the low-memory optimizer that
replaces L-BFGS if memory is short, and scores each image (``impasto evaluate``).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from impasto.api import Inputs, iter_run, last
from impasto.options import recipes
from impasto.planning.memory import PAIRS, MemoryPlan
from impasto.run.painter import History
from impasto.run.prepared_run import prepare
from impasto.run.target_cache import TargetCache
from impasto.workflows.evaluate import Evaluator

PLANS = {
    "ten": MemoryPlan(None),
    "ten-half": MemoryPlan(None, PAIRS, bf16_history=True),
    "three-half": MemoryPlan(None, 3, bf16_history=True),
    "lean": MemoryPlan(None, 0, first_order=True),
}


def main() -> None:
    """Print one line of JSON per plan."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("content")
    parser.add_argument("style")
    parser.add_argument("--size", default="512")
    parser.add_argument("-o", "--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    scales = prepare(args.content, args.style, recipes.resolve(size=args.size)).scales
    evaluator, cache = Evaluator(args.content, args.style), TargetCache()
    for name, plan in PLANS.items():
        taken = {"plans": [[scale.height, scale.width, *plan.as_data()] for scale in scales]}
        path = args.out / f"{name}.png"
        inputs, history = Inputs(args.content, args.style), History(decisions=taken)
        last(iter_run(inputs, {"size": args.size}, output=path, history=history, cache=cache))
        print(
            json.dumps({"plan": name, **{key: round(value, 3) for key, value in evaluator(path).items()}}), flush=True
        )


if __name__ == "__main__":
    main()
