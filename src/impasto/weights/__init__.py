"""Where network weights come from, and in what form they leave: named tensors, float32, on the CPU."""

from __future__ import annotations

from impasto.weights.vgg19 import vgg19_state

__all__ = ["vgg19_state"]
