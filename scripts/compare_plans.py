"""Compare pictures by the size of the L-BFGS history, for docs/scale.md.

    python scripts/compare_plans.py photo.jpg painting.jpg --size 512 -o plans

paints a pair with ten history pairs in float32, with ten and three in bfloat16, and with the low-memory optimizer that
replaces L-BFGS if memory is short, and scores each picture (``impasto evaluate``).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from impasto.api import stylize
from impasto.options import recipes
from impasto.planning.memory import PAIRS, Plan
from impasto.run.job import prepare
from impasto.run.target_cache import Shared
from impasto.workflows.evaluate import Judge

PLANS = {
    "ten": Plan(None),
    "ten-half": Plan(None, PAIRS, half=True),
    "three-half": Plan(None, 3, half=True),
    "lean": Plan(None, 0, lean=True),
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
    judge, shared = Judge(args.content, args.style), Shared()
    for name, plan in PLANS.items():
        taken = {"plans": [[scale.height, scale.width, *plan.as_data()] for scale in scales]}
        path = args.out / f"{name}.png"
        stylize(args.content, args.style, output=path, size=args.size, decisions=taken, shared=shared)
        print(json.dumps({"plan": name, **{key: round(value, 3) for key, value in judge(path).items()}}), flush=True)


if __name__ == "__main__":
    main()
