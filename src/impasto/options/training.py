"""Options of the training of a feed-forward network, from which the flags of ``impasto train`` are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from impasto.options.declaration import option
from impasto.options.validation import check


@dataclass(frozen=True, kw_only=True)
class Training:
    """Options of a training."""

    title: ClassVar[str] = "Training"

    crop_size: int = option(256, "size of the square crops in px", low=32, high=2048)
    batch_size: int = option(4, "batch size per process", low=1, high=256)
    steps: int = option(4000, "maximum number of steps", low=1, high=10_000_000)
    minutes: float | None = option(None, "stop after this many minutes", low=0.0)
    learning_rate: float = option(
        1e-3, "learning rate of Adam; it falls to a tenth over the last two fifths of the steps", low=1e-6, high=1.0
    )
    small_crops: float = option(
        0.4, "fraction of the steps, at the start, with crops of half the size", low=0.0, high=1.0
    )
    hold_out: int = option(
        0, "photographs at the end of the folder that are neither trained nor validated on", low=0, high=1_000_000
    )
    width: int = option(32, "channels of the widest feature map; 16 is small and fast", low=4, high=128)
    blocks: int = option(5, "number of residual blocks", low=1, high=5)
    validate_every: int = option(100, "steps between validations", low=1)
    patience: int = option(10, "stop after this many validations without improvement; 0 = never", low=0)
    seed: int = option(0, "random seed", low=0, high=2**31)

    def __post_init__(self) -> None:
        check(self)
