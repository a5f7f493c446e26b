"""Print the style and content distances of a trained network, AdaIN and the optimizer on held-out photographs.

Each image is painted once into a folder, so the methods can be run separately (``--methods``). The table contains
means over the photographs that all methods have painted. Run it as ``python scripts/compare_instant.py OUT --photos DIR
--last 20 --style painting.jpg --network style.safetensors``, with the photographs reserved by ``--hold-out 20`` of the
training.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

import torch

import impasto
from impasto.api import Inputs, iter_run, last
from impasto.feedforward.any_style import FastStylizer
from impasto.feedforward.matching import Affine, Statistics
from impasto.imaging import images
from impasto.network.weights import adain_state
from impasto.regions.region_tensors import single_style
from impasto.run.target_cache import TargetCache
from impasto.workflows.evaluate import Evaluator

METRICS = ("lpips", "style_distance", "vgg_style", "ssim", "palette")
EPSILON = 1e-5
METHODS = ("photograph", "network", "adain", "fast", "optimizer")


def scale(source: Statistics, target: Statistics) -> Affine:
    """Return the map of AdaIN (Huang & Belongie, ICCV 2017, equation 8): mean and deviation of each channel."""
    ratio = ((target.covariance.diagonal() + EPSILON) / (source.covariance.diagonal() + EPSILON)).clamp(min=0).sqrt()
    return Affine(ratio.diag(), target.mean - ratio * source.mean)


def paint(method: str, photo: Path, args: argparse.Namespace, cache: TargetCache) -> float | None:
    """Paint one image unless its file exists, and return the seconds taken."""
    target = args.out / method / f"{photo.stem}.png"
    if target.exists():
        return None
    files = photo, args.style
    target.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    if method == "photograph":
        impasto.stylize(str(photo), str(args.style), output=target, size=args.size, fast=True, strength=0.0)
    elif method == "network":
        impasto.stylize(str(photo), None, output=target, size=args.size, model=str(args.network))
    elif method == "fast":
        impasto.stylize(str(photo), str(args.style), output=target, size=args.size, fast=True)
    elif method == "adain":  # as published: one pass, mean and standard deviation of each channel
        pictures = [torch.from_numpy(images.load(path).pixels.transpose(2, 0, 1).copy())[None] for path in files]
        size = images.parse_size(args.size).fit(*pictures[0].shape[-2:])
        painted = FastStylizer(adain_state(), matching=scale)(single_style(pictures[0], pictures[1]), size)
        images.save(target, painted[0].permute(1, 2, 0).numpy())
    else:
        inputs = Inputs(str(photo), str(args.style))
        last(iter_run(inputs, {"size": args.size}, output=target, cache=cache))
    return time.perf_counter() - began


def score(photos: list[Path], args: argparse.Namespace) -> Mapping[str, list[Mapping[str, float]]]:
    """Return the metrics of each method's images, for the photographs that all methods have painted."""
    metrics: dict[str, list[Mapping[str, float]]] = {method: [] for method in args.methods}
    for photo in photos:
        paths = {method: args.out / method / f"{photo.stem}.png" for method in args.methods}
        if all(path.exists() for path in paths.values()):
            evaluator = Evaluator(str(photo), str(args.style))
            for method, path in paths.items():
                metrics[method].append(evaluator(images.load(path).pixels))
    return metrics


def main() -> None:
    """Paint the missing images, then print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--last", type=int, default=20)
    parser.add_argument("--style", type=Path, required=True)
    parser.add_argument("--network", type=Path)
    parser.add_argument("--size", default="256")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--no-table", action="store_true")
    args = parser.parse_args()
    photos = sorted(path for path in args.photos.rglob("*") if path.suffix.lower() in images.READ_SUFFIXES)[
        -args.last :
    ]
    cache = TargetCache()
    for method in args.methods:
        seconds = [paint(method, photo, args, cache) for photo in photos]
        took = [second for second in seconds if second is not None]
        if took:
            print(f"{method}: {len(took)} images, {fmean(took):.2f} s each", flush=True)
    if args.no_table:
        return
    metrics = score(photos, args)
    print(f"| image | {' | '.join(METRICS)} |\n|{'---|' * (1 + len(METRICS))}")
    for method, rows in metrics.items():
        means = [f"{fmean(row[name] for row in rows):.3f}" for name in METRICS]
        print(f"| {method} | {' | '.join(means)} |", flush=True)


if __name__ == "__main__":
    main()
