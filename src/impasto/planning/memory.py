"""How a scale fits into memory: in one piece or in tiles, and with how much optimizer history.

``plan_memory`` returns a ``MemoryPlan`` for the size and layers of a scale and a limit in bytes. The model counts what
grows with the image (canvas, gradient, content and its target, masks, the optimizer's vectors and pairs) and what grows
with a tile (the features and what backward needs). If fewer than three pairs of L-BFGS fit, a first-order method with
moments in bfloat16 is used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from impasto.errors import MachineError

FREE_SHARE = 0.8  # fraction of the free memory, if no limit is given
SLACK = 1.1  # margin of the limit over the model's value, which is accurate to about 5%
BASE = 600 * 2**20  # the interpreter, torch, the network, its workspaces, and what the allocator does not return
# Sides of tiles. Within a group a longer history is preferred to a larger tile, which saves a fifth of the time.
GROUPS: tuple[tuple[int | None, ...], ...] = ((None,), (1024, 512), (256,))
MARGIN = 144  # px that a tile reads beyond what it owns, both sides together
PAIRS = 10
MIN_PAIRS = 3
VALUES = 3  # per pixel

# Values per pixel of the canvas down to each block, pooled maps included.
FEATURES = (144, 216, 284, 318, 320)
SLOPES = 128  # values per pixel of the gradient at its largest
# Relative to the features: temporary copies, and fragmentation between freed blocks where they are retained (see
# ``runtime.allocator``).
COPIES, GAPS = 0.25, 1.75
WIDEST = 64  # channels of the largest map

# Vectors of the image's size: held while the objective is evaluated, its gradient among them, and the maximum while
# the optimizer moves, when no features are there. Preparing a scale takes three (content, noise, one more).
HELD = {"lbfgs": 5, "adam": 5, "pyramid": 7, "first_order": 3}
MOVING = {"lbfgs": 10, "adam": 8, "pyramid": 12, "first_order": 3}
STATE = {"lbfgs": 4, "adam": 4, "pyramid": 6, "first_order": 2}  # vectors that a checkpoint keeps
PREPARING = 3  # vectors: content, noise, one more
TARGET = 8  # values per pixel of the target of the content loss, 512 channels at every 64th pixel
MASK = 10  # bytes per pixel of a mask, its copies for the layers included
NOISE = 2  # vectors: where there are masks, the colors of the noise differ from place to place
RECOLOR = 380  # bytes per pixel, once, when the steps are done and the content's colors are moved to the style's
INPUT = 12  # bytes per pixel of each image that was read


@dataclass(frozen=True)
class MemoryPlan:
    """How one scale is computed.

    ``tile`` is the side of a tile in px, None without tiles. ``pairs`` is the length of the L-BFGS history,
    ``bf16_history`` stores it in bfloat16, ``first_order`` replaces L-BFGS by a first-order method. ``bytes`` is the
    predicted peak. ``kept_tiles`` tiles keep the activations of their first pass, which saves time and changes no
    result. ``release_eagerly`` returns freed memory to the system immediately although the image is not tiled; tiled
    runs always do.
    """

    tile: int | None = None
    pairs: int = PAIRS
    bf16_history: bool = False
    first_order: bool = False
    bytes: int = 0
    kept_tiles: int = 1
    release_eagerly: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether this is the plan for unlimited memory."""
        return self == MemoryPlan(bytes=self.bytes)

    @property
    def releases_memory(self) -> bool:
        """Whether freed memory is returned to the system immediately, where that is possible."""
        return self.release_eagerly or self.tile is not None

    def as_data(self) -> list[int | None]:
        """Return the plan as a record stores it."""
        return [
            self.tile,
            self.pairs,
            int(self.bf16_history),
            int(self.first_order),
            self.bytes,
            self.kept_tiles,
            int(self.release_eagerly),
        ]

    @classmethod
    def from_data(cls, data: Sequence[int | None]) -> MemoryPlan:
        """Return the plan that ``as_data`` stored; old records lack ``kept_tiles`` and ``release_eagerly``."""
        tile, pairs, bf16_history, first_order, size, *rest = data
        kept_tiles, release_eagerly = rest[0] if rest else 1, bool(rest[1]) if len(rest) > 1 else False
        return cls(tile, pairs or 0, bool(bf16_history), bool(first_order), size or 0, kept_tiles or 1, release_eagerly)


