"""A checkpointed run, resumed with other memory, on another machine, or under a time limit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from impasto.api import last
from impasto.events import Event, ScaleStarted, Stepped
from impasto.imaging import images, samples
from impasto.options.recipes import resolve
from impasto.planning import memory
from impasto.planning.schedule import Scale
from impasto.planning.time_budget import TimeBudget
from impasto.regions.spec import parse_regions
from impasto.run import checkpoint
from impasto.run.prepared_run import prepare
from impasto.run.target_cache import TargetCache
from impasto.runtime.distributed import ProcessGroup
from impasto.workflows.replay import iter_resume
from random_weights import state_before
from runs import iter_stylize

FEW: dict[str, Any] = {"size": "64", "style_layers": "relu1_1", "content_layers": "relu1_2", "precision": "fp32"}
STATUS = Path("/proc/self/status")
# The system's own count for a process, ru_maxrss, begins at what its parent had.
PEAK = (
    "import sys; from impasto.cli import run; code = run(sys.argv[1:]); "
    f"print(next(int(line.split()[1]) * 1024 for line in open({str(STATUS)!r}) if line.startswith('VmHWM'))); "
    "sys.exit(code)"
)


@pytest.fixture(scope="module")
def cache() -> TargetCache:
    """Return random weights for the first block."""
    return TargetCache(state_before("conv2"))


def left_alone(files: Any, cache: TargetCache, folder: Path, after: int, **options: Any) -> list[Event]:
    """Run, keeping every step, and leave the run alone after one as a crash would."""
    events: list[Event] = []
    given = {
        **FEW,
        "checkpoint_dir": folder,
        "checkpoint_seconds": 0.0,
        "output": folder.with_suffix(".png"),
        **options,
    }
    run = iter_stylize(*files, cache=cache, **given)
    for event in run:
        events.append(event)
        if isinstance(event, Stepped) and event.step == after:
            break
    run.close()  # type: ignore[attr-defined]
    return events


def test_other_memory_and_another_processor_change_no_plan(
    tmp_path: Path, tiny_files: Any, cache: TargetCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_alone(tiny_files, cache, tmp_path / "whole", 0, steps=6, scales=1)
    left_alone(tiny_files, cache, tmp_path / "run", 3, steps=6, scales=1)
    monkeypatch.setattr(memory, "free_bytes", lambda: 1)  # in which nothing could be planned
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "OTHER")
    last(iter_resume(tmp_path / "run", cache=cache))
    ended = [images.load(tmp_path / f"{name}.png").pixels for name in ("whole", "run")]
    assert (ended[0] == ended[1]).all()


@pytest.mark.parametrize("after", [0, 2])
def test_planned_time_is_kept_to(
    tmp_path: Path, tiny_files: Any, cache: TargetCache, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    def five(self: TimeBudget, usual: list[Scale], *, begun: bool = False) -> list[Scale]:
        return [Scale(scale.height, scale.width, 5, scale.content_factor) for scale in usual]

    def usual(self: TimeBudget, usual: list[Scale], *, begun: bool = False) -> list[Scale]:
        raise AssertionError("what was planned is planned no more")

    monkeypatch.setattr(TimeBudget, "plan", five)
    if after:
        left_alone(tiny_files, cache, tmp_path / "run", after, time="60s", scales=2)
        monkeypatch.setattr(TimeBudget, "plan", usual)
    else:  # before anything was kept
        begun = iter_stylize(
            *tiny_files, cache=cache, output=tmp_path / "run.png", checkpoint_dir=tmp_path / "run", time="60s",
            scales=2, checkpoint_seconds=1e6, **FEW,
        )  # fmt: skip
        assert any(isinstance(event, ScaleStarted) for event in begun)
        begun.close()  # type: ignore[attr-defined]
    events = list(iter_resume(tmp_path / "run", cache=cache))
    assert [event.steps for event in events if isinstance(event, ScaleStarted)] == [5, 5]
    assert [entry[2] for entry in events[-1].result.record["decisions"]["scales"]] == [5, 5]  # type: ignore[union-attr]


def test_threads_are_taken_again_by_as_many_processes(tiny_files: Any) -> None:
    content, style = tiny_files
    decided = {"device": "cpu", "precision": "fp32", "threads": 1}
    options = resolve(**FEW)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert prepare(content, parse_regions(style), options, decisions=decided).compute.threads == 1
        torch.set_num_threads(2)
        assert prepare(content, parse_regions(style), options, decisions={**decided, "ranks": 2}).compute.threads == 2
        torch.set_num_threads(2)
        assert (
            prepare(content, parse_regions(style), options, decisions=decided, group=ProcessGroup(0, 2)).compute.threads
            == 2
        )
    finally:
        torch.set_num_threads(before)


def test_a_large_state_is_written_without_a_copy(
    tmp_path: Path, tiny_files: Any, cache: TargetCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_alone(tiny_files, cache, tmp_path / "whole", 0, steps=8, scales=1)
    monkeypatch.setattr(checkpoint, "ASYNC_LIMIT_BYTES", 0)
    written: list[bool] = []
    save = checkpoint.save_file
    monkeypatch.setattr(checkpoint, "save_file", lambda tensors, name: (written.append(True), save(tensors, name)))
    seen = []
    run = iter_stylize(
        *tiny_files, cache=cache, output=tmp_path / "run.png", checkpoint_dir=tmp_path / "run", steps=8, scales=1,
        checkpoint_seconds=0.0, **FEW,
    )  # fmt: skip
    for event in run:
        if isinstance(event, Stepped):
            seen.append(len(written))  # what was due is written before the step
            if event.step == 5:
                break
    run.close()  # type: ignore[attr-defined]
    assert seen == sorted(set(seen))
    last(iter_resume(tmp_path / "run", cache=cache))
    assert (tmp_path / "run.png").read_bytes() == (tmp_path / "whole.png").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason="the system does not say how much a process has had")
def test_a_limit_is_kept_with_a_folder_and_the_contents_colors(tmp_path: Path) -> None:
    files = {path.stem: str(path) for path in samples.write(tmp_path)}
    folder, limit = str(tmp_path / "run"), 1040 * 2**20
    words = ["stylize", files["coffee"], files["blue_swirls"], "--size", "512", "--scales", "1", "--steps", "2"]
    words += ["--color", "content", "--memory", str(limit), "--run-dir", folder, "--checkpoint-every", "0", "-q"]
    words += ["--precision", "fp32"]  # the memory needed depends on the precision, which the processor decides
    for given in ([*words, "-o", str(tmp_path / "out.tif")], ["resume", folder, "-q"]):
        done = subprocess.run([sys.executable, "-c", PEAK, *given], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert limit / 4 < int(done.stdout.splitlines()[-1]) <= limit
    beginning = json.loads((tmp_path / "run" / "run.json").read_bytes())
    assert beginning["decisions"]["plans"][-1][2] is not None  # or the limit would have said nothing
