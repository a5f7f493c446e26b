"""Photographs and jobs for tests of batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from batch_pictures import write_picture
from impasto.batch.job import Job

DECIDED = {"threads": 1, "precision": "fp32"}  # nothing is left for the machine to decide, so torch is not loaded


@pytest.fixture
def jobs_for(tmp_path: Path) -> Callable[..., list[Job]]:
    """Return a function that writes photographs and returns a job for each, all with one painting."""
    style = write_picture(tmp_path / "waves.png", 99)

    def make(*names: str, **options: object) -> list[Job]:
        photos = [write_picture(tmp_path / f"{name}.png", seed) for seed, name in enumerate(names)]
        return [Job(str(path), (str(style),), f"{path.stem}_waves.png", {**DECIDED, **options}) for path in photos]

    return make
