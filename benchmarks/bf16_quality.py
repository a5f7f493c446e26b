"""What half precision costs in the end: the same run in bfloat16 and in float32, both measured in float32.

In: a photograph and a painting. Out: the losses of the two saved pictures by the peer's objective and their relative
difference. bfloat16 is good enough where the difference is at most 2 %.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks import baseline
from benchmarks.baseline_objective_run import chase, encoder_for
from impasto.imaging import images
from impasto.run.preview import as_preview

ALLOWED = 0.02


def fidelity(content: Path, style: Path, *, size: int | None = None, steps: int | None = None) -> dict[str, Any]:
    """RunState the same descent in both precisions and return the losses of what would be saved.

    Args:
        content, style: files.
        size: long side in px; as in ``baseline.load``.
        steps: of the last stage.

    Returns:
        ``fp32`` and ``bf16``, the losses; ``difference``, by how much bfloat16's is larger, relatively; ``within``,
        whether that is allowed.

    Raises:
        MachineError: this machine has no fast bfloat16.
        ImageError: a picture cannot be read.
    """
    baseline.check()
    encoders = {"bf16": encoder_for("bf16"), "fp32": encoder_for("fp32")}
    first, second = baseline.load(content, style, size)
    ruler = baseline.Ruler(content, style, size)
    losses = {}
    with tempfile.TemporaryDirectory(prefix="impasto-") as folder:
        for name, encoder in encoders.items():
            picture = chase(encoder, first, second, Path(folder) / name, last_steps=steps)
            losses[name] = ruler(images.save(Path(folder) / f"{name}.png", as_preview(picture)))
    difference = losses["bf16"] / losses["fp32"] - 1
    return {**losses, "difference": difference, "within": difference <= ALLOWED}
