"""Optimizers that keep the canvas inside [0, 1], one file each; ``protocol`` has their methods.

``canvas()`` is evaluated next, ``step(loss, gradient)`` moves it, ``picture()`` is shown and saved.
"""

from impasto.optimizers.adam import Adam
from impasto.optimizers.lbfgs import BoundedLBFGS
from impasto.optimizers.low_memory_adam import LowMemoryAdam
from impasto.optimizers.pyramid import LaplacianPyramidAdam

__all__ = ["Adam", "BoundedLBFGS", "LaplacianPyramidAdam", "LowMemoryAdam"]
