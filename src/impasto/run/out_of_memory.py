"""Memory that runs out in the middle of the work: caught, and told in one line with what would do.

In: the error that Python or torch raised, and what the run was doing. Out: a ``MachineError`` with the plan for less:
a limit under which the same picture is painted whole with freed memory given back, or in smaller tiles, or the size
that still fits, and where the last checkpoint is. What is free by then says little, since the run itself held it, so
the plan asks for a share of what has just failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from impasto.errors import MachineError
from impasto.planning import memory

if TYPE_CHECKING:
    from impasto.run.job import Job

LESS = 0.7  # of what was not there
# What allocators say: torch's on CPUs and GPUs, the C++ library's, and oneDNN's where its scratch space is refused.
SIGNS: tuple[str, ...] = ("not enough memory", "DefaultCPUAllocator", "out of memory", "can't allocate memory")
SIGNS += ("bad_alloc", "could not create a memory", "could not create a primitive")

Given = ParamSpec("Given")
Item = TypeVar("Item")


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that memory was refused."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)
    )


@contextmanager
def explained(say: Callable[[], MachineError]) -> Iterator[None]:
    """Turn a shortage inside into what ``say`` returns; other errors pass."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_shortage(error):
            raise
        raise say() from error


def of_work() -> MachineError:
    """Return the error where no plan is known: while pictures are read, or without an optimiser."""
    return MachineError("memory ran out: give a smaller --size or smaller pictures, or close other programs")


def explained_events(function: Callable[Given, Iterator[Item]]) -> Callable[Given, Iterator[Item]]:
    """Let a generator tell a shortage as ``of_work`` does, unless it knows better."""

    @wraps(function)
    def told(*given: Given.args, **named: Given.kwargs) -> Iterator[Item]:
        with explained(of_work):
            yield from function(*given, **named)

    return told


def of_run(job: Job, index: int, folder: Path | None) -> MachineError:
    """Return the error of a run, with the plan for less.

    Args:
        job: what it was.
        index: of the scale at which memory ran out.
        folder: where its checkpoints are, if it has them; they are written by now.
    """
    scale = job.scales[min(index, len(job.scales) - 1)]
    plan = job.plan_at(scale.height, scale.width)
    limit = int(LESS * job.demand.at(scale.height, scale.width).peak(plan))
    where = "in one piece" if plan.tile is None else f"in tiles of {plan.tile} px"
    said = f"memory ran out at {scale.width}x{scale.height} px {where}: {advice(job, plan, limit)}"
    steps = [] if folder is None else sorted(int(path.stem[-9:]) for path in folder.glob("checkpoint-*.json"))
    if steps:
        said += f"; the state before step {steps[-1] + 1} is kept, for impasto resume {folder} where there is more room"
    return MachineError(said)


def advice(job: Job, plan: memory.Plan, limit: int) -> str:
    """Return what to give instead, for a job whose plan did not fit.

    Args:
        job: what was asked for.
        plan: what failed.
        limit: bytes that may be there.
    """
    demand = job.demand
    if job.options.control.seamless:  # never tiled
        if not plan.frugal and demand.gives_back and memory.fitting(demand, limit, whole=True) is not None:
            return f"give --memory {memory.readable(limit)}, which gives freed memory back at once; or a smaller --size"
        factor = (max(0, limit - memory.BASE) / max(1, demand.peak(plan) - memory.BASE)) ** 0.5
        return f"give a smaller --size, such as {max(16, int(factor * max(job.size)) // 16 * 16)}"
    smaller = memory.fitting(demand, limit)
    if smaller is not None:
        first = "leave --tile away and give" if job.options.machine.tile is not None else "give"
        tiled = "" if smaller.tile is None else f", which paints it in tiles of {smaller.tile} px"
        tiled = ", which gives freed memory back at once" if smaller.frugal and not plan.frugal else tiled
        return f"{first} --memory {memory.readable(limit)}{tiled}; or a smaller --size, such as {max(job.size) // 2}"
    side = memory.smaller(demand, limit)
    return f"give a smaller --size, such as {side or 16}" + (" with --memory " + memory.readable(limit) if side else "")
