"""The recipes that come along, as data: option values, where they are from, and what is different here.

Each follows a paper or a program; a departure is one sentence each. ``recipes.get`` finds them by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """A named preset.

    Args:
        summary: one line for lists.
        source: the paper or program it follows.
        departures: what is different here, one sentence each.
        settings: option values by flat name.
        published_steps: how many steps the source takes.
    """

    summary: str
    source: str
    departures: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    published_steps: int | None = None


FIVE_LAYERS = "relu1_1=0.2+relu2_1=0.2+relu3_1=0.2+relu4_1=0.2+relu5_1=0.2"
# The five, and three more where brush strokes are told apart; the deepest, which lays out large swirls, weighs less.
# docs/default.md has what was compared.
EIGHT_LAYERS = "+".join(
    [*(f"relu{name}=0.13" for name in ("1_1", "2_1", "3_1", "3_2", "3_3", "4_1", "4_2")), "relu5_1=0.09"]
)

BUILT_IN: dict[str, Recipe] = {
    "impasto": Recipe(
        summary="the default: means and covariances of eight layers, coarse to fine, from the content",
        source="Impasto; after Gatys, Ecker & Bethge, CVPR 2016, and Li, Wang, Liu & Hou, IJCAI 2017",
        departures=(
            "means and covariances instead of Gram matrices, each relative to the style's own",
            "a little total variation, relative to the style's own, against hairline cracks in flat places",
        ),
        settings={"tv_weight": 0.05},
    ),
    "gatys2016": Recipe(
        summary="the original method, with the settings of its paper's figures",
        source="Gatys, Ecker & Bethge, Image Style Transfer Using Convolutional Neural Networks, CVPR 2016",
        departures=(
            "the canvas stays in [0, 1] (projected L-BFGS)",
            "the style's Gram matrices are divided by the style's own size, which may differ from the canvas's",
            "the first convolution continues the edge pixels instead of padding with zeros",
            "300 steps instead of 500 (--steps published)",
        ),
        settings={
            "strength": None,
            "units": "gatys",
            "content_weight": 1e-3,
            "style_weight": 1.0,
            "style_layers": FIVE_LAYERS,
            "content_layers": "relu4_2",
            "pooling": "average",
            "init": "random",
            "scales": 1,
            "steps": 300,
        },
        published_steps=500,
    ),
    "neural-style": Recipe(
        summary="the numbers of neural-style-pt, its defaults but for the steps",
        source="neural-style-pt, after Johnson's neural-style",
        departures=(
            "the canvas stays in [0, 1] (projected L-BFGS)",
            "the random start fills the range instead of 0.001 times normal noise around the mean",
            "the first convolution continues the edge pixels instead of padding with zeros",
            "300 steps instead of 1000 (--steps published)",
        ),
        settings={
            "strength": None,
            "units": "neural-style",
            "content_weight": 5.0,
            "style_weight": 100.0,
            "tv_weight": 1e-3,
            "style_layers": "relu1_1+relu2_1+relu3_1+relu4_1+relu5_1",
            "content_layers": "relu4_2",
            "init": "random",
            "scales": 1,
            "steps": 300,
        },
        published_steps=1000,
    ),
    "gatys2016-highres": Recipe(
        summary="the original method in two passes, the second at twice the size from the first's result",
        source="Gatys' own notebook of 2017 (leongatys/PytorchNeuralStyleTransfer)",
        departures=(
            "the first pass is at 0.6 of the size, and weighs the content more",
            "as many steps as pay instead of 500 and 200; the canvas stays in [0, 1]",
            "the first convolution continues the edge pixels instead of padding with zeros",
        ),
        settings={
            "strength": None,
            "units": "neural-style",
            "content_weight": 1.0,
            "style_weight": 1e3,
            "style_layers": "relu1_1+relu2_1+relu3_1+relu4_1+relu5_1",
            "content_layers": "relu4_2",
            "init": "content",
            "scales": 2,
        },
        published_steps=700,
    ),
    "johnson-loss": Recipe(
        summary="the loss that feed-forward networks are trained on, optimized directly",
        source="Johnson, Alahi & Fei-Fei, ECCV 2016; weights after fast-neural-style",
        departures=(
            "torchvision's VGG-16, whose activations are 110 to 260 times smaller than the original's",
            "the published weights 1, 5 and 1e-6 are converted by those factors, layer by layer",
            "300 steps instead of 500; the canvas stays in [0, 1], as it does in the paper",
            "the first convolution continues the edge pixels instead of padding with zeros",
        ),
        settings={
            "strength": None,
            "units": "neural-style",
            "content_weight": 1.0,
            "style_weight": 6e4,
            "tv_weight": 1e-10,
            "network": "vgg16",
            "style_layers": "relu1_2=5.8+relu2_2=1+relu3_3=3.5+relu4_3=31",
            "content_layers": "relu2_2",
            "init": "random",
            "scales": 1,
            "steps": 300,
        },
        published_steps=500,
    ),
    "wasserstein": Recipe(
        summary="features as Gaussians, moved to the style's as cheaply as possible",
        source="crowsonkb/style-transfer-pytorch",
        departures=(
            "roots of covariances by eigendecomposition instead of Newton-Schulz iterations",
            "L-BFGS with as many steps as pay instead of 3000 of Adam, at scales 0.6 apart instead of 0.71",
            "the content weighs ten times as much, more at coarse scales: L-BFGS goes further down the style's term",
            "the original network instead of torchvision's, whose activations are some 150 times smaller",
            "so 2.0 of total variation becomes 45000",
        ),
        settings={
            "strength": None,
            "units": "plain",
            "content_weight": 0.15,
            "style_weight": 1.0,
            "tv_weight": 45000.0,
            "tv_norm": "nine",
            "style_loss": "wasserstein",
            "style_layers": "relu1_1=256+relu2_1=64+relu3_1=16+relu4_1=4+relu5_1=1",
            "content_layers": "relu4_2",
            "init": "content",
        },
        published_steps=3000,
    ),
    "nnst": Recipe(
        summary="every place becomes the place of the style that it most resembles; the style's own brushwork",
        source="Kolkin et al., Neural Neighbor Style Transfer, arXiv 2203.13215",
        departures=(
            "starts from the whole content, with its three finest bands",
            "fewer steps at each scale, four times the step size, scales 0.6 apart instead of halves",
            "matches are sought in the 256 directions in which the style's features extend most",
            "in the last pass matches are renewed every 5 steps instead of each",
            "a guided filter smooths the colors at the end",
        ),
        settings={
            "strength": None,
            "units": "plain",
            "content_weight": 0.0,
            "style_weight": 1.0,
            "network": "vgg16",
            "style_loss": "nearest",
            "per_layer_fraction": 0.2,
            "final_recolor": 1.0,
            "optimizer": "pyramid",
            "init": "content",
            "scales": 4,
            "steps": 300,
            "step_size": 4.0,
        },
        published_steps=1000,
    ),
    "strotss": Recipe(
        summary="optimal transport of sampled features, content as self-similarity: free colors, firm layout",
        source="Kolkin, Salavon & Shakhnarovich, Style Transfer by Relaxed Optimal Transport, CVPR 2019",
        departures=(
            "starts from the content instead of the style's mean color with the content's finest band",
            "Adam on the bands instead of RMSprop, and fewer steps at each scale",
            "1024 points of the style instead of 5000; points are drawn anew every 4 steps; the palette weighs 1",
            "scales 0.6 apart instead of halves, so the content's weight falls by 0.6 instead of a half",
        ),
        settings={
            "strength": None,
            "units": "plain",
            "content_weight": 2.0,
            "style_weight": 1.0,
            "network": "vgg16",
            "style_loss": "strotss",
            "content_loss": "self-similarity",
            "optimizer": "pyramid",
            "init": "content",
            "scales": 4,
            "steps": 240,
            "step_size": 2.0,
        },
        published_steps=800,
    ),
    "mrf": Recipe(
        summary="small patches of the style, put together anew: for pictures that share things with the style",
        source="Li & Wand, Combining Markov Random Fields and Convolutional Neural Networks, CVPR 2016",
        departures=(
            "a strength instead of raw weights; matches are renewed every 25 steps",
            "the style is neither turned nor enlarged",
            "scales 0.6 apart instead of halves",
            "published steps are those of the authors' program, 100 at each of 3 sizes",
        ),
        settings={
            "style_loss": "mrf",
            "style_layers": "relu3_1=0.5+relu4_1=0.5",
            "content_layers": "relu4_2",
            "tv_weight": 0.05,
            "init": "content",
        },
        published_steps=300,
    ),
    "sliced": Recipe(
        summary="the whole distribution of features, compared along random directions",
        source="Heitz, Vanhoey, Chambon & Belcour, A Sliced Wasserstein Loss for Neural Texture Synthesis, CVPR 2021",
        departures=(
            "five layers instead of twelve; 64 directions a layer, drawn anew every 10 steps",
            "at most 16384 positions a layer are sorted",
            "with a content term, where the paper makes textures",
            "published steps are the evaluations of the authors' program, 20 times 64",
        ),
        settings={"style_loss": "sliced", "init": "content"},
        published_steps=1280,
    ),
    "photoreal": Recipe(
        summary="a photograph takes another's light and colors and stays a photograph",
        source="Luan, Paris, Shechtman & Bala, Deep Photo Style Transfer, CVPR 2017",
        departures=(
            "regions are those you give with --region or --labels; none are found by themselves",
            "the photorealism term is divided by its size at noise; no filter afterwards",
            "one run with all terms instead of a first without the photorealism term",
        ),
        settings={"photorealism_weight": 4000.0, "color_anchor_weight": 0.0, "init": "content", "strength": 0.6},
        published_steps=2000,
    ),
    "texture": Recipe(
        summary="the style alone, at any size; with --seamless it tiles",
        source="Gatys, Ecker & Bethge, Texture Synthesis Using Convolutional Neural Networks, NIPS 2015",
        departures=(
            "relu2_1 to relu5_1 instead of the four poolings; each layer's Gram distance is relative",
            "coarse to fine instead of one size; a little total variation against grain",
            "published steps are those of the authors' notebook",
        ),
        settings={
            "strength": 1.0,
            "tv_weight": 0.05,
            "style_loss": "gram",
            "style_layers": FIVE_LAYERS,
            "pooling": "average",
            "init": "random",
        },
        published_steps=2000,
    ),
}
