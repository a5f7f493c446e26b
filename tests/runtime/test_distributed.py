"""Several processes paint what one paints; they send what the books say; one that dies ends all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from distributed_scenarios import THINNER
from impasto.cli import run
from impasto.errors import MachineError, OptionError
from impasto.events import Mailbox
from impasto.objective.tiling import halo
from impasto.optimizers.preconditioner import REACH, depth, precondition
from impasto.options.recipes import resolve
from impasto.planning.memory import MemoryModel, MemoryPlan
from impasto.run.prepared_run import check_together
from impasto.runtime import distributed
from impasto.runtime.distributed import ALONE, BroadcastMailbox, ProcessGroup, RowShard
from rounding import TIMES, assert_same
from waiting import HANG_SECONDS

SCENARIOS = Path(__file__).parents[1] / "distributed_scenarios.py"
LAWS = ("two", "two, tiles and a mask", "three, odd", "roots, samples and matches")
Entry = dict[str, Any]


@pytest.fixture(scope="module")
def scenario_results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Entry]:
    """Run every scenario in a group of processes, and return the outcomes by name."""
    folder = tmp_path_factory.mktemp("scenarios")
    answer = subprocess.run(
        [sys.executable, str(SCENARIOS), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert answer.returncode == 0, answer.stderr
    found = {entry["name"]: entry for entry in map(json.loads, answer.stdout.splitlines())}
    assert found, answer.stderr
    return found


def said(members: list[Entry]) -> list[Any]:
    """Return what members said, all of which ended well."""
    assert all(member["code"] == 0 for member in members), members
    return [member["said"] for member in members]


@pytest.mark.parametrize("law", LAWS)
def test_values_and_gradient_are_those_of_one_process(scenario_results: dict[str, Entry], law: str) -> None:
    for own in said(scenario_results[law]["members"]):
        assert own["split"]


def test_a_step_sends_the_sums_and_rows_at_the_border(scenario_results: dict[str, Entry]) -> None:
    own = said(scenario_results["two, tiles and a mask"]["members"])
    sent = {what: [member["sent"][what] for member in own] for what in own[0]["sent"]}
    rows = halo(["relu3_1"], reach=16)
    assert sum(sent["canvas"]) == sum(sent["gradient"]) == 2 * rows * 81 * 3 * 8
    channels = [count // THINNER for count in (64, 128, 256)]
    # Moments and Gram matrices, content, total variation; edges at two sizes, the anchor, photo, specks, border.
    numbers = sum(c * (c + 1) + c * c for c in channels) + 2 + 2 + 3 * 8 * 8 + 3
    assert sent["summaries"] == [8 * numbers] * 2
    assert sent["scalars"] == [8 * (9 + 1)] * 2
    assert set(sent) == {"canvas", "gradient", "summaries", "scalars"}


def test_the_optimizers_paint_alike(scenario_results: dict[str, Entry]) -> None:
    for name in ("lbfgs", "adam", "lean"):
        for own in said(scenario_results[name]["members"]):
            assert own["whole"], name


def test_lbfgs_sends_one_margin_and_its_scalars(scenario_results: dict[str, Entry]) -> None:
    first, second = said(scenario_results["lbfgs"]["members"])
    assert second["sent"]["preconditioner"] == 2 * 33 * 48 * 3 * 8  # all 33 rows it has of 64, of two vectors
    assert first["sent"]["preconditioner"] == 2 * REACH * 48 * 3 * 8
    pairs = 5
    assert first["sent"]["scalars"] == 8 * (3 + pairs + 1 + pairs + 2)


def near(group: float, tiled: float) -> None:
    """Raise unless a group's image is as near to one process's as that process's own is where it takes tiles.

    A run makes of the last digits what it will, by the same steps in both; one level is the saved file's.
    """
    assert group <= TIMES * tiled + 1.001 / 255


@pytest.mark.parametrize("name", ["run", "regions"])
def test_a_whole_run_comes_out_alike(scenario_results: dict[str, Entry], name: str) -> None:
    entry = scenario_results[name]
    near(*entry["worst"])
    near(*entry["mean"])
    (alone,), members = said(entry["alone"]), said(entry["members"])
    assert members[0]["shown"] == alone["shown"]
    assert members[0]["sizes"] == alone["sizes"] == [77, 128]


def test_a_small_scale_is_left_to_the_first(scenario_results: dict[str, Entry]) -> None:
    first, *others = said(scenario_results["regions"]["members"])  # 77 rows are too few for three
    assert first["sizes"] == [77, 128]
    assert [other["sizes"] for other in others] == [[128], [128]]


@pytest.mark.parametrize(("name", "dead"), [("second dies", 1), ("first dies", 0)])
def test_one_that_dies_ends_all_and_the_checkpoint_stays(
    scenario_results: dict[str, Entry], name: str, dead: int
) -> None:
    entry = scenario_results[name]
    victim, survivor = entry["members"][dead], entry["members"][1 - dead]
    assert victim["code"] == -signal.SIGKILL
    assert survivor["code"] == 2
    assert "another process of this run has ended" in survivor["said"]
    assert "\n" not in survivor["said"]
    assert entry["kept"] == 2
    said(entry["later"])  # as many as three, or one
    near(entry["worst"], scenario_results["run"]["worst"][1])


def test_a_band_begins_where_the_preconditioner_can() -> None:
    four = [ProcessGroup(index, 4).shard(1000) for index in range(4)]
    assert [shard.rows for shard in four] == [(0, 256), (256, 512), (512, 768), (768, 1000)]
    assert all(shard.rows[0] % 32 == 0 for shard in four)
    assert ProcessGroup(0, 4).shard(250).is_whole
    assert ALONE.shard(5000).is_whole


@pytest.mark.parametrize("size", [(417, 50), (320, 33), (290, 2)])
def test_the_preconditioner_sees_no_farther_than_its_margin(size: tuple[int, int]) -> None:
    vector = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    whole = precondition(vector)
    for first, last in ((0, 128), (128, 192), (192, size[0])):
        top, bottom = max(0, first - REACH), min(size[0], last + REACH)
        part = precondition(vector[..., top:bottom, :], depth(*size))
        assert_same(part[..., first - top : last - top, :], whole[..., first:last, :])


def test_one_process_sends_nothing() -> None:
    shard, part = ALONE.shard(64), torch.rand(1, 3, 64, 8)
    for same in (
        *shard.with_halo([part], 16),
        shard.reduce_halo(part, 16),
        shard.without_halo(part, 16),
        shard.gather(part),
    ):
        assert same is part
    assert shard.cut(part) is part
    assert shard.all_gather(part) is part
    assert ALONE.all_reduce_scalars(1.5, 2.0) == [1.5, 2.0]
    assert ALONE.broadcast([1]) == [1]
    assert ALONE.all_reduce_(part) is part
    assert ALONE.broadcast_tensor(part) is part
    assert ALONE.sent == {}
    assert RowShard(64) == shard


def test_a_relay_alone_is_its_mailbox() -> None:
    mailbox = Mailbox()
    mailbox.post("set", strength=0.5)
    relay = BroadcastMailbox(mailbox, ALONE)
    relay.wait(0.0)
    assert [(command.name, command.values) for command in relay.collect()] == [("set", {"strength": 0.5})]
    assert BroadcastMailbox(None, ALONE).collect() == []


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert distributed.join() is ALONE
    monkeypatch.setenv("WORLD_SIZE", "4")  # left over from something else
    assert distributed.join() is ALONE
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert distributed.join() is ALONE


@pytest.mark.parametrize(("rank", "world"), [("2", "2"), ("x", "2"), ("0", "many"), ("-1", "3")])
def test_an_environment_without_sense_is_said(monkeypatch: pytest.MonkeyPatch, rank: str, world: str) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(OptionError, match=f"RANK is '{rank}' and WORLD_SIZE '{world}': start with torchrun"):
        distributed.join()


def test_others_that_cannot_be_met_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(MachineError, match="process 2 of 2 cannot reach the others .*MASTER_ADDR.*: use torchrun"):
        distributed.join()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(MachineError, match="process 2 of 2 has no GPU; this machine has 1"):
        distributed.join()


@pytest.mark.parametrize(("rank", "ignored"), [(0, False), (1, True)])
def test_only_the_first_process_handles_signals(rank: int, ignored: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProcessGroup, "shutdown", lambda self: None)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with distributed.as_one(ProcessGroup(rank, 2)):
        inside = [signal.getsignal(number) for number in numbers]
    assert inside == ([signal.SIG_IGN] * 3 if ignored else before)
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fast": True}, "fast is not supported with 2 processes: a feed-forward pass is not split"),
        ({"time": "60s"}, "time is not supported with 2 processes: --time measures one process"),
        ({"seamless": True}, "seamless is not supported with 2 processes: opposite edges are neighbors"),
        ({"optimizer": "pyramid"}, "optimizer is not supported with 2 processes: the pyramid is not split"),
    ],
)
def test_what_one_process_alone_can_do_is_refused(options: dict[str, Any], message: str) -> None:
    check_together(resolve(**options), ALONE)
    with pytest.raises(OptionError, match=message):
        check_together(resolve(**options), ProcessGroup(0, 2))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["studio"], "studio does not support 2 processes: start it without torchrun; torchrun works with stylize"),
        (["explore", "a.png"], "explore does not support 2 processes"),
        (["stylize", "a.png", "b.png", "--dry-run"], "--dry-run works with a single process only"),
    ],
)
def test_the_command_line_refuses_what_is_not_shared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert run(words) == 2
        said = capsys.readouterr().err
        assert (message in said) if rank == "0" else not said  # the first speaks


@pytest.mark.slow
def test_torchrun_starts_the_command_line(tmp_path: Path, tiny_files: tuple[Path, Path]) -> None:
    options = ["--size", "48", "--steps", "2", "--scales", "1", "--precision", "fp32"]
    layers = ["--style-layers", "relu1_1", "--content-layers", "relu1_2"]
    words = ["stylize", *map(str, tiny_files), *options, *layers, "-o", str(tmp_path / "out.png")]
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "impasto"]
    answer = subprocess.run([*start, *words], capture_output=True, text=True, check=False, timeout=HANG_SECONDS)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count("in the style of") == 1
    assert (tmp_path / "out.png").exists()


@pytest.mark.slow
def test_torchrun_starts_a_training(tmp_path: Path, tiny_files: tuple[Path, Path]) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(3):
        (photos / f"{index}.png").write_bytes(tiny_files[0].read_bytes())
    options = ["--crop-size=32", "--batch-size=1", "--steps=2", "--width=4", "--blocks=1", "--precision=fp32"]
    words = ["train", str(tiny_files[1]), "--photos", str(photos), *options, "-o", str(tmp_path / "net.safetensors")]
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "impasto"]
    answer = subprocess.run([*start, *words], capture_output=True, text=True, check=False, timeout=HANG_SECONDS)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count("all steps done") == 1
    assert (tmp_path / "net.safetensors").exists()


def test_a_plan_counts_the_rows_of_one_process() -> None:
    alone, half = MemoryModel(4096, 4096), MemoryModel(4096, 4096, ranks=2)
    plan = MemoryPlan(tile=512, pairs=3)
    assert half.pair(False) * 2 == alone.pair(False)
    assert half.read(512) == alone.read(512)
    assert half.tiles(512) * 2 == alone.tiles(512)
    assert half.state(plan) == alone.state(plan)  # a checkpoint holds the whole image
    assert half.peak(plan) < alone.peak(plan)
    assert half.peak(plan) > alone.peak(plan) / 2  # the content and its target are whole in every process
