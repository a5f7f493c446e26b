"""Where a run computes: what is refused, and what is asked of torch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from impasto.errors import MachineError
from impasto.options.fields import Machine
from impasto.runtime import device
from impasto.runtime.device import Rates


@pytest.fixture(autouse=True)
def threads() -> Iterator[int]:
    """Leave torch's number of threads as it was."""
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_the_cpu_is_always_there() -> None:
    assert device.devices()[0] == "cpu"
    assert device.resolve_device(Machine(device="cpu")).device == torch.device("cpu")


@pytest.mark.parametrize(("there", "chosen"), [(["cpu"], "cpu"), (["cpu", "cuda"], "cuda")])
def test_auto_takes_the_fastest(there: list[str], chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "devices", lambda: there)
    monkeypatch.setattr(device, "has_fast_bf16", lambda device: False)
    assert device.resolve_device(Machine()).device.type == chosen


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(MachineError, match=r"--device cuda:99 is not available; available: cpu"):
        device.resolve_device(Machine(device="cuda:99"))


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
    monkeypatch.setattr(device, "has_fast_bf16", lambda device: fast)
    assert device.resolve_device(Machine(device="cpu", precision=precision)).dtype == dtype  # type: ignore[arg-type]


def test_an_unavailable_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_fast_bf16", lambda device: False)
    with pytest.raises(MachineError, match="--precision bf16 is not supported by cpu; use --precision fp32"):
        device.resolve_device(Machine(device="cpu", precision="bf16"))


def test_threads_are_set_and_told() -> None:
    assert device.resolve_device(Machine(threads=1)).threads == 1
    assert torch.get_num_threads() == 1


def test_threads_are_left_alone(threads: int) -> None:
    assert device.resolve_device(Machine()).threads == threads


@pytest.mark.parametrize(
    ("fp32", "bf16", "dtype"),
    [
        (100.0, 400.0, torch.bfloat16),
        (100.0, 90.0, torch.bfloat16),  # half the memory, and not clearly slower
        (119.0, 100.0, torch.bfloat16),
        (121.0, 100.0, torch.float32),
        (108.0, 17.1, torch.float32),
    ],
)
def test_auto_takes_bfloat16_unless_float32_is_clearly_faster(
    fp32: float, bf16: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "has_fast_bf16", lambda device: True)
    monkeypatch.setattr(device, "cpu_rates", lambda: Rates(fp32, bf16))
    place = device.resolve_device(Machine(device="cpu"))
    assert place.dtype == dtype
    assert (place.note is None) == (dtype == torch.bfloat16)
    assert device.resolve_device(Machine(device="cpu", precision="bf16")).dtype == torch.bfloat16
    assert device.resolve_device(Machine(device="cpu", precision="fp32")).note is None


def test_why_it_is_not_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_fast_bf16", lambda device: True)
    monkeypatch.setattr(device, "cpu_rates", lambda: Rates(108.0, 17.12))
    assert device.resolve_device(Machine(device="cpu")).note == (
        "bfloat16 is slower than float32 on this CPU (17.1 and 108 GFLOP/s a thread): the run uses float32"
    )


def test_nothing_is_timed_where_nothing_is_to_be_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Rates:
        raise AssertionError

    monkeypatch.setattr(device, "cpu_rates", refuse)
    device.resolve_device(Machine(device="cpu", precision="fp32"))
    monkeypatch.setattr(device, "has_fast_bf16", lambda device: False)
    assert device.resolve_device(Machine(device="cpu")).dtype == torch.float32


class Clock:
    """A clock on which the calls between two looks take the given seconds, one after another."""

    def __init__(self, *took: float) -> None:
        self.took, self.now, self.looks = list(took), 0.0, 0

    def __call__(self) -> float:
        if self.looks % 2:
            self.now += self.took[self.looks // 2]
        self.looks += 1
        return self.now


def test_the_fastest_round_counts_and_slow_ones_are_few(threads: int) -> None:
    operations = 2 * 9 * 64 * 64 * 32 * 32 / 1e9  # of a 3x3 convolution of 64 channels at 32x32 px, in G
    clock = Clock(0.05, 0.02, 0.01, 0.02, 0.03, 0.02, 0.3, 0.2)
    rates = device.measure_rates(clock)
    assert clock.looks == 2 * len(clock.took)
    assert rates.fp32 == pytest.approx(operations / 0.01)
    assert rates.bf16 == pytest.approx(operations / 0.2)
    assert torch.get_num_threads() == threads


def test_real_rates_are_numbers() -> None:
    rates = device.measure_rates()
    assert rates.fp32 > 0
    assert rates.bf16 > 0
