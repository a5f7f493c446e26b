"""The studio's worker processes: their supervisor, their loop, and the runner."""
