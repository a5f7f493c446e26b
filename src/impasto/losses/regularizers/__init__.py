"""Losses on the canvas alone, or on the canvas and the content image, beside content and style."""
