"""Quality of half precision: the same run in bfloat16 and in float32, both measured in float32.

In: a photograph and a painting. Out: the losses of the two saved images under the objective of the baseline and their
relative difference. bfloat16 is acceptable if the difference is at most 2%.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks import baseline
from benchmarks.baseline_objective_run import encoder_for, optimize_baseline_objective
from impasto.imaging import images
from impasto.run.preview import as_preview

ALLOWED = 0.02


def fidelity(content: Path, style: Path, *, size: int | None = None, steps: int | None = None) -> dict[str, Any]:
    """Run the same optimization in both precisions and return the losses of the saved images.

    Args:
        content, style: files.
        size: long side in px; as in ``baseline.load``.
        steps: steps of the last stage.

    Returns:
        ``fp32`` and ``bf16``, the losses; ``difference``, that of bfloat16 relative to float32; ``within``, whether the
        difference is at most ``ALLOWED``.

    Raises:
        MachineError: bfloat16 is not available on this machine.
        ImageError: an image cannot be read.
    """
    baseline.check()
    encoders = {"bf16": encoder_for("bf16"), "fp32": encoder_for("fp32")}
    first, second = baseline.load(content, style, size)
    baseline_loss = baseline.BaselineLoss(content, style, size)
    losses = {}
    with tempfile.TemporaryDirectory(prefix="impasto-") as folder:
        for name, encoder in encoders.items():
            picture = optimize_baseline_objective(encoder, first, second, Path(folder) / name, last_steps=steps)
            losses[name] = baseline_loss(images.save(Path(folder) / f"{name}.png", as_preview(picture)))
    difference = losses["bf16"] / losses["fp32"] - 1
    return {**losses, "difference": difference, "within": difference <= ALLOWED}
