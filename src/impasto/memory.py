"""How a scale fits the memory there is: whole or in tiles, and what its optimiser may keep.

In: sizes, layers and a limit in bytes. Out: a ``Plan`` for each scale. The model counts what grows with the picture
(canvas, gradient, content and its target, masks, the optimiser's vectors and pairs) and what grows with a tile (the
features and what the way back needs). Where fewer than three of L-BFGS's pairs fit, a first-order method with moments
in bfloat16 takes over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from impasto.errors import MachineError, OptionError

SHARE = 0.8  # of what is free, where no limit is given
BASE = 450 * 2**20  # the interpreter, torch, the network and its workspaces
TILES = (1024, 512, 256)
MARGIN = 144  # px that a tile reads beyond what it owns, both sides together
PAIRS = 10
LEAST_PAIRS = 3
VALUES = 3  # a pixel's

# Values a pixel of the canvas has down to each block, pooled maps included, and what max pooling remembers, in bytes.
FEATURES = (144, 216, 284, 318, 320)
POOLED = (0, 128, 192, 224, 240)
SLOPES = 128  # values a pixel's gradient takes where it is widest

# Vectors of the picture's size that an optimiser holds at its peak, the gradient among them.
VECTORS = {"lbfgs": 9, "adam": 7, "pyramid": 9, "lean": 3}
CONTENT_VECTORS = 3  # the content, what the losses see of it, and one more while a reference is taken
UNITS = {"": 1, "B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
UNITS |= {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "K": 2**10, "M": 2**20, "G": 2**30}


@dataclass(frozen=True)
class Plan:
    """How one scale is computed.

    ``tile`` is None for the whole picture; ``pairs`` and ``half`` (bfloat16) are L-BFGS's; ``lean`` takes the
    first-order method in its place; ``bytes`` is the peak that the model expects.
    """

    tile: int | None = None
    pairs: int = PAIRS
    half: bool = False
    lean: bool = False
    bytes: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether everything is as it is where memory is no question."""
        return self == Plan(bytes=self.bytes)

    def as_data(self) -> list[int | None]:
        """Return it as a record keeps it."""
        return [self.tile, self.pairs, int(self.half), int(self.lean), self.bytes]

    @classmethod
    def of_data(cls, data: Sequence[int | None]) -> Plan:
        """Take back what ``as_data`` returned."""
        tile, pairs, half, lean, size = data
        return cls(tile, pairs or 0, bool(half), bool(lean), size or 0)


def parse_bytes(text: str, name: str = "memory") -> int:
    """Read ``4GiB``, ``500MB`` or a number of bytes.

    Raises:
        OptionError: it is not a size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2].upper() not in UNITS or float(match[1]) == 0:
        raise OptionError(f"{name} is {text!r}; give a size such as 4GiB or 800MiB", name)
    return int(float(match[1]) * UNITS[match[2].upper()])


def free_bytes() -> int | None:
    """Return how much main memory this process may take, None where the system does not say."""
    found: list[int] = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found.extend(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        if limit.isdigit():
            found.append(int(limit) - int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii")))
    except (OSError, ValueError, IndexError):
        pass
    return min(found) if found else None


def feature_bytes(pixels: int, depth: int, width: int) -> int:
    """Return what evaluating so many pixels takes.

    Args:
        pixels: of a tile with its halo, or of the picture.
        depth: deepest block, 1 to 5; 0 for no network.
        width: bytes of a feature.
    """
    return pixels * ((FEATURES[depth - 1] + SLOPES) * width + POOLED[depth - 1]) if depth else 0


def fixed_bytes(pixels: int, optimizer: str, width: int, masks: int) -> int:
    """Return what grows with the picture, L-BFGS's pairs apart: vectors in float32, the content's target, masks."""
    return pixels * (4 * VALUES * (VECTORS[optimizer] + CONTENT_VECTORS) + 8 * width + 8 * masks)


def plan(
    height: int, width: int, limit: int | None, *, depth: int = 5, half: bool = True, optimizer: str, masks: int = 0
) -> Plan:
    """Return the fastest way to compute a scale within a limit.

    Args:
        height, width: of the canvas in px.
        limit: bytes for everything; None for no limit.
        depth: the deepest block that is read.
        half: whether features are in two bytes rather than four.
        optimizer: that was asked for.
        masks: how many maps of the picture's size are held.

    Raises:
        MachineError: not even the smallest tile fits; says what would.
    """
    pixels, size = height * width, 2 if half else 4
    least = 0
    for kind in dict.fromkeys((optimizer, "lean" if optimizer == "lbfgs" else optimizer)):
        for tile in (None, *TILES):
            if tile is not None and tile >= max(height, width):
                continue
            read = pixels if tile is None else min(tile + MARGIN, height) * min(tile + MARGIN, width)
            needed = BASE + fixed_bytes(pixels, kind, size, masks) + feature_bytes(read, depth, size)
            found = _pairs(needed, pixels, kind, tile, limit)
            if found is not None:
                return found
            least = needed
    raise MachineError(
        f"{width}x{height} px do not fit into {_readable(limit or 0)}: the least that would do is "
        f"--memory {_readable(least, up=True)}; or give a smaller --size"
    )


def _pairs(needed: int, pixels: int, kind: str, tile: int | None, limit: int | None) -> Plan | None:
    """Return the plan with as many pairs as fit, None if it does not fit."""
    if kind != "lbfgs":
        return (
            Plan(tile, 0 if kind == "lean" else PAIRS, False, kind == "lean", needed) if _fits(needed, limit) else None
        )
    for half in (False, True):
        pair = pixels * VALUES * 2 * (2 if half else 4)
        count = PAIRS if limit is None else min(PAIRS, (limit - needed) // pair)
        if count >= (LEAST_PAIRS if half else PAIRS):
            return Plan(tile, count, half, False, needed + count * pair)
    return None


def _fits(needed: int, limit: int | None) -> bool:
    return limit is None or needed <= limit


def _readable(size: int, up: bool = False) -> str:
    hundredths = size * 100 / 2**30
    return f"{(-(-hundredths // 1) if up else round(hundredths)) / 100:.2f}GiB"
