"""Which device, precision and number of threads a run uses.

Apple's MPS is not supported: it has no float64, in which statistics are summed. A Mac paints on its CPU.

A CPU may report bfloat16 and compute it slowly: emulated, virtualized, or limited by a library's settings. So with
precision ``auto``, a small convolution is timed in both precisions, and bfloat16 is not used where float32 is clearly
faster. The time is processor time on one thread, which other programs on the machine hardly change: the choice decides
the bytes of the image and must not change from run to run. A GPU is not timed; there ``has_fast_bf16`` depends on the
hardware only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch.nn import functional

from impasto.errors import MachineError
from impasto.options.choices import Precision
from impasto.options.fields import Machine

CHANNELS, SIDE = 64, 32  # of the timed convolution: 75 MFLOP, a millisecond where float32 is fast
ROUNDS = 6  # the fastest counts; the first one also compiles
LONGEST = 0.4  # seconds in one precision, after which no further round begins
# bfloat16 also halves the memory of the features, so float32 has to be this much faster.
CLEARLY_FASTER = 1.2


@dataclass(frozen=True)
class Rates:
    """GFLOP/s of a 3x3 convolution on one thread of the CPU, by precision."""

    fp32: float
    bf16: float


@dataclass(frozen=True)
class ComputeSettings:
    """Where and how a run computes: device, dtype of the network, CPU threads; ``note`` says why not bfloat16."""

    device: torch.device
    dtype: torch.dtype
    threads: int
    note: str | None = None

    @property
    def precision(self) -> Precision:
        """The option's name of the dtype: ``fp32`` or ``bf16``."""
        names: dict[torch.dtype, Precision] = {torch.float32: "fp32", torch.bfloat16: "bf16"}
        return names[self.dtype]


def devices() -> list[str]:
    """Return the devices of this machine, by the names that ``--device`` accepts."""
    names = ["cpu"]
    if torch.cuda.is_available():
        names += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    return names


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the hardware reports bfloat16 support; for a CPU, ``cpu_rates`` verifies that it is fast."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def measure_rates(clock: Callable[[], float] = time.thread_time) -> Rates:
    """Measure the speed of a convolution on one thread of the CPU, in under a second.

    The convolution is the network's: 3x3, channels last, forward (its backward pass is a convolution, too).

    Args:
        clock: seconds of processor time of the calling thread.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the clock measures only this thread
    try:
        return Rates(*(_rate(dtype, clock) for dtype in (torch.float32, torch.bfloat16)))
    finally:
        torch.set_num_threads(threads)


cpu_rates = cache(measure_rates)  # once a process


def _rate(dtype: torch.dtype, clock: Callable[[], float]) -> float:
    """Return the GFLOP/s of the convolution in one precision."""
    shapes = (1, CHANNELS, SIDE, SIDE), (CHANNELS, CHANNELS, 3, 3)
    x, weight = (torch.ones(shape, dtype=dtype).contiguous(memory_format=torch.channels_last) for shape in shapes)
    took: list[float] = []
    with torch.no_grad():
        while len(took) < ROUNDS and sum(took) < LONGEST:
            start = clock()
            functional.conv2d(x, weight, padding=1)
            took.append(clock() - start)
    operations = 2 * 9 * CHANNELS * CHANNELS * SIDE * SIDE
    return operations / max(min(took), 1e-9) / 1e9


def resolve_device(machine: Machine) -> ComputeSettings:
    """Return the device, dtype and threads for a run, and set torch's number of threads.

    With precision ``auto``, bfloat16 is used if the hardware supports it and float32 is not clearly faster.

    Raises:
        MachineError: the device or the precision is not available.
    """
    available = devices()
    name = machine.device
    if name == "auto":
        name = "cuda" if "cuda" in available else "cpu"
    if name not in available:
        raise MachineError(f"--device {name} is not available; available: {', '.join(available)}")
    device = torch.device(name)
    if machine.precision == "bf16" and not has_fast_bf16(device):
        raise MachineError(f"--precision bf16 is not supported by {name}; use --precision fp32 or auto")
    bf16, note = machine.precision == "bf16", None
    if machine.precision == "auto" and has_fast_bf16(device):
        note = _slower(cpu_rates()) if device.type == "cpu" else None
        bf16 = note is None
    if machine.threads is not None:
        torch.set_num_threads(machine.threads)
    return ComputeSettings(device, torch.bfloat16 if bf16 else torch.float32, torch.get_num_threads(), note)


def _slower(rates: Rates) -> str | None:
    """Return a note if float32 is clearly faster, None otherwise."""
    if rates.fp32 < CLEARLY_FASTER * rates.bf16:
        return None
    return (
        f"bfloat16 is slower than float32 on this CPU ({rates.bf16:.3g} and {rates.fp32:.3g} GFLOP/s a thread): "
        "the run uses float32"
    )
