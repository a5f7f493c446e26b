"""Optimizers that keep the canvas inside [0, 1], one file each, driven by ask and tell.

``canvas()`` is the picture to evaluate next; ``tell(loss, gradient)`` moves on; ``picture()`` is the one to show and to
save.
"""

from impasto.optimizers.adam import Adam
from impasto.optimizers.lbfgs import BoundedLBFGS
from impasto.optimizers.low_memory_adam import LowMemoryAdam
from impasto.optimizers.pyramid import LaplacianPyramidAdam

__all__ = ["Adam", "BoundedLBFGS", "LaplacianPyramidAdam", "LowMemoryAdam"]
