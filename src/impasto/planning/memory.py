"""How a scale fits the memory there is: whole or in tiles, and what its optimiser may keep.

In: sizes, layers and a limit in bytes. Out: a ``Plan`` for each scale. The model counts what grows with the picture
(canvas, gradient, content and its target, masks, the optimiser's vectors and pairs) and what grows with a tile (the
features and what the way back needs). Where fewer than three of L-BFGS's pairs fit, a first-order method with moments
in bfloat16 takes over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from impasto.errors import MachineError

SHARE = 0.8  # of what is free, where no limit is given
SLACK = 1.1  # a limit over what the model may count: it is right within some 5 %, and runs differ
BASE = 600 * 2**20  # the interpreter, torch, the network, its workspaces, and what the allocator does not give back
# Sides of tiles. Within a group a longer history goes before a larger tile, which saves a fifth of the time.
GROUPS: tuple[tuple[int | None, ...], ...] = ((None,), (1024, 512), (256,))
MARGIN = 144  # px that a tile reads beyond what it owns, both sides together
PAIRS = 10
LEAST_PAIRS = 3
VALUES = 3  # a pixel's

# Values a pixel of the canvas has down to each block, pooled maps included.
FEATURES = (144, 216, 284, 318, 320)
SLOPES = 128  # values a pixel's gradient takes where it is widest
# Of what features take: passing copies, and what is lost between freed blocks where they are kept (see
# ``runtime.allocator``).
COPIES, GAPS = 0.25, 1.75
WIDEST = 64  # channels of the largest map

# Vectors of the picture's size: held while the objective is evaluated, its gradient among them, and at the most while
# the optimiser moves, when no features are there. Preparing a scale takes three (content, noise, one more).
HELD = {"lbfgs": 5, "adam": 5, "pyramid": 7, "lean": 3}
MOVING = {"lbfgs": 10, "adam": 8, "pyramid": 12, "lean": 3}
STATE = {"lbfgs": 4, "adam": 4, "pyramid": 6, "lean": 2}  # vectors that a checkpoint keeps
PREPARING = 3  # vectors: content, noise, one more
TARGET = 8  # values a pixel of what the content loss compares with, 512 channels at every 64th pixel
MASK = 10  # bytes a pixel of a mask, its copies for the layers included
NOISE = 2  # vectors: where there are masks, the colours of the noise differ from place to place
RECOLOUR = 380  # bytes a pixel, once, when the steps are done and the content's colours are moved to the style's
INPUT = 12  # bytes a pixel of each picture that was read


@dataclass(frozen=True)
class Plan:
    """How one scale is computed.

    ``tile`` is None for the whole picture; ``pairs`` and ``half`` (bfloat16) are L-BFGS's; ``lean`` takes the
    first-order method in its place; ``bytes`` is the peak that the model expects; ``keep`` is how many tiles keep what
    their first pass computed, which saves time and changes no result. A ``frugal`` plan gives what is freed back to the
    system at once although the picture is whole; tiles always do.
    """

    tile: int | None = None
    pairs: int = PAIRS
    half: bool = False
    lean: bool = False
    bytes: int = 0
    keep: int = 1
    frugal: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether everything is as it is where memory is no question."""
        return self == Plan(bytes=self.bytes)

    @property
    def gives_back(self) -> bool:
        """Whether what is freed goes back to the system at once, where it can."""
        return self.frugal or self.tile is not None

    def as_data(self) -> list[int | None]:
        """Return it as a record keeps it."""
        return [self.tile, self.pairs, int(self.half), int(self.lean), self.bytes, self.keep, int(self.frugal)]

    @classmethod
    def of_data(cls, data: Sequence[int | None]) -> Plan:
        """Take back what ``as_data`` returned; records from before ``keep`` and ``frugal`` have fewer numbers."""
        tile, pairs, half, lean, size, *rest = data
        keep, frugal = rest[0] if rest else 1, bool(rest[1]) if len(rest) > 1 else False
        return cls(tile, pairs or 0, bool(half), bool(lean), size or 0, keep or 1, frugal)


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


def feature_bytes(pixels: int, depth: int, width: int, gaps: float) -> int:
    """Return what evaluating so many pixels takes.

    Args:
        pixels: of a tile with its halo, or of the picture.
        depth: deepest block, 1 to 5; 0 for no network.
        width: bytes of a feature.
        gaps: what copies take and what is lost between blocks, of what features take.
    """
    return round(pixels * (1 + gaps) * (FEATURES[depth - 1] + SLOPES) * width) if depth else 0