def free_bytes() -> int:
    """Return the bytes of main memory that this process can allocate, within the limit of its control group."""
    import psutil

    free: int = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):  # no control group, or one without a limit
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
        free = min(free, limit - int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii")))
    return free


def feature_bytes(pixels: int, depth: int, width: int, gaps: float) -> int:
    """Return the bytes that an evaluation of a number of pixels needs.

    Args:
        pixels: number of pixels of a tile with its halo, or of the image.
        depth: deepest block, 1 to 5; 0 for no network.
        width: bytes per feature value.
        gaps: memory of copies and gaps between blocks, relative to that of the features.
    """
    return round(pixels * (1 + gaps) * (FEATURES[depth - 1] + SLOPES) * width) if depth else 0


@dataclass(frozen=True)
class MemoryModel:
    """The memory that one scale needs, as a function of its plan.

    Args:
        height, width: size of the canvas in px.
        depth: the deepest block that is read.
        bf16_features: whether features are in bfloat16 instead of float32.
        optimizer: name of the requested optimizer.
        masks: number of maps of the image's size in memory.
        inputs: total pixels of the input images.
        recolor: whether the result gets the content's colors.
        ranks: number of processes that share the image's rows; the model counts the memory of one.
        can_release: whether freed memory can be returned to the system immediately (see ``runtime.allocator``); never
            on a GPU.
    """

    height: int
    width: int
    depth: int = 5
    bf16_features: bool = True
    optimizer: str = "lbfgs"
    masks: int = 0
    inputs: int = 0
    recolor: bool = False
    ranks: int = 1
    can_release: bool = True

    @property
    def rows(self) -> int:
        """Number of rows of the canvas per process."""
        return -(-self.height // self.ranks)

    def at(self, height: int, width: int) -> MemoryModel:
        """Return the model at a different size."""
        return replace(self, height=height, width=width)

    def peak(self, plan: MemoryPlan) -> int:
        """Return the peak memory of a plan in bytes."""
        pixels, width = self.height * self.width, 2 if self.bf16_features else 4
        whole, kind = 4 * VALUES * pixels, "first_order" if plan.first_order else self.optimizer
        own = pixels * (TARGET * width + MASK * self.masks) + (NOISE * whole if self.masks else 0)
        vector = 4 * VALUES * self.rows * self.width
        pairs = plan.pairs * self.pair(plan.bf16_history) if kind == "lbfgs" else 0
        gaps = COPIES if self.can_release and plan.releases_memory else GAPS
        features = feature_bytes(self.read(plan.tile), self.depth, width, gaps)
        features += (plan.kept_tiles - 1) * self.kept(plan.tile)
        moving = max(HELD[kind] * vector + features, MOVING[kind] * vector)
        # Every process prepares a scale from the whole content; the first finally has the whole image.
        others = PREPARING * whole if self.ranks > 1 else 0, RECOLOR * pixels if self.recolor else 0
        return BASE + INPUT * self.inputs + own + max(pairs + moving, *others)

    def state(self, plan: MemoryPlan) -> int:
        """Return the bytes of the optimizer state in a checkpoint."""
        vector, kind = 4 * VALUES * self.height * self.width, "first_order" if plan.first_order else self.optimizer
        pairs = plan.pairs * replace(self, ranks=1).pair(plan.bf16_history) if kind == "lbfgs" else 0
        return STATE[kind] * vector + pairs

    def pair(self, bf16: bool) -> int:
        """Return the bytes of one L-BFGS pair."""
        return self.rows * self.width * VALUES * 2 * (2 if bf16 else 4)

    def read(self, tile: int | None) -> int:
        """Return how many pixels are evaluated in one pass."""
        if tile is None:
            return min(self.rows + (MARGIN if self.ranks > 1 else 0), self.height) * self.width
        return min(tile + MARGIN, self.height) * min(tile + MARGIN, self.width)

    @property
    def block(self) -> int:
        """Return the bytes of the largest map if the image is not tiled."""
        return self.read(None) * WIDEST * (2 if self.bf16_features else 4)

    def kept(self, tile: int | None) -> int:
        """Return the bytes of activations that one tile keeps for its backward pass."""
        if not self.depth:
            return 0
        return round((1 + COPIES) * self.read(tile) * FEATURES[self.depth - 1] * (2 if self.bf16_features else 4))

    def tiles(self, tile: int | None) -> int:
        """Return the number of tiles."""
        return 1 if tile is None else -(-self.rows // tile) * -(-self.width // tile)


def plan_memory(model: MemoryModel, limit: int | None) -> MemoryPlan:
    """Return the best way to compute a scale within a limit.

    Args:
        model: the memory model of the scale.
        limit: total bytes; None for no limit.

    Raises:
        MachineError: not even the smallest tile fits; the message has the limit or size that would.
    """
    found = fitting(model, limit)
    if found is not None:
        return found
    least = int(SLACK * min(model.peak(made) for made in _candidates(model))) + 1
    raise MachineError(
        f"{model.width}x{model.height} px does not fit in {readable(limit or 0)}: the smallest limit that works is "
        f"--memory {readable(least, up=True)}; or use a smaller --size"
    )


def fitting(model: MemoryModel, limit: int | None, *, whole: bool = False) -> MemoryPlan | None:
    """Return the best plan within a limit, None if there is none; optionally only plans without tiles."""
    limit = None if limit is None else int(limit / SLACK)
    for made in _candidates(model):
        if whole and made.tile is not None:
            continue
        needed = model.peak(made)
        if limit is None or needed <= limit:
            return _with_kept(model, replace(made, bytes=needed), limit)
    return None


def smaller(model: MemoryModel, limit: int) -> int | None:
    """Return the largest long side in px, a multiple of 16, that fits at this aspect ratio; None if none does."""
    longest = max(model.height, model.width)
    low, high = 0, longest // 16  # of 16 px; low fits
    while low < high:
        middle = (low + high + 1) // 2
        factor = 16 * middle / longest
        sized = model.at(round(model.height * factor), round(model.width * factor))
        low, high = (middle, high) if fitting(sized, limit) is not None else (low, middle - 1)
    return 16 * low or None


def _candidates(model: MemoryModel) -> Iterator[MemoryPlan]:
    """Yield plans, best first: without tiles before tiled ones, and within each a longer history before speed."""
    lbfgs = model.optimizer == "lbfgs"
    histories = [(PAIRS, False), *((pairs, True) for pairs in range(PAIRS, MIN_PAIRS - 1, -1))] if lbfgs else [()]
    if model.can_release:
        yield from (MemoryPlan(None, *history) for history in histories[:2])
    groups: list[list[int | None]] = [
        [tile for tile in group if tile is None or tile < max(model.height, model.width)] for group in GROUPS
    ]
    made = [MemoryPlan(tile, *history) for group in groups for history in histories for tile in group]
    if lbfgs:
        made += [MemoryPlan(tile, 0, first_order=True) for group in groups for tile in group]
    yield from (replace(one, release_eagerly=one.tile is None and model.can_release) for one in made)


def _with_kept(model: MemoryModel, made: MemoryPlan, limit: int | None) -> MemoryPlan:
    """Let as many tiles keep their first pass as the remaining memory allows."""
    room, one = (limit or made.bytes) - made.bytes, model.kept(made.tile)
    if made.tile is None or not one:
        return made
    kept = min(model.tiles(made.tile), 1 + room // one)
    made = replace(made, kept_tiles=kept)
    return replace(made, bytes=model.peak(made))


def readable(size: int, up: bool = False) -> str:
    """Return a size in the form that ``--memory`` accepts."""
    hundredths = size * 100 / 2**30
    return f"{(-(-hundredths // 1) if up else round(hundredths)) / 100:.2f}GiB"
