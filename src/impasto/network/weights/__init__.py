"""Network weights from their sources, as named float32 tensors on the CPU.

VGG-19 comes with the installation (vgg19.py); all others are fetched once, by name (fetched.py, archives.py).
"""

from __future__ import annotations

from impasto.files import cache_folder
from impasto.network.weights.fetched import (
    SOURCES,
    Row,
    Source,
    SourceName,
    adain_state,
    alexnet_state,
    fetch,
    listing,
    lpips_alex_state,
    mask_networks,
    stored,
    vgg16_state,
)
from impasto.network.weights.vgg19 import vgg19_state

__all__ = [
    "SOURCES",
    "Row",
    "Source",
    "SourceName",
    "adain_state",
    "alexnet_state",
    "cache_folder",
    "fetch",
    "listing",
    "lpips_alex_state",
    "mask_networks",
    "stored",
    "vgg16_state",
    "vgg19_state",
]
