"""Compare a poster with its proof, and a tiled image with an untiled one, for docs/posters.md.

    python scripts/compare_posters.py proof proof.png poster.png painting.jpg

prints the SSIM between the poster, reduced to the size of its proof, and the proof; and, for crops at 100 %, the
distances of the poster and of the enlarged proof (bicubic) from the painting by AlexNet's statistics, which no run
optimizes.

    python scripts/compare_posters.py borders tiled.png whole.png --tile 512

prints the mean difference between two images, in levels of 255, within 8 px of the tile borders and elsewhere.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch

from impasto.imaging import images
from impasto.network.weights import alexnet_state
from impasto.regions.region_tensors import tensor
from impasto.workflows.evaluate import alexnet_features, statistics, statistics_distance, structural_similarity

BORDER_PX = 8  # px


def compare_with_proof(args: argparse.Namespace) -> dict[str, object]:
    """Compare a poster with its proof."""
    proof, poster, style = (images.load(path).pixels for path in (args.first, args.second, args.style))
    height, width = proof.shape[:2]
    ssim = structural_similarity(proof, images.resize(poster, (height, width)))
    enlarged = images.resize(proof, poster.shape[:2])
    state, side = alexnet_state(), args.side
    tops = np.linspace(0, poster.shape[0] - side, args.crops).astype(int)
    lefts = np.linspace(0, poster.shape[1] - side, args.crops).astype(int)
    with torch.inference_mode():
        target = [statistics(layer) for layer in alexnet_features(tensor(style), state)]
        distances = []
        for top in tops:
            for left in lefts:
                window = slice(top, top + side), slice(left, left + side)
                distances.append(
                    [
                        statistics_distance(
                            [statistics(layer) for layer in alexnet_features(tensor(picture[window]), state)], target
                        )
                        for picture in (poster, enlarged)
                    ]
                )
    means = np.mean(distances, axis=0)
    return {
        "ssim": round(ssim, 3),
        "poster_from_style": round(float(means[0]), 3),
        "enlarged_proof_from_style": round(float(means[1]), 3),
        "crops_closer": sum(own < other for own, other in distances),
        "crops": len(distances),
    }


def compare_at_borders(args: argparse.Namespace) -> dict[str, object]:
    """Compare two images near tile borders and elsewhere."""
    one, other = (images.load(path).pixels for path in (args.first, args.second))
    difference = 255 * np.abs(one - other).mean(2)
    near = np.zeros(difference.shape, bool)
    for border in range(args.tile, difference.shape[0], args.tile):
        near[border - BORDER_PX : border + BORDER_PX] = True
    for border in range(args.tile, difference.shape[1], args.tile):
        near[:, border - BORDER_PX : border + BORDER_PX] = True
    along, elsewhere = float(difference[near].mean()), float(difference[~near].mean())
    return {"along": round(along, 4), "elsewhere": round(elsewhere, 4), "ratio": round(along / elsewhere, 4)}


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    kinds = parser.add_subparsers(required=True)
    proof = kinds.add_parser("proof")
    proof.set_defaults(compare=compare_with_proof)
    proof.add_argument("first", metavar="proof")
    proof.add_argument("second", metavar="poster")
    proof.add_argument("style", metavar="painting")
    proof.add_argument("--crops", type=int, default=3, help="number in each direction")
    proof.add_argument("--side", type=int, default=512, help="side of a crop in px")
    borders = kinds.add_parser("borders")
    borders.set_defaults(compare=compare_at_borders)
    borders.add_argument("first", metavar="tiled")
    borders.add_argument("second", metavar="whole")
    borders.add_argument("--tile", type=int, default=512)
    args = parser.parse_args()
    print(json.dumps(args.compare(args)))


if __name__ == "__main__":
    main()
