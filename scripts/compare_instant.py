"""Print style and content distance of a trained network, AdaIN and the optimiser on photographs it never saw.

Every picture is painted into a folder once, so parts of the work can be done apart (``--methods``); the table has the
means over those photographs for which all methods have painted. Run it as ``python scripts/compare_instant.py OUT
--photos DIR --last 20 --style painting.jpg --network style.safetensors``, with the photographs that the training's
``--leave-out 20`` kept away.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

import torch

import impasto
from impasto.feedforward.any_style import FastStylizer
from impasto.feedforward.dataset import SUFFIXES
from impasto.imaging import images
from impasto.network.weights import adain_state
from impasto.regions.region_tensors import single_style
from impasto.run.target_cache import Shared
from impasto.workflows.evaluate import Judge

MEASURES = ("lpips", "style_distance", "vgg_style", "ssim", "palette")
METHODS = ("photograph", "network", "adain", "fast", "optimiser")


def paint(method: str, photo: Path, given: argparse.Namespace, shared: Shared) -> float | None:
    """Paint one picture unless it is there, and return the seconds that it took."""
    target = given.out / method / f"{photo.stem}.png"
    if target.exists():
        return None
    files = photo, given.style
    target.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    if method == "photograph":
        impasto.stylize(str(photo), str(given.style), output=target, size=given.size, fast=True, strength=0.0)
    elif method == "network":
        impasto.stylize(str(photo), None, output=target, size=given.size, model=str(given.network))
    elif method == "fast":
        impasto.stylize(str(photo), str(given.style), output=target, size=given.size, fast=True)
    elif method == "adain":  # as published: one pass, each channel's mean and deviation alone
        pictures = [torch.from_numpy(images.load(path).pixels.transpose(2, 0, 1).copy())[None] for path in files]
        size = images.parse_size(given.size).fit(*pictures[0].shape[-2:])
        painted = FastStylizer(adain_state(), matching="scale")(single_style(pictures[0], pictures[1]), size)
        images.save(target, painted[0].permute(1, 2, 0).numpy())
    else:
        impasto.stylize(str(photo), str(given.style), output=target, size=given.size, shared=shared)
    return time.perf_counter() - began


def judged(photos: list[Path], given: argparse.Namespace) -> Mapping[str, list[Mapping[str, float]]]:
    """Return what each method's pictures measure, over the photographs that all of them have painted."""
    found: dict[str, list[Mapping[str, float]]] = {method: [] for method in given.methods}
    for photo in photos:
        paths = {method: given.out / method / f"{photo.stem}.png" for method in given.methods}
        if all(path.exists() for path in paths.values()):
            judge = Judge(str(photo), str(given.style))
            for method, path in paths.items():
                found[method].append(judge(images.load(path).pixels))
    return found


def main() -> None:
    """Paint what is missing, then print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--last", type=int, default=20)
    parser.add_argument("--style", type=Path, required=True)
    parser.add_argument("--network", type=Path)
    parser.add_argument("--size", default="256")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--no-table", action="store_true")
    given = parser.parse_args()
    photos = sorted(path for path in given.photos.rglob("*") if path.suffix.lower() in SUFFIXES)[-given.last :]
    shared = Shared()
    for method in given.methods:
        seconds = [paint(method, photo, given, shared) for photo in photos]
        took = [second for second in seconds if second is not None]
        if took:
            print(f"{method}: {len(took)} pictures, {fmean(took):.2f} s each", flush=True)
    if given.no_table:
        return
    found = judged(photos, given)
    print(f"| picture | {' | '.join(MEASURES)} |\n|{'---|' * (1 + len(MEASURES))}")
    for method, rows in found.items():
        means = [f"{fmean(row[name] for row in rows):.3f}" for name in MEASURES]
        print(f"| {method} | {' | '.join(means)} |", flush=True)


if __name__ == "__main__":
    main()
