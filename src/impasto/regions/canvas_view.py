"""The map from the canvas to the image, and to the part of it that the losses compare.

From the canvas ``[1, 3, H, W]`` of the optimizer it computes the image, with frozen pixels and the content's chroma
where it is kept, and what the losses compare, which is only the lightness where chroma is kept. Everything works pixel
by pixel and has a gradient, so the losses are those of the saved image. A large image is processed in bands of
rows, since the backward pass through OKLab takes about 200 bytes per pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

import torch
from torch import Tensor

from impasto.optimizers.protocol import Optimizer
from impasto.regions.color import ChromaKeeper, bands, desaturated
from impasto.regions.region_tensors import RegionTensors


class CanvasView:
    """From canvas to image, and from image to what is compared.

    Args:
        tensors: at the canvas's size.
    """

    def __init__(self, tensors: RegionTensors) -> None:
        self._keeper = None if tensors.content_chroma_mask is None else ChromaKeeper(tensors.content)
        self._kept = tensors.content_chroma_mask
        self._pin, self._pinned = tensors.frozen_mask, tensors.frozen_pixels

    @property
    def is_plain(self) -> bool:
        """Whether the canvas is the image and the losses compare all of it."""
        return self._kept is None and self._pin is None

    def rows(self, first: int, last: int) -> CanvasView:
        """Return the view of some of the image's rows, up to ``last``."""
        own = copy(self)
        own._keeper = None if self._keeper is None else self._keeper.rows(first, last)
        own._kept, own._pin, own._pinned = (
            None if part is None else part[..., first:last, :] for part in (self._kept, self._pin, self._pinned)
        )
        return own

    def picture(self, canvas: Tensor) -> Tensor:
        """Return the image of a canvas."""
        return self._in_rows(canvas, lambda view, rows: view._picture(canvas[..., rows, :]))

    def as_compared(self, picture: Tensor) -> Tensor:
        """Return what the losses compare of an image."""
        if self._kept is None:
            return picture
        return self._in_rows(picture, lambda view, rows: view._seen(picture[..., rows, :]))

    def pull_back(self, canvas: Tensor, gradient: Tensor) -> Tensor:
        """Return the gradient with respect to the canvas, given that with respect to what is compared of it."""

        def pulled(view: CanvasView, rows: slice) -> Tensor:
            leaf = canvas[..., rows, :].detach().requires_grad_(True)
            return torch.autograd.grad(view._seen(view._picture(leaf)), leaf, gradient[..., rows, :])[0]

        return self._in_rows(canvas, pulled)

    def _in_rows(self, canvas: Tensor, change: Callable[[CanvasView, slice], Tensor]) -> Tensor:
        """Apply a function to bands of rows, each with its own view, and concatenate the results."""
        cut = bands(canvas)
        if self.is_plain or len(cut) == 1:
            return change(self, slice(None))
        return torch.cat([change(self.rows(band.start, band.stop), band) for band in cut], -2)

    def _picture(self, canvas: Tensor) -> Tensor:
        if self._keeper is not None and self._kept is not None:
            canvas = _lerp(canvas, self._keeper.color(canvas), self._kept)
        if self._pin is not None and self._pinned is not None:
            canvas = _lerp(canvas, self._pinned, self._pin)
        return canvas

    def _seen(self, picture: Tensor) -> Tensor:
        return picture if self._kept is None else _lerp(picture, desaturated(picture), self._kept)


def _lerp(under: Tensor, over: Tensor, share: Tensor) -> Tensor:
    # Written so that shares of exactly 0 and 1 give exactly one of the two.
    return under * (1 - share) + over * share


class ViewedOptimizer:
    """An optimizer whose image is seen through a view; its canvas stays its own.

    Args:
        optimizer: holds the canvas.
        view: from canvas to image.
    """

    def __init__(self, optimizer: Optimizer, view: CanvasView) -> None:
        self._optimizer, self._view = optimizer, view
        self.min_refresh_interval = optimizer.min_refresh_interval
        self.canvas, self.step, self.recover = optimizer.canvas, optimizer.step, optimizer.recover
        self.on_objective_change, self.on_resample = optimizer.on_objective_change, optimizer.on_resample
        self.set_step_size = optimizer.set_step_size
        self.state, self.load_state = optimizer.state, optimizer.load_state

    def picture(self) -> Tensor:
        """Return the image as it would be saved, ``[1, 3, H, W]`` in [0, 1]."""
        with torch.no_grad():
            return self._view.picture(self._optimizer.picture()).clamp(0, 1)
