"""The named values of the options; ``fields`` declares the options that take them."""

from __future__ import annotations

from typing import Literal, get_args

Init = Literal["content", "random", "style", "fast"]
OptimizerName = Literal["lbfgs", "adam", "pyramid"]
Quality = Literal["draft", "standard", "fine"]
Units = Literal["unitless", "gatys", "neural-style", "plain"]
Precision = Literal["auto", "fp32", "bf16"]
Color = Literal["style", "content", "match", "histogram", "palette"]
PoolingName = Literal["max", "average", "l2"]
NetworkName = Literal["vgg19", "vgg16"]
StyleLossName = Literal[
    "moments",
    "gram",
    "wasserstein",
    "batchnorm",
    "mmd",
    "mmd-gauss",
    "sliced",
    "histogram",
    "mrf",
    "nearest",
    "strotss",
]
ContentLossName = Literal["features", "self-similarity"]
TvNorm = Literal["l1", "l2", "nine"]

INIT_NAMES: tuple[str, ...] = get_args(Init)
