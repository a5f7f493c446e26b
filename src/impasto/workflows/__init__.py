"""Other uses of a run: replay, explore, compare, reconstruct, evaluate, timelapse, report, estimate, demo."""
