"""Where figures in the documentation come from; ``python -m benchmarks`` in the repository, not in the wheel."""
