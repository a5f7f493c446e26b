"""Adam or RMSprop on the bands of a Laplacian pyramid, so that large shapes move as fast as pixels do.

The canvas is the sum of the bands, clamped to [0, 1]. Burt & Adelson, IEEE Trans. Comm. 1983; as variables of style
transfer: Kolkin, Salavon & Shakhnarovich, CVPR 2019 (RMSprop), and Kolkin et al., arXiv 2203.13215 (Adam). Differences
from the paper: as many bands as halvings leave 8 px; the clamp, under which a gradient that pushes further out of [0,
1] is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from impasto.losses.summaries.protocol import at_least_float32
from impasto.optimizers.adam import adam_change, update_moments_

Rule = Literal["adam", "rmsprop"]
SMALLEST = 8
MAX_BANDS = 9


def bands_of(picture: Tensor) -> list[Tensor]:
    """Return an image ``[1, 3, H, W]`` as bands, finest first, and what is left of it at the end."""
    bands: list[Tensor] = []
    rest = picture
    while min(rest.shape[-2:]) >= 2 * SMALLEST and len(bands) < MAX_BANDS - 1:
        half = functional.interpolate(rest, _halved(rest), mode="bilinear", align_corners=False)
        bands.append(rest - _enlarged(half, rest.shape[-2:]))
        rest = half
    return [*bands, rest]


def picture_of(bands: list[Tensor]) -> Tensor:
    """Return the image ``[1, 3, H, W]`` that bands add up to."""
    picture = bands[-1]
    for band in reversed(bands[:-1]):
        picture = band + _enlarged(picture, band.shape[-2:])
    return picture


def _halved(picture: Tensor) -> tuple[int, int]:
    return picture.shape[-2] // 2, picture.shape[-1] // 2


def _enlarged(picture: Tensor, size: torch.Size) -> Tensor:
    return functional.interpolate(picture, tuple(size), mode="bilinear", align_corners=False)


class LaplacianPyramidAdam:
    """First-order descent on bands.

    Args:
        start: ``[1, 3, H, W]`` in [0, 1], computed in float32 (float64 in float64).
        rate: step size in units of the image's range.
        rule: ``adam``, or ``rmsprop``, which has no momentum.
        betas: decay of the two moments.
    """

    min_refresh_interval = 1

    def __init__(
        self, start: Tensor, *, rate: float = 0.002, rule: Rule = "adam", betas: tuple[float, float] = (0.9, 0.99)
    ) -> None:
        self._bands = [band.clone() for band in bands_of(at_least_float32(start.detach()).clamp(0, 1))]
        self._first = [torch.zeros_like(band) for band in self._bands]
        self._second = [torch.zeros_like(band) for band in self._bands]
        self.rate, self._initial_rate = rate, rate
        self._betas = (0.0 if rule == "rmsprop" else betas[0], betas[1])
        self._count = 0
        self._good = [band.clone() for band in self._bands]

    def canvas(self) -> Tensor:
        """Return the image to evaluate, ``[1, 3, H, W]`` in [0, 1]."""
        return picture_of(self._bands).clamp(0, 1)

    def picture(self) -> Tensor:
        """Return the last image whose loss is known, or the first."""
        return picture_of(self._good).clamp(0, 1)

    def step(self, loss: float, gradient: Tensor) -> None:
        """Take the gradient ``[1, 3, H, W]`` at ``canvas()``, and move the canvas."""
        self._good = [band.clone() for band in self._bands]
        leaves = [band.requires_grad_(True) for band in self._bands]
        with torch.enable_grad():
            unbounded = picture_of(leaves)
            outwards = ((unbounded < 0) & (gradient > 0)) | ((unbounded > 1) & (gradient < 0))
            slopes = torch.autograd.grad(unbounded, leaves, torch.where(outwards, 0.0, gradient))
        self._count += 1
        moved = []
        for band, slope, first, second in zip(leaves, slopes, self._first, self._second, strict=True):
            update_moments_(first, second, slope, self._betas)
            moved.append(band.detach() - adam_change(first, second, self._count, self.rate, self._betas))
        self._bands = moved

    def on_objective_change(self) -> None:
        """Do nothing: the moments do not depend on the loss's value."""

    def on_resample(self) -> None:
        """Do nothing: the moments average over samples."""

    def recover(self) -> None:
        """Return to the last good image and halve the step."""
        self._bands = [band.clone() for band in self._good]
        for moment in (*self._first, *self._second):
            moment.zero_()
        self._count = 0
        self.rate /= 2

    def set_step_size(self, factor: float) -> None:
        """Set the step size relative to its start."""
        self.rate = self._initial_rate * factor

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on."""
        state = {"numbers": torch.tensor([self._count, self.rate], dtype=torch.float64)}
        for name, tensors in self._lists().items():
            state |= {f"{name} {index}": tensor.detach() for index, tensor in enumerate(tensors)}
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        count, self.rate = state["numbers"].tolist()
        self._count = int(count)
        for name, tensors in self._lists().items():
            tensors[:] = [state[f"{name} {index}"].clone() for index in range(len(tensors))]

    def _lists(self) -> dict[str, list[Tensor]]:
        return {"bands": self._bands, "first": self._first, "second": self._second, "good": self._good}
