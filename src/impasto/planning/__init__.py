"""The plan of a run: its sizes, memory and time. Does not import torch."""
