"""Several processes started by ``torchrun``: which commands support them, and which process prints."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.cli.progress import Listener, watch
from impasto.errors import InputError, MachineError, OptionError

if TYPE_CHECKING:
    from impasto.events import Event, Mailbox
    from impasto.run.result import Result
    from impasto.runtime.distributed import ProcessGroup

COMMANDS = ("stylize", "replay", "resume", "train")


def are_several() -> bool:
    """Whether the environment variables set this up as one of several processes."""
    return "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"


def is_quiet(error: Exception) -> bool:
    """Whether the first process reports this error: invalid input is the same in all processes."""
    return are_several() and os.environ["RANK"] != "0" and not isinstance(error, MachineError)


def check_command(arguments: Sequence[str]) -> None:
    """Raise OptionError for a command that does not support several processes."""
    words = [word for word in arguments if not word.startswith("-")]
    if not are_several() or not words:
        return
    if words[0] not in COMMANDS:
        raise OptionError(
            f"{words[0]} does not support {os.environ['WORLD_SIZE']} processes: start it without torchrun; "
            f"torchrun works with {', '.join(COMMANDS)}"
        )
    if "--dry-run" in arguments:
        raise OptionError("--dry-run works with a single process only: start it without torchrun", "dry_run")


@contextmanager
def together() -> Iterator[ProcessGroup]:
    """Join the process group, if there are several processes, and leave it at the end."""
    from impasto.runtime import distributed

    joined = distributed.join()
    try:
        with distributed.as_one(joined):
            yield joined
    except InputError as error:
        if joined.is_first:
            raise
        # The first process has not raised this error, so this one reports it.
        raise MachineError(f"process {joined.rank + 1} of {joined.world_size}: {error}") from error


def follow(
    group: ProcessGroup,
    events: Iterator[Event[Result]],
    mailbox: Mailbox,
    listeners: Callable[[], Sequence[Listener]],
    quiet: bool,
    run_dir: Path | None = None,
) -> None:
    """Show the progress of a run in the first process; the others consume the events silently."""
    if group.is_first:
        watch(events, mailbox, listeners(), quiet, run_dir)
    else:
        for _ in events:
            pass
