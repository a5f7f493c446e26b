"""Print the style distance of recipes and of the default recipe at the same content distance.

For each pair the given recipes are painted and judged; then the default's strength is bracketed until its content
distance (LPIPS, AlexNet) is theirs. Run it as ``python scripts/compare_at_equal_content.py OUT --size 256
--contents a.jpg b.jpg --styles c.jpg d.jpg --recipes gatys2016@published,neural-style@published``.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import impasto
from impasto.compare import iter_compare, plan
from impasto.evaluate import Judge
from impasto.stylize import Shared

HALVINGS = 6
CLOSE = 0.005


def matched(
    content: Path, style: Path, wanted: float, judge: Judge, size: str, shared: Shared
) -> tuple[float, float, float]:
    """Return strength, content distance and style distance of the default recipe nearest to a content distance."""
    low, high = 0.0, 1.0
    tried: list[tuple[float, float, float]] = []
    for _ in range(HALVINGS):
        strength = (low + high) / 2
        result = impasto.stylize(str(content), str(style), strength=strength, size=size, shared=shared)
        found = judge(result.pixels)
        tried.append((strength, found["lpips"], found["style_distance"]))
        if abs(found["lpips"] - wanted) < CLOSE:
            break
        low, high = (strength, high) if found["lpips"] < wanted else (low, strength)
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
    for content, style in itertools.product(given.contents, given.styles):
        judge, shared = Judge(str(content), str(style)), Shared(keep=True)
        folder = given.out / f"{content.stem}-{style.stem}"
        for entry in iter_compare(str(content), str(style), plan(given.recipes, size=given.size), folder):
            theirs = entry.measures["lpips"], entry.measures["style_distance"]
            strength, lpips, distance = matched(content, style, theirs[0], judge, given.size, shared)
            print(
                f"| {content.stem} | {style.stem} | {entry.name} | {theirs[0]:.3f} | {theirs[1]:.3f} "
                f"| {strength:.3f} | {lpips:.3f} | {distance:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
