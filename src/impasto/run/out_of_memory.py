"""Out-of-memory errors, caught and reported in one line with settings that fit.

An out-of-memory error of Python or torch becomes a ``MachineError`` with advice: a limit under which the same image is
painted in one piece with freed memory returned, or in smaller tiles, or the size that still fits, and where the last
checkpoint is. The free memory at that moment says little, since the run itself held it, so the advice asks for a
fraction of the peak that has just failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.errors import MachineError
from impasto.planning import memory

if TYPE_CHECKING:
    from impasto.run.prepared_run import PreparedRun

LESS = 0.7  # of what was not there
# Messages of allocators: torch's on CPUs and GPUs, the C++ library's, and oneDNN's where its scratch space is refused.
SIGNS: tuple[str, ...] = ("not enough memory", "DefaultCPUAllocator", "out of memory", "can't allocate memory")
SIGNS += ("bad_alloc", "could not create a memory", "could not create a primitive")


def is_oom(error: BaseException) -> bool:
    """Whether an error is an out-of-memory error."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)
    )


@contextmanager
def translate_oom(say: Callable[[], MachineError]) -> Iterator[None]:
    """Replace an out-of-memory error by the one that ``say`` returns; other errors pass."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_oom(error):
            raise
        raise say() from error


def oom_error() -> MachineError:
    """Return the error for cases without a memory plan: while images are read, or without an optimizer."""
    return MachineError("memory ran out: use a smaller --size or smaller images, or close other programs")


def oom_error_for_run(prepared: PreparedRun, index: int, folder: Path | None) -> MachineError:
    """Return the error of a run, with advice on what would fit.

    Args:
        prepared: the run.
        index: index of the scale at which memory ran out.
        folder: the folder of its checkpoints, if it has one; the last one has been written.
    """
    scale = prepared.scales[min(index, len(prepared.scales) - 1)]
    plan = prepared.memory_plan_at(scale.height, scale.width)
    limit = int(LESS * prepared.memory_model.at(scale.height, scale.width).peak(plan))
    where = "in one piece" if plan.tile is None else f"in tiles of {plan.tile} px"
    said = f"memory ran out at {scale.width}x{scale.height} px {where}: {advice(prepared, plan, limit)}"
    steps = [] if folder is None else sorted(int(path.stem[-9:]) for path in folder.glob("checkpoint-*.json"))
    if steps:
        said += f"; the state before step {steps[-1] + 1} is saved: run impasto resume {folder} with more memory"
    return MachineError(said)


def advice(prepared: PreparedRun, plan: memory.MemoryPlan, limit: int) -> str:
    """Return which options to use instead, for a prepared run whose plan did not fit.

    Args:
        prepared: the run.
        plan: the plan that failed.
        limit: bytes that are probably available.
    """
    memory_model = prepared.memory_model
    if prepared.options.control.seamless:  # never tiled
        if (
            not plan.release_eagerly
            and memory_model.can_release
            and memory.fitting(memory_model, limit, whole=True) is not None
        ):
            return f"use --memory {memory.readable(limit)}, which returns freed memory immediately; or a smaller --size"
        factor = (max(0, limit - memory.BASE) / max(1, memory_model.peak(plan) - memory.BASE)) ** 0.5
        return f"use a smaller --size, such as {max(16, int(factor * max(prepared.size)) // 16 * 16)}"
    smaller = memory.fitting(memory_model, limit)
    if smaller is not None:
        first = "omit --tile and use" if prepared.options.machine.tile is not None else "use"
        tiled = "" if smaller.tile is None else f", which paints it in tiles of {smaller.tile} px"
        tiled = (
            ", which returns freed memory immediately"
            if smaller.release_eagerly and not plan.release_eagerly
            else tiled
        )
        return (
            f"{first} --memory {memory.readable(limit)}{tiled}; or a smaller --size, such as {max(prepared.size) // 2}"
        )
    side = memory.smaller(memory_model, limit)
    return f"use a smaller --size, such as {side or 16}" + (" with --memory " + memory.readable(limit) if side else "")
