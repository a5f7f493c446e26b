"""The built-in recipes as data: option values, their source, and every difference from it.

Each recipe follows a paper or a program. ``recipes.get`` returns them by name.
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
        departures: differences from the source, one sentence each.
        settings: option values by flat name.
        published_steps: number of steps of the source, if it states one.
    """

    summary: str
    source: str
    departures: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    published_steps: int | None = None


FIVE_LAYERS = "relu1_1=0.2+relu2_1=0.2+relu3_1=0.2+relu4_1=0.2+relu5_1=0.2"
# The five, and three more that distinguish brush strokes; the deepest, which determines large swirls, has less weight.
# docs/default.md compares them.
EIGHT_LAYERS = "+".join(
    [*(f"relu{name}=0.13" for name in ("1_1", "2_1", "3_1", "3_2", "3_3", "4_1", "4_2")), "relu5_1=0.09"]
)

BUILT_IN: dict[str, Recipe] = {
    "impasto": Recipe(
        summary="the default: means and covariances of eight layers, coarse to fine, starting from the content",
        source="Impasto; after Gatys, Ecker & Bethge, CVPR 2016, and Li, Wang, Liu & Hou, IJCAI 2017",
        departures=(
            "means and covariances instead of Gram matrices, each relative to those of the style",
            "a little total variation, relative to that of the style, against hairline cracks in flat areas",
        ),
        settings={"tv_weight": 0.05},
    ),
    "gatys2016": Recipe(
        summary="the original method, with the settings of the figures in the paper",
        source="Gatys, Ecker & Bethge, Image Style Transfer Using Convolutional Neural Networks, CVPR 2016",
        departures=(
            "the canvas stays in [0, 1] (projected L-BFGS)",
            "the Gram matrices of the style are divided by its own size, which may differ from that of the canvas",
            "the first convolution uses replicate padding instead of zero padding",
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
        summary="the defaults of neural-style-pt, except for the number of steps",
        source="neural-style-pt, after Johnson's neural-style",
        departures=(
            "the canvas stays in [0, 1] (projected L-BFGS)",
            "random initialization over the whole range instead of 0.001 times normal noise around the mean",
            "the first convolution uses replicate padding instead of zero padding",
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
        summary="the original method in two passes, the second at twice the size from the result of the first",
        source="notebook by Gatys, 2017 (leongatys/PytorchNeuralStyleTransfer)",
        departures=(
            "the first pass is at 0.6 of the size, with a higher content weight",
            "early stopping instead of 500 and 200 steps; the canvas stays in [0, 1]",
            "the first convolution uses replicate padding instead of zero padding",
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
        summary="the training loss of feed-forward networks, optimized directly",
        source="Johnson, Alahi & Fei-Fei, ECCV 2016; weights after fast-neural-style",
        departures=(
            "torchvision's VGG-16, whose activations are 110 to 260 times smaller than those of the original",
            "the published weights 1, 5 and 1e-6 are converted by those factors, layer by layer",
            "300 steps instead of 500; the canvas stays in [0, 1], as it does in the paper",
            "the first convolution uses replicate padding instead of zero padding",
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
        summary="Wasserstein distance between Gaussians of the features (optimal transport)",
        source="crowsonkb/style-transfer-pytorch",
        departures=(
            "square roots of covariances by eigendecomposition instead of Newton-Schulz iterations",
            "L-BFGS with early stopping instead of 3000 steps of Adam, with a scale factor of 0.6 instead of 0.71",
            "ten times the content weight, more at coarse scales, because L-BFGS reduces the style loss further",
            "the original network instead of that of torchvision, whose activations are about 150 times smaller",
            "the total variation weight 2.0 therefore becomes 45000",
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
        summary="nearest-neighbor matching of features, which reproduces the brushwork of the style",
        source="Kolkin et al., Neural Neighbor Style Transfer, arXiv 2203.13215",
        departures=(
            "starts from the whole content, including its three finest bands",
            "fewer steps at each scale, four times the step size, a scale factor of 0.6 instead of 0.5",
            "matches are searched in the first 256 principal components of the style features",
            "in the last pass, matches are renewed every 5 steps instead of every step",
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
        summary="relaxed optimal transport of sampled features, with self-similarity as the content loss",
        source="Kolkin, Salavon & Shakhnarovich, Style Transfer by Relaxed Optimal Transport, CVPR 2019",
        departures=(
            "starts from the content instead of the mean color of the style with the finest band of the content",
            "Adam on the bands instead of RMSprop, and fewer steps at each scale",
            "1024 points of the style instead of 5000; samples are redrawn every 4 steps; the palette weight is 1",
            "a scale factor of 0.6 instead of 0.5, so the content weight falls by 0.6 instead of 0.5",
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
        summary="MRF patch matching, for photographs with the same subject as the style",
        source="Li & Wand, Combining Markov Random Fields and Convolutional Neural Networks, CVPR 2016",
        departures=(
            "a strength instead of raw weights; matches are renewed every 25 steps",
            "the style is neither rotated nor scaled",
            "a scale factor of 0.6 instead of 0.5",
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
        summary="sliced Wasserstein distance: the distribution of features along random directions",
        source="Heitz, Vanhoey, Chambon & Belcour, A Sliced Wasserstein Loss for Neural Texture Synthesis, CVPR 2021",
        departures=(
            "five layers instead of twelve; 64 directions per layer, redrawn every 10 steps",
            "at most 16384 positions per layer are sorted",
            "with a content loss, while the paper synthesizes textures",
            "published steps are the evaluations of the authors' program, 20 times 64",
        ),
        settings={"style_loss": "sliced", "init": "content"},
        published_steps=1280,
    ),
    "photoreal": Recipe(
        summary="photorealistic transfer of light and colors from another photograph",
        source="Luan, Paris, Shechtman & Bala, Deep Photo Style Transfer, CVPR 2017",
        departures=(
            "regions must be given with --region or --labels; there is no segmentation",
            "the photorealism loss is normalized by its value at noise; no filter afterwards",
            "one run with all losses instead of a first run without the photorealism loss",
        ),
        settings={"photorealism_weight": 4000.0, "color_anchor_weight": 0.0, "init": "content", "strength": 0.6},
        published_steps=2000,
    ),
    "texture": Recipe(
        summary="texture synthesis from the style alone, at any size; --seamless makes it tileable",
        source="Gatys, Ecker & Bethge, Texture Synthesis Using Convolutional Neural Networks, NIPS 2015",
        departures=(
            "relu2_1 to relu5_1 instead of the four pooling layers; the Gram distance of each layer is relative",
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
