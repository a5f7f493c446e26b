"""Print the style distance of recipes and of the default recipe at the same content distance.

For each pair, the recipes are painted and scored; then the strength of the default is bracketed until its content
distance (LPIPS, AlexNet) equals theirs. If the default has a lower content distance even at strength 1, that result is
used. Images that exist in OUT are scored, not painted again. Run it as ``python scripts/compare_at_equal_content.py
OUT --size 256 --contents a.jpg b.jpg --styles c.jpg d.jpg``.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass, field
from pathlib import Path

from impasto.api import Inputs, iter_run, last
from impasto.run.target_cache import TargetCache
from impasto.workflows.compare import iter_compare, plan
from impasto.workflows.evaluate import Evaluator

TRIALS = 7
TOLERANCE = 0.005


@dataclass
class Pair:
    """Runs of the default recipe on one pair of images, at most one per strength."""

    content: Path
    style: Path
    size: str
    evaluator: Evaluator
    cache: TargetCache = field(default_factory=lambda: TargetCache(retain=True))
    scores: dict[float, tuple[float, float]] = field(default_factory=dict)

    def at(self, strength: float) -> tuple[float, float]:
        """Return the content distance and the style distance at a strength."""
        if strength not in self.scores:
            inputs = Inputs(str(self.content), str(self.style))
            result = last(iter_run(inputs, {"strength": strength, "size": self.size}, cache=self.cache))
            metrics = self.evaluator(result.pixels)
            self.scores[strength] = metrics["lpips"], metrics["style_distance"]
        return self.scores[strength]

    def nearest(self, target: float) -> tuple[float, float, float]:
        """Return strength, content and style distance of the run whose content distance is closest to ``target``."""
        low, high, trials = 0.5, 1.0, []
        for trial in range(TRIALS):
            strength = high if trial == 0 else (low + high) / 2
            trials.append((strength, *self.at(strength)))
            above = trials[-1][1] > target
            if abs(trials[-1][1] - target) < TOLERANCE or (trial == 0 and not above):
                break
            if trial == 0 and self.at(low)[0] > target:
                low = 0.0
            elif trial:
                low, high = (low, strength) if above else (strength, high)
        return min(trials, key=lambda entry: abs(entry[1] - target))


def main() -> None:
    """Paint, score and print one row of a Markdown table per pair and recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--contents", type=Path, nargs="+", required=True)
    parser.add_argument("--styles", type=Path, nargs="+", required=True)
    parser.add_argument("--recipes", default="gatys2016@published,neural-style@published")
    parser.add_argument("--size", default="256")
    args = parser.parse_args()
    print("| content | style | recipe | content distance | style distance | default: strength | content | style |")
    print("|---|---|---|---|---|---|---|---|")
    for style, content in itertools.product(args.styles, args.contents):
        pair = Pair(content, style, args.size, Evaluator(str(content), str(style)))
        folder = args.out / f"{content.stem}-{style.stem}"
        for name in args.recipes.split(","):
            path = folder / f"{name.replace('@', '-')}.png"
            if not path.exists():
                for _ in iter_compare(str(content), str(style), plan(name, size=args.size), folder):
                    pass
            metrics = pair.evaluator(str(path))
            strength, lpips, distance = pair.nearest(metrics["lpips"])
            print(
                f"| {content.stem} | {style.stem} | {name} | {metrics['lpips']:.3f} | {metrics['style_distance']:.3f} "
                f"| {strength:.3f} | {lpips:.3f} | {distance:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
