"""A poster beside its proof, and a picture in tiles beside the same one whole: figures of docs/posters.md.

    python scripts/compare_posters.py proof proof.png poster.png painting.jpg

says how like its proof the poster is once it is as small (SSIM), and, crop by crop at 100 %, how far it and the proof
enlarged (bicubic) are from the painting by AlexNet's statistics, which no run optimises.

    python scripts/compare_posters.py borders tiled.png whole.png --tile 512

says how far two pictures are apart, in levels of 255, within 8 px of the tiles' borders and elsewhere.
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

NEAR = 8  # px


def beside_proof(given: argparse.Namespace) -> dict[str, object]:
    """Compare a poster with its proof."""
    proof, poster, style = (images.load(path).pixels for path in (given.first, given.second, given.style))
    height, width = proof.shape[:2]
    like = structural_similarity(proof, images.resize(poster, (height, width)))
    enlarged = images.resize(proof, poster.shape[:2])
    state, side = alexnet_state(), given.side
    tops = np.linspace(0, poster.shape[0] - side, given.crops).astype(int)
    lefts = np.linspace(0, poster.shape[1] - side, given.crops).astype(int)
    with torch.inference_mode():
        wanted = [statistics(layer) for layer in alexnet_features(tensor(style), state)]
        found = []
        for top in tops:
            for left in lefts:
                window = slice(top, top + side), slice(left, left + side)
                found.append(
                    [
                        statistics_distance(
                            [statistics(layer) for layer in alexnet_features(tensor(picture[window]), state)], wanted
                        )
                        for picture in (poster, enlarged)
                    ]
                )
    means = np.mean(found, axis=0)
    return {
        "ssim": round(like, 3),
        "poster_from_style": round(float(means[0]), 3),
        "enlarged_proof_from_style": round(float(means[1]), 3),
        "crops_nearer": sum(own < other for own, other in found),
        "crops": len(found),
    }


def along_borders(given: argparse.Namespace) -> dict[str, object]:
    """Compare two pictures near tiles' borders and elsewhere."""
    one, other = (images.load(path).pixels for path in (given.first, given.second))
    apart = 255 * np.abs(one - other).mean(2)
    near = np.zeros(apart.shape, bool)
    for border in range(given.tile, apart.shape[0], given.tile):
        near[border - NEAR : border + NEAR] = True
    for border in range(given.tile, apart.shape[1], given.tile):
        near[:, border - NEAR : border + NEAR] = True
    along, elsewhere = float(apart[near].mean()), float(apart[~near].mean())
    return {"along": round(along, 4), "elsewhere": round(elsewhere, 4), "ratio": round(along / elsewhere, 4)}


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    kinds = parser.add_subparsers(required=True)
    proof = kinds.add_parser("proof")
    proof.set_defaults(compare=beside_proof)
    proof.add_argument("first", metavar="proof")
    proof.add_argument("second", metavar="poster")
    proof.add_argument("style", metavar="painting")
    proof.add_argument("--crops", type=int, default=3, help="so many in each direction")
    proof.add_argument("--side", type=int, default=512, help="of a crop in px")
    borders = kinds.add_parser("borders")
    borders.set_defaults(compare=along_borders)
    borders.add_argument("first", metavar="tiled")
    borders.add_argument("second", metavar="whole")
    borders.add_argument("--tile", type=int, default=512)
    given = parser.parse_args()
    print(json.dumps(given.compare(given)))


if __name__ == "__main__":
    main()
