"""Where a run computes: what is refused, and what is asked of torch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from impasto import machine
from impasto.errors import MachineError
from impasto.options import Machine


@pytest.fixture(autouse=True)
def threads() -> Iterator[int]:
    """Leave torch's number of threads as it was."""
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_the_cpu_is_always_there() -> None:
    assert machine.devices()[0] == "cpu"
    assert machine.choose(Machine(device="cpu")).device == torch.device("cpu")


@pytest.mark.parametrize(("there", "chosen"), [(["cpu"], "cpu"), (["cpu", "cuda"], "cuda")])
def test_auto_takes_the_fastest(there: list[str], chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "devices", lambda: there)
    monkeypatch.setattr(machine, "has_fast_bf16", lambda device: False)
    assert machine.choose(Machine()).device.type == chosen


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(MachineError, match=r"--device cuda:99 is not there; this machine has: cpu"):
        machine.choose(Machine(device="cuda:99"))


@pytest.mark.parametrize(
    ("fast", "precision", "dtype"),
    [
        (True, "auto", torch.bfloat16),
        (False, "auto", torch.float32),
        (True, "fp32", torch.float32),
        (True, "bf16", torch.bfloat16),
    ],
)
def test_the_precision(fast: bool, precision: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_fast_bf16", lambda device: fast)
    assert machine.choose(Machine(device="cpu", precision=precision)).dtype == dtype  # type: ignore[arg-type]


def test_a_precision_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_fast_bf16", lambda device: False)
    with pytest.raises(MachineError, match="--precision bf16 is not supported by cpu here; use --precision fp32"):
        machine.choose(Machine(device="cpu", precision="bf16"))


def test_threads_are_set_and_told() -> None:
    assert machine.choose(Machine(threads=1)).threads == 1
    assert torch.get_num_threads() == 1


def test_threads_are_left_alone(threads: int) -> None:
    assert machine.choose(Machine()).threads == threads