@dataclass(frozen=True)
class Demand:
    """What a scale asks of memory, whatever its plan.

    Args:
        height, width: of the canvas in px.
        depth: the deepest block that is read.
        half: whether features are in two bytes rather than four.
        optimizer: that was asked for.
        masks: how many maps of the picture's size are held.
        inputs: pixels of all the pictures that were read.
        recolour: whether the finished picture gets the content's colours.
        ranks: processes that share the picture's rows; what is counted is one's.
        gives_back: whether freed memory can go back to the system at once (see ``runtime.allocator``); a GPU's does
            not.
    """

    height: int
    width: int
    depth: int = 5
    half: bool = True
    optimizer: str = "lbfgs"
    masks: int = 0
    inputs: int = 0
    recolour: bool = False
    ranks: int = 1
    gives_back: bool = True

    @property
    def rows(self) -> int:
        """How many rows of the canvas one process has."""
        return -(-self.height // self.ranks)

    def at(self, height: int, width: int) -> Demand:
        """Return what the same asks at another size."""
        return replace(self, height=height, width=width)

    def peak(self, plan: Plan) -> int:
        """Return the bytes that a plan takes at its most."""
        pixels, width = self.height * self.width, 2 if self.half else 4
        whole, kind = 4 * VALUES * pixels, "lean" if plan.lean else self.optimizer
        own = pixels * (TARGET * width + MASK * self.masks) + (NOISE * whole if self.masks else 0)
        vector = 4 * VALUES * self.rows * self.width
        pairs = plan.pairs * self.pair(plan.half) if kind == "lbfgs" else 0
        gaps = COPIES if self.gives_back and plan.gives_back else GAPS
        features = feature_bytes(self.read(plan.tile), self.depth, width, gaps)
        features += (plan.keep - 1) * self.kept(plan.tile)
        moving = max(HELD[kind] * vector + features, MOVING[kind] * vector)
        # Every process prepares a scale from the whole content; the first has the whole picture in the end.
        others = PREPARING * whole if self.ranks > 1 else 0, RECOLOUR * pixels if self.recolour else 0
        return BASE + INPUT * self.inputs + own + max(pairs + moving, *others)

    def state(self, plan: Plan) -> int:
        """Return the bytes of what a checkpoint keeps of the optimiser."""
        vector, kind = 4 * VALUES * self.height * self.width, "lean" if plan.lean else self.optimizer
        pairs = plan.pairs * replace(self, ranks=1).pair(plan.half) if kind == "lbfgs" else 0
        return STATE[kind] * vector + pairs

    def pair(self, half: bool) -> int:
        """Return the bytes of one of L-BFGS's pairs."""
        return self.rows * self.width * VALUES * 2 * (2 if half else 4)

    def read(self, tile: int | None) -> int:
        """Return how many pixels are evaluated at once."""
        if tile is None:
            return min(self.rows + (MARGIN if self.ranks > 1 else 0), self.height) * self.width
        return min(tile + MARGIN, self.height) * min(tile + MARGIN, self.width)

    @property
    def block(self) -> int:
        """Return the bytes of the largest map where the picture is computed whole."""
        return self.read(None) * WIDEST * (2 if self.half else 4)

    def kept(self, tile: int | None) -> int:
        """Return the bytes of what a tile's first pass leaves for its way back."""
        if not self.depth:
            return 0
        return round((1 + COPIES) * self.read(tile) * FEATURES[self.depth - 1] * (2 if self.half else 4))

    def tiles(self, tile: int | None) -> int:
        """Return how many tiles there are."""
        return 1 if tile is None else -(-self.rows // tile) * -(-self.width // tile)


def plan(demand: Demand, limit: int | None) -> Plan:
    """Return the best way to compute a scale within a limit.

    Args:
        demand: what the scale asks.
        limit: bytes for everything; None for no limit.

    Raises:
        MachineError: not even the smallest tile fits; says what would.
    """
    found = fitting(demand, limit)
    if found is not None:
        return found
    least = int(SLACK * min(demand.peak(made) for made in _candidates(demand))) + 1
    raise MachineError(
        f"{demand.width}x{demand.height} px do not fit into {readable(limit or 0)}: the least that would do is "
        f"--memory {readable(least, up=True)}; or give a smaller --size"
    )


def fitting(demand: Demand, limit: int | None, *, whole: bool = False) -> Plan | None:
    """Return the best plan within a limit, of those without tiles if only these will do, None where there is none."""
    limit = None if limit is None else int(limit / SLACK)
    for made in _candidates(demand):
        if whole and made.tile is not None:
            continue
        needed = demand.peak(made)
        if limit is None or needed <= limit:
            return _with_kept(demand, replace(made, bytes=needed), limit)
    return None


def smaller(demand: Demand, limit: int) -> int | None:
    """Return the longest side in px, a multiple of 16, of a picture of these proportions that fits, None if none."""
    longest = max(demand.height, demand.width)
    low, high = 0, longest // 16  # of 16 px; what is low fits
    while low < high:
        middle = (low + high + 1) // 2
        factor = 16 * middle / longest
        sized = demand.at(round(demand.height * factor), round(demand.width * factor))
        low, high = (middle, high) if fitting(sized, limit) is not None else (low, middle - 1)
    return 16 * low or None


def _candidates(demand: Demand) -> Iterator[Plan]:
    """Yield plans, the better first: a whole picture before tiles, within each a longer history before speed."""
    lbfgs = demand.optimizer == "lbfgs"
    histories = [(PAIRS, False), *((pairs, True) for pairs in range(PAIRS, LEAST_PAIRS - 1, -1))] if lbfgs else [()]
    if demand.gives_back:
        yield from (Plan(None, *history) for history in histories[:2])
    groups: list[list[int | None]] = [
        [tile for tile in group if tile is None or tile < max(demand.height, demand.width)] for group in GROUPS
    ]
    made = [Plan(tile, *history) for group in groups for history in histories for tile in group]
    if lbfgs:
        made += [Plan(tile, 0, lean=True) for group in groups for tile in group]
    yield from (replace(one, frugal=one.tile is None and demand.gives_back) for one in made)


def _with_kept(demand: Demand, made: Plan, limit: int | None) -> Plan:
    """Let as many tiles keep their first pass as the memory that is left over allows."""
    room, one = (limit or made.bytes) - made.bytes, demand.kept(made.tile)
    if made.tile is None or not one:
        return made
    keep = min(demand.tiles(made.tile), 1 + room // one)
    made = replace(made, keep=keep)
    return replace(made, bytes=demand.peak(made))


def readable(size: int, up: bool = False) -> str:
    """Return bytes as ``--memory`` takes them."""
    hundredths = size * 100 / 2**30
    return f"{(-(-hundredths // 1) if up else round(hundredths)) / 100:.2f}GiB"
