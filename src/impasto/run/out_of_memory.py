"""Memory that runs out in the middle of the work: caught, and told in one line with what would do.

In: the error that Python or torch raised, and what the run was doing. Out: a ``MachineError`` with the plan for less:
a limit under which the same picture is painted whole with freed memory given back, or in smaller tiles, or the size
that still fits, and where the last checkpoint is. What is free by then says little, since the run itself held it, so
the plan asks for a share of what has just failed.
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
# What allocators say: torch's on CPUs and GPUs, the C++ library's, and oneDNN's where its scratch space is refused.
SIGNS: tuple[str, ...] = ("not enough memory", "DefaultCPUAllocator", "out of memory", "can't allocate memory")
SIGNS += ("bad_alloc", "could not create a memory", "could not create a primitive")


def is_oom(error: BaseException) -> bool:
    """Whether an error says that memory was refused."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)
    )


@contextmanager
def translate_oom(say: Callable[[], MachineError]) -> Iterator[None]:
    """Turn a shortage inside into what ``say`` returns; other errors pass."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_oom(error):
            raise
        raise say() from error


def oom_error() -> MachineError:
    """Return the error where no plan is known: while pictures are read, or without an optimizer."""
    return MachineError("memory ran out: give a smaller --size or smaller pictures, or close other programs")


def oom_error_for_run(prepared: PreparedRun, index: int, folder: Path | None) -> MachineError:
    """Return the error of a run, with the plan for less.

    Args:
        prepared: what it was.
        index: of the scale at which memory ran out.
        folder: where its checkpoints are, if it has them; they are written by now.
    """
    scale = prepared.scales[min(index, len(prepared.scales) - 1)]
    plan = prepared.memory_plan_at(scale.height, scale.width)
    limit = int(LESS * prepared.memory_model.at(scale.height, scale.width).peak(plan))
    where = "in one piece" if plan.tile is None else f"in tiles of {plan.tile} px"
    said = f"memory ran out at {scale.width}x{scale.height} px {where}: {advice(prepared, plan, limit)}"
    steps = [] if folder is None else sorted(int(path.stem[-9:]) for path in folder.glob("checkpoint-*.json"))
    if steps:
        said += f"; the state before step {steps[-1] + 1} is kept, for impasto resume {folder} where there is more room"
    return MachineError(said)


def advice(prepared: PreparedRun, plan: memory.MemoryPlan, limit: int) -> str:
    """Return what to give instead, for a prepared run whose plan did not fit.

    Args:
        prepared: what was asked for.
        plan: what failed.
        limit: bytes that may be there.
    """
    memory_model = prepared.memory_model
    if prepared.options.control.seamless:  # never tiled
        if (
            not plan.release_eagerly
            and memory_model.can_release
            and memory.fitting(memory_model, limit, whole=True) is not None
        ):
            return f"give --memory {memory.readable(limit)}, which gives freed memory back at once; or a smaller --size"
        factor = (max(0, limit - memory.BASE) / max(1, memory_model.peak(plan) - memory.BASE)) ** 0.5
        return f"give a smaller --size, such as {max(16, int(factor * max(prepared.size)) // 16 * 16)}"
    smaller = memory.fitting(memory_model, limit)
    if smaller is not None:
        first = "omit --tile and give" if prepared.options.machine.tile is not None else "give"
        tiled = "" if smaller.tile is None else f", which paints it in tiles of {smaller.tile} px"
        tiled = (
            ", which gives freed memory back at once" if smaller.release_eagerly and not plan.release_eagerly else tiled
        )
        return (
            f"{first} --memory {memory.readable(limit)}{tiled}; or a smaller --size, such as {max(prepared.size) // 2}"
        )
    side = memory.smaller(memory_model, limit)
    return f"give a smaller --size, such as {side or 16}" + (" with --memory " + memory.readable(limit) if side else "")
