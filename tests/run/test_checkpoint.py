"""A run on disk: killed at any moment it ends with the same bytes; what is damaged or foreign is said."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from impasto import files
from impasto.api import last
from impasto.errors import MachineError, RecordError
from impasto.events import Event, Finished, Mailbox, Steered, Stepped, Warned
from impasto.imaging import images
from impasto.run import checkpoint
from impasto.run.checkpoint import load_input_copy, read_run
from impasto.run.target_cache import TargetCache
from impasto.workflows.replay import iter_resume
from random_weights import state_before
from runs import iter_stylize
from waiting import HANG_SECONDS, wait_until

CRASH_SCENARIOS = Path(__file__).parents[1] / "crash_scenarios.py"
MOMENTS = (
    "at once",
    "in the first scale",
    "in the last scale",
    "a command logged",
    "half a line",
    "no tensors",
    "no json",
    "nothing saved",
    "three times",
    "from outside",
    "adam",
)
FEW: dict[str, Any] = {
    "size": "48",
    "steps": 8,
    "scales": 1,
    "style_layers": "relu1_1",
    "content_layers": "relu1_2",
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def crashed_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Kill and resume real processes at several moments, and return the outcomes by name."""
    folder = tmp_path_factory.mktemp("crashes")
    answer = subprocess.run(
        [sys.executable, str(CRASH_SCENARIOS), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )
    assert answer.returncode == 0, answer.stderr
    return {entry["name"]: entry for entry in map(json.loads, answer.stdout.splitlines())}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_resumed_is_the_same_picture(crashed_runs: dict[str, dict[str, Any]], moment: str) -> None:
    entry = crashed_runs[moment]
    assert set(entry["deaths"]) == {-signal.SIGKILL}, "the run was to be killed"
    assert entry["last"] == 0
    assert entry["hash"] == entry["whole"]


def test_steering_and_the_optimizer_are_part_of_it(crashed_runs: dict[str, dict[str, Any]]) -> None:
    assert crashed_runs["adam"]["whole"] != crashed_runs["at once"]["whole"]


@pytest.mark.slow
def test_the_command_line_resumes_after_a_kill(tmp_path: Path, tiny_files: tuple[Path, Path]) -> None:
    content, style = tiny_files
    start = [sys.executable, "-c", "from impasto.cli import main; main()"]
    quick = [str(content), str(style), "--size", "64", "--steps", "12", "--threads", "1", "-q"]

    def run(*words: str) -> None:
        answer = subprocess.run([*start, *words], capture_output=True, text=True, check=False, timeout=HANG_SECONDS)
        assert answer.returncode == 0, answer.stderr

    run("stylize", *quick, "-o", str(tmp_path / "whole.png"))
    kept, out = tmp_path / "kept", tmp_path / "out.png"
    many = ["--run-dir", str(kept), "--checkpoint-every", "0"]
    process = subprocess.Popen([*start, "stylize", *quick, "-o", str(out), *many])
    wait_until(lambda: list(kept.glob("checkpoint-*.json")) or process.poll() is not None, "the first checkpoint")
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    run("resume", str(kept), "-q")
    assert out.read_bytes() == (tmp_path / "whole.png").read_bytes()


@pytest.fixture(scope="module")
def cache() -> TargetCache:
    """Return random weights for the first block."""
    return TargetCache(state_before("conv2"))


def begin(files: Any, cache: TargetCache, folder: Path, stop_after: int | None = None, **options: Any) -> list[Event]:
    """RunState, or leave the run alone after a step as a crash would, keeping every step."""
    events: list[Event] = []
    options = {**FEW, "checkpoint_seconds": 0.0, **options}
    run = iter_stylize(*files, cache=cache, checkpoint_dir=folder, output=folder.with_suffix(".png"), **options)
    for event in run:
        events.append(event)
        if isinstance(event, Stepped) and event.step == stop_after:
            break
    run.close()  # type: ignore[attr-defined]
    return events


def states(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.json"))


def warnings(events: Iterator[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Warned)]


@pytest.mark.slow
def test_two_states_are_kept(tmp_path: Path, tiny_files: Any, cache: TargetCache) -> None:
    begin(tiny_files, cache, tmp_path / "run")
    assert len(states(tmp_path / "run")) == 2
    assert len(list((tmp_path / "run").glob("checkpoint-*.safetensors"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_state_falls_back_to_the_one_before(
    tmp_path: Path, tiny_files: Any, cache: TargetCache, suffix: str, damage: str
) -> None:
    begin(tiny_files, cache, tmp_path / "whole")
    folder = tmp_path / "run"
    begin(tiny_files, cache, folder, stop_after=6)
    older, newest = states(folder)
    file = newest.with_suffix(suffix)
    data = bytearray(file.read_bytes())
    if damage == "changed":
        data[len(data) // 2] ^= 1
    file.write_bytes(data[: len(data) // 2] if damage == "cut" else data)
    events = list(iter_resume(folder, cache=cache))
    assert f"{newest.stem} is damaged; falling back to {older.stem}" in warnings(iter(events))
    assert (tmp_path / "run.png").read_bytes() == (tmp_path / "whole.png").read_bytes()


@pytest.mark.slow
def test_with_every_state_damaged_it_starts_again(tmp_path: Path, tiny_files: Any, cache: TargetCache) -> None:
    begin(tiny_files, cache, tmp_path / "whole")
    begin(tiny_files, cache, tmp_path / "run", stop_after=6)
    for path in states(tmp_path / "run"):
        path.write_bytes(b"{}")
    events = list(iter_resume(tmp_path / "run", cache=cache))
    assert any("there is no earlier checkpoint; restarting the run" in line for line in warnings(iter(events)))
    assert (tmp_path / "run.png").read_bytes() == (tmp_path / "whole.png").read_bytes()


@pytest.mark.slow
def test_a_finished_run_resumes_to_the_same_file(tmp_path: Path, tiny_files: Any, cache: TargetCache) -> None:
    begin(tiny_files, cache, tmp_path / "run")
    before = (tmp_path / "run.png").read_bytes()
    last(iter_resume(tmp_path / "run", cache=cache))
    assert (tmp_path / "run.png").read_bytes() == before


@pytest.mark.slow
def test_a_run_on_arrays_keeps_its_inputs(
    tmp_path: Path, tiny_picture: NDArray[np.uint8], tiny_style: NDArray[np.uint8], cache: TargetCache
) -> None:
    files = (tiny_picture, tiny_style)
    begin(files, cache, tmp_path / "whole")
    begin(files, cache, tmp_path / "run", stop_after=4)
    last(iter_resume(tmp_path / "run", cache=cache))
    assert (tmp_path / "run.png").read_bytes() == (tmp_path / "whole.png").read_bytes()


@pytest.mark.slow
def test_a_run_with_regions_and_protection_resumes(
    tmp_path: Path, tiny_files: tuple[Path, Path], tiny_picture: NDArray[np.uint8], cache: TargetCache
) -> None:
    height, width = tiny_picture.shape[:2]
    left, spared = np.zeros((2, height, width), np.uint8)
    left[:, : width // 2] = 255
    spared[: height // 4] = 255
    images.save(tmp_path / "left.png", np.repeat(left[..., None], 3, axis=2))
    images.save(tmp_path / "spared.png", np.repeat(spared[..., None], 3, axis=2))
    placed: dict[str, Any] = {
        "regions": [f"{tmp_path / 'left.png'}={tiny_files[1]},strength=0.9"],
        "protect": str(tmp_path / "spared.png"),
        "color": "content",
    }
    begin(tiny_files, cache, tmp_path / "whole", **placed)
    begin(tiny_files, cache, tmp_path / "run", stop_after=4, **placed)
    last(iter_resume(tmp_path / "run", cache=cache))
    assert (tmp_path / "run.png").read_bytes() == (tmp_path / "whole.png").read_bytes()
    begin(tiny_files, cache, tmp_path / "plain")
    assert (tmp_path / "plain.png").read_bytes() != (tmp_path / "whole.png").read_bytes()


def test_commands_are_on_disk_before_they_count(tmp_path: Path, tiny_files: Any, cache: TargetCache) -> None:
    mailbox = Mailbox()
    mailbox.post("set", strength=0.9)
    log = tmp_path / "run" / checkpoint.STEERING
    events = iter_stylize(*tiny_files, cache=cache, checkpoint_dir=tmp_path / "run", mailbox=mailbox, **FEW)
    for event in events:
        if isinstance(event, Steered):
            break
    assert json.loads(log.read_text())["entry"] == {"step": 1, "values": {"strength": 0.9}}


def test_a_checkpoint_asked_for_is_there_when_it_is_said(tmp_path: Path, tiny_files: Any, cache: TargetCache) -> None:
    mailbox = Mailbox()
    folder = tmp_path / "run"
    run = iter_stylize(*tiny_files, cache=cache, checkpoint_dir=folder, checkpoint_seconds=1e6, mailbox=mailbox, **FEW)
    for event in run:
        if isinstance(event, Stepped) and event.step == 3:
            assert not states(folder)
            mailbox.post("checkpoint")
        if isinstance(event, Steered):
            assert (event.command, event.step) == ("checkpoint", 4)
            assert [path.stem for path in states(folder)] == ["checkpoint-000000003"]
            break
    else:
        pytest.fail("the checkpoint was not said")


@pytest.mark.slow
def test_without_resume_the_folder_begins_anew(tmp_path: Path, tiny_files: Any, cache: TargetCache) -> None:
    folder = tmp_path / "run"
    begin(tiny_files, cache, folder, stop_after=5)
    events = begin(tiny_files, cache, folder, seed=4)
    assert [event.step for event in events if isinstance(event, Stepped)] == list(range(1, 9))


@pytest.mark.slow
def test_another_run_is_not_gone_on_with(tmp_path: Path, tiny_files: Any, cache: TargetCache) -> None:
    begin(tiny_files, cache, tmp_path / "run", stop_after=5)
    with pytest.raises(RecordError, match="the run in this folder has different options"):
        begin(tiny_files, cache, tmp_path / "run", resume=True, seed=4)


@pytest.mark.slow
def test_a_moved_input_is_found_by_its_hash(tmp_path: Path, tiny_files: Any, cache: TargetCache) -> None:
    content, _ = tiny_files
    begin(tiny_files, cache, tmp_path / "run", stop_after=5)
    content.rename(tmp_path / "renamed.png")
    assert isinstance(list(iter_resume(tmp_path / "run", cache=cache))[-1], Finished)
    (tmp_path / "renamed.png").unlink()
    with pytest.raises(RecordError, match=r"the content 'content.png' .* is missing: .* pass its path with --content"):
        list(iter_resume(tmp_path / "run", cache=cache))


def test_a_folder_without_a_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="contains no run: use the folder that was passed as --run-dir"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged: the run cannot be resumed; start it again"),
        ('{"a": 1}', "damaged: the run cannot be resumed"),
        ('{"format": 99}', "contains a run of a newer impasto: pip install --upgrade impasto"),
    ],
)
def test_a_description_that_cannot_be_used_is_said(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / checkpoint.RUN).write_text(text)
    with pytest.raises(RecordError, match=message):
        read_run(tmp_path)


@pytest.mark.slow
def test_a_log_damaged_in_the_middle_is_said(tmp_path: Path, tiny_files: Any, cache: TargetCache) -> None:
    begin(tiny_files, cache, tmp_path / "run", stop_after=3)
    (tmp_path / "run" / checkpoint.STEERING).write_text('{"broken\n{}\n')
    with pytest.raises(RecordError, match=r"steering.jsonl' is damaged at line 1: the run cannot be resumed"):
        list(iter_resume(tmp_path / "run", cache=cache))


def test_a_missing_kept_input_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"input-style.npz' is missing or damaged"):
        load_input_copy(tmp_path, "style")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, tiny_files: Any, cache: TargetCache) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(MachineError, match=r"the run cannot be kept in '.*run' \(.*\): choose another"):
        list(iter_stylize(*tiny_files, cache=cache, checkpoint_dir=tmp_path / "file" / "run", **FEW))


@pytest.mark.slow
def test_a_full_disk_ends_no_run(
    tmp_path: Path, tiny_files: Any, cache: TargetCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = files.write_atomically

    def full(path: Path, data: bytes) -> None:
        if path.name.startswith("checkpoint-"):
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(files, "write_atomically", full)
    events = begin(tiny_files, cache, tmp_path / "run")
    assert any(
        "a checkpoint could not be written" in line and "No space left" in line for line in warnings(iter(events))
    )
    assert isinstance(events[-1], Finished)
