"""Which device, precision and number of threads a run uses.

Apple's MPS is none of the devices: it has no float64, in which statistics are added up. A Mac paints on its CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from impasto.errors import MachineError
from impasto.options import Machine


@dataclass(frozen=True)
class Place:
    """Where the arithmetic runs: device, dtype of the network, CPU threads."""

    device: torch.device
    dtype: torch.dtype
    threads: int


def devices() -> list[str]:
    """Return the devices that this machine has, by the names that ``--device`` takes."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    return found


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 convolutions are computed by the hardware and not emulated."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def choose(machine: Machine) -> Place:
    """Return the place for a run and set torch's number of threads.

    Raises:
        MachineError: the device or the precision is not there.
    """
    there = devices()
    name = machine.device
    if name == "auto":
        name = "cuda" if "cuda" in there else "cpu"
    if name not in there:
        raise MachineError(f"--device {name} is not there; this machine has: {', '.join(there)}")
    device = torch.device(name)
    if machine.precision == "bf16" and not has_fast_bf16(device):
        raise MachineError(f"--precision bf16 is not supported by {name} here; use --precision fp32, or auto")
    bf16 = machine.precision == "bf16" or (machine.precision == "auto" and has_fast_bf16(device))
    if machine.threads is not None:
        torch.set_num_threads(machine.threads)
    return Place(device, torch.bfloat16 if bf16 else torch.float32, torch.get_num_threads())
