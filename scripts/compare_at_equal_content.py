"""Print the style distance of recipes and of the default recipe at the same content distance.

For each pair the given recipes are painted and judged; then the default's strength is bracketed until its content
distance (LPIPS, AlexNet) is theirs. Where the default keeps more of the content even at strength 1, that is the nearest
there is. Pictures that OUT already holds are judged, not painted again. Run it as
``python scripts/compare_at_equal_content.py OUT --size 256 --contents a.jpg b.jpg --styles c.jpg d.jpg``.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass, field
from pathlib import Path

import impasto
from impasto.run.target_cache import Shared
from impasto.workflows.compare import iter_compare, plan
from impasto.workflows.evaluate import Judge

TRIALS = 7
CLOSE = 0.005


@dataclass
class Pair:
    """The default recipe on one pair of pictures, at any strength, each painted once."""

    content: Path
    style: Path
    size: str
    judge: Judge
    shared: Shared = field(default_factory=lambda: Shared(keep=True))
    known: dict[float, tuple[float, float]] = field(default_factory=dict)

    def at(self, strength: float) -> tuple[float, float]:
        """Return content distance and style distance at a strength."""
        if strength not in self.known:
            result = impasto.stylize(
                str(self.content), str(self.style), strength=strength, size=self.size, shared=self.shared
            )
            found = self.judge(result.pixels)
            self.known[strength] = found["lpips"], found["style_distance"]
        return self.known[strength]

    def nearest(self, wanted: float) -> tuple[float, float, float]:
        """Return strength, content distance and style distance where the content distance is nearest to a number."""
        low, high, tried = 0.5, 1.0, []
        for trial in range(TRIALS):
            strength = high if trial == 0 else (low + high) / 2
            tried.append((strength, *self.at(strength)))
            above = tried[-1][1] > wanted
            if abs(tried[-1][1] - wanted) < CLOSE or (trial == 0 and not above):
                break
            if trial == 0 and self.at(low)[0] > wanted:
                low = 0.0
            elif trial:
                low, high = (low, strength) if above else (strength, high)
        return min(tried, key=lambda entry: abs(entry[1] - wanted))


def main() -> None:
    """Paint, judge and print one line of a Markdown table for each pair and recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--contents", type=Path, nargs="+", required=True)
    parser.add_argument("--styles", type=Path, nargs="+", required=True)
    parser.add_argument("--recipes", default="gatys2016@published,neural-style@published")
    parser.add_argument("--size", default="256")
    given = parser.parse_args()
    print("| content | style | recipe | content distance | style distance | ours: strength | content | style |")
    print("|---|---|---|---|---|---|---|---|")
    for style, content in itertools.product(given.styles, given.contents):
        pair = Pair(content, style, given.size, Judge(str(content), str(style)))
        folder = given.out / f"{content.stem}-{style.stem}"
        for name in given.recipes.split(","):
            path = folder / f"{name.replace('@', '-')}.png"
            if not path.exists():
                for _ in iter_compare(str(content), str(style), plan(name, size=given.size), folder):
                    pass
            found = pair.judge(str(path))
            strength, lpips, distance = pair.nearest(found["lpips"])
            print(
                f"| {content.stem} | {style.stem} | {name} | {found['lpips']:.3f} | {found['style_distance']:.3f} "
                f"| {strength:.3f} | {lpips:.3f} | {distance:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
