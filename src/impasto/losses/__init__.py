"""Losses, one file per paper, each in the form ``value(sum over tiles of summarize(tile))``."""
