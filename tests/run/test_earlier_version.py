"""A run that the first version began is resumed to the image of the first version.

``version_1_run.tar.xz`` was made by commit aceede4 on an Intel Xeon with AVX-512. It has the inputs, the folder of an
interrupted run, and ``finished.png``, the image that aceede4 itself resumes the run to. The run was::

    options = dict(size="16", steps=8, scales=1, style_loss="sliced", style_layers="relu1_1", content_layers="relu1_2",
                   precision="fp32", recolour=0.25, anchor_weight=0.1, speck_weight=0.1, init="random", threads=1)
    events = iter_stylize("content.png", "style.png", regions=["mask.png=sky.png,strength=0.7"], output="out.png",
                          shared=Shared(state), mailbox=mailbox, checkpoint_dir="kept", checkpoint_seconds=0.0,
                          **options)

with the weights of ``state_before("conv2", thinner=8)``, ``mailbox.post("set", strength=0.8, step_size=0.5)`` after
step 2 and ``mailbox.post("checkpoint")`` after step 4; it was closed after step 5. Folders were removed from the paths
in ``run.json``.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from impasto.events import Finished, Stepped
from impasto.imaging import images
from impasto.run.result import Result
from impasto.run.target_cache import TargetCache
from impasto.workflows.replay import iter_resume
from random_weights import state_before

ARCHIVE = Path(__file__).parent / "version_1_run.tar.xz"
TOTALS = [1.2780174314975739, 1.0862069502472878, 0.9530435055494308, 0.8941662758588791]  # of steps 5 to 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the run folder, whose output is ``out.png`` in the folder above it."""
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            path = tmp_path / member.name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(file.read())
    described = tmp_path / "kept" / "run.json"
    run = json.loads(described.read_bytes())
    described.write_text(json.dumps({**run, "output": str(tmp_path / "out.png")}))
    return tmp_path / "kept"


def test_a_run_of_the_first_version_is_resumed_to_the_same_image(folder: Path) -> None:
    events = list(iter_resume(folder, cache=TargetCache(state_before("conv2", thinner=8))))
    steps = [event for event in events if isinstance(event, Stepped)]
    assert [event.step for event in steps] == [5, 6, 7, 8]
    # Rounding differs from processor to processor, and grows from step to step.
    assert [event.total for event in steps] == pytest.approx(TOTALS, rel=1e-3)
    assert isinstance(events[-1], Finished)
    result = events[-1].result
    assert isinstance(result, Result)
    wanted = images.load(folder.parent / "finished.png").pixels
    found = images.load(folder.parent / "out.png").pixels
    differences = np.rint(255 * np.abs(found - wanted))
    assert differences.max() <= 1
    assert np.count_nonzero(differences) <= 0.01 * differences.size
    commands = [(entry["step"], entry["values"]) for entry in result.record["steering"]]
    assert commands == [(3, {"strength": 0.8, "step_size": 0.5})]
    assert result.options.control.final_recolor == 0.25
