"""Regularizers: losses on the canvas, or on the canvas and the content image, in addition to content and style."""
