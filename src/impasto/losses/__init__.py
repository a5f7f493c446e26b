"""Losses, one file a paper, each as ``value(sum over tiles of summarize(tile))``."""
