"""The options of a run with their defaults, their validation, and the recipes. Does not import torch."""
