"""Memory that runs out: one line with what would do, status 2, and the last checkpoint kept."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from impasto.cli import run
from impasto.errors import MachineError
from impasto.network.weights import vgg19_state
from impasto.objective.objective import Objective
from impasto.options import validation
from impasto.options.recipes import resolve
from impasto.planning import memory
from impasto.run.out_of_memory import advice, is_oom
from impasto.run.prepared_run import PreparedRun, prepare
from impasto.run.target_cache import TargetCache
from runs import iter_stylize

Files = tuple[Path, Path]
FEW: dict[str, Any] = {"size": 48, "steps": 6, "scales": 1, "style_layers": "relu1_1", "content_layers": "relu2_1"}
SAID = "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."
ERRORS = (MemoryError(), RuntimeError(SAID), torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate"))


@pytest.fixture(scope="module")
def cache() -> TargetCache:
    """Return the network's weights, read once."""
    return TargetCache(vgg19_state())


def fail_at(monkeypatch: pytest.MonkeyPatch, count: int, error: BaseException) -> None:
    """Let the evaluation after ``count`` others raise an error."""
    evaluate, done = Objective.evaluate, [0]

    def failing(self: Objective, *given: Any) -> Any:
        done[0] += 1
        if done[0] > count:
            raise error
        return evaluate(self, *given)

    monkeypatch.setattr(Objective, "evaluate", failing)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_shortage_is_told_with_what_would_do(
    error: BaseException, cache: TargetCache, tiny_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at(monkeypatch, 3, error)
    with pytest.raises(MachineError) as caught:
        list(iter_stylize(*tiny_files, cache=cache, precision="fp32", **FEW))
    said = str(caught.value)
    assert said.startswith("memory ran out at 48x36 px in one piece: use a smaller --size, such as 16")
    assert "\n" not in said
    assert caught.value.__cause__ is error


def test_the_last_checkpoint_is_kept_and_named(
    cache: TargetCache, tiny_files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    fail_at(monkeypatch, 3, MemoryError())
    asked: dict[str, Any] = {"cache": cache, "checkpoint_dir": folder, "checkpoint_seconds": 0, "precision": "fp32"}
    with pytest.raises(MachineError, match=r"the state before step \d is saved: run impasto resume") as caught:
        list(iter_stylize(*tiny_files, **asked, **FEW))
    named = re.search(r"before step (\d)", str(caught.value))
    assert named is not None
    assert (folder / f"checkpoint-{int(named[1]) - 1:09d}.safetensors").exists()


def test_other_errors_pass(cache: TargetCache, tiny_files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_oom(RuntimeError("shapes do not match"))
    fail_at(monkeypatch, 0, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        list(iter_stylize(*tiny_files, cache=cache, precision="fp32", **FEW))


def made(files: Files, **options: Any) -> PreparedRun:
    return prepare(*files, resolve(precision="fp32", **options))


def test_the_plan_for_less_gives_freed_memory_back(tiny_files: Files) -> None:
    prepared = made(tiny_files, size=2048, memory="64GiB")
    plan = prepared.memory_plans[prepared.size]
    said = advice(prepared, plan, int(0.7 * plan.bytes))
    wanted = re.search(r"use --memory (\S+), which returns freed memory immediately; or a smaller --size", said)
    assert wanted is not None, said
    assert made(tiny_files, size=2048, memory=wanted[1]).memory_plans[prepared.size].release_eagerly


def test_the_plan_for_less_fits_into_less(tiny_files: Files) -> None:
    prepared = made(tiny_files, size=2048, memory="64GiB")
    plan = prepared.memory_plans[prepared.size]
    limit = int(0.3 * plan.bytes)
    said = advice(prepared, plan, limit)
    wanted = re.search(
        r"use --memory (\S+), which paints it in tiles of (\d+) px; or a smaller --size, such as 1024", said
    )
    assert wanted is not None, said
    again = made(tiny_files, size=2048, memory=wanted[1]).memory_plans[prepared.size]
    assert again.tile == int(wanted[2])
    assert again.bytes <= validation.parse_bytes(wanted[1]) < plan.bytes


def test_a_picture_only_possible_whole_gives_freed_memory_back(tiny_files: Files) -> None:
    prepared = made(tiny_files, size=2048, seamless=True, memory="64GiB")
    release_eagerly = int(1.2 * prepared.memory_model.peak(memory.MemoryPlan(release_eagerly=True)))
    assert not prepared.memory_plans[prepared.size].release_eagerly
    assert "returns freed memory immediately" in advice(prepared, prepared.memory_plans[prepared.size], release_eagerly)
    for limit in (release_eagerly, 2**30):  # tried where it does not seem to fit
        again = made(tiny_files, size=2048, seamless=True, memory=str(limit)).memory_plans[prepared.size]
        assert again.release_eagerly
        assert again.tile is None


def test_a_tile_by_hand_is_to_be_left_away(tiny_files: Files) -> None:
    prepared = made(tiny_files, size=2048, tile=1024)
    assert advice(prepared, prepared.memory_plans[prepared.size], 2**31).startswith(
        "omit --tile and use --memory 2.00GiB"
    )


@pytest.mark.parametrize("seamless", [False, True])
def test_where_no_tile_fits_a_size_does(tiny_files: Files, seamless: bool) -> None:
    prepared = made(tiny_files, size=2048, seamless=seamless, memory="64GiB")
    said = advice(prepared, prepared.memory_plans[prepared.size], 900 * 2**20)
    found = re.search(r"use a smaller --size, such as (\d+)", said)
    assert found is not None, said
    side = int(found[1])
    assert 16 <= side < 2048
    smaller = made(tiny_files, size=side, seamless=seamless, memory="64GiB").memory_model
    if seamless:
        assert smaller.peak(memory.MemoryPlan()) <= 900 * 2**20
    else:
        assert memory.fitting(smaller, 900 * 2**20) is not None
        assert memory.fitting(made(tiny_files, size=side + 64).memory_model, 900 * 2**20) is None


def test_the_command_line_says_it_in_one_line(
    tiny_files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*given: Any, **named: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr("impasto.api.prepare", refuse)
    assert run(["stylize", *map(str, tiny_files), "-o", str(tmp_path / "out.png")]) == 2
    assert capsys.readouterr().err == (
        "impasto: memory ran out: use a smaller --size or smaller images, or close other programs\n"
    )


LIMITED = """
import resource, sys
import torch
from impasto.cli import run
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 700 * 2**20,) * 2)
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="address space is limited and counted on Linux")
def test_a_real_shortage_ends_in_one_line(tiny_files: Files, tmp_path: Path) -> None:
    asked = ["stylize", *map(str, tiny_files), "-o", str(tmp_path / "out.png"), "--size", "2048", "--memory", "64GiB"]
    asked += ["--scales", "1", "--steps", "1", "--precision", "fp32", "--threads", "1"]
    done = subprocess.run([sys.executable, "-c", LIMITED, *asked], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("impasto: memory ran out"), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.png").exists()
