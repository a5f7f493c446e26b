"""The command line: one thin function per command; errors are one line on stderr, with exit status 2."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

INTERRUPTED = 130
RENAMED_COMMANDS = {"anatomy": "reconstruct"}


def main() -> None:
    """Run the command line; the entry point of ``impasto``."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str], commands: typer.Typer | None = None) -> int:
    """Run the command line on arguments and return the exit status; ``commands`` defaults to those of Impasto."""
    import typer
    from typer.exceptions import TyperException

    from impasto.cli.app import app
    from impasto.cli.distributed import check_command, is_quiet
    from impasto.errors import ImpastoError
    from impasto.runtime.allocator import ask_for_huge_pages

    ask_for_huge_pages()
    arguments = _with_current_names(arguments)
    try:
        check_command(arguments)
        code = (commands or app)(arguments, standalone_mode=False, prog_name=None if commands else "impasto")
    except (ImpastoError, TyperException) as error:
        message = "" if is_quiet(error) else " ".join(_text_of(error).split())
        if message:  # without arguments, typer has printed the help
            print(f"impasto: {message}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        from impasto.run.out_of_memory import is_oom, oom_error

        if not is_oom(error):
            raise
        print(f"impasto: {oom_error()}", file=sys.stderr)
        return 2
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    if code == INTERRUPTED:  # typer turns Ctrl-C into this status and prints nothing
        print("impasto: interrupted", file=sys.stderr)
    return code if isinstance(code, int) else 0


def _text_of(error: Exception) -> str:
    """Return the message of an error."""
    format_message = getattr(error, "format_message", None)
    return str(format_message() if format_message else error)


def _with_current_names(arguments: list[str]) -> list[str]:
    """Replace former names of commands and flags, and print a note for each."""
    from impasto.options.renamed import RENAMED, RENAMED_TRAINING

    command = arguments[0] if arguments else ""
    names = RENAMED | (RENAMED_TRAINING if command == "train" else {})
    names |= {"out": "output"} if command in ("train", "demo") else {}
    table = {f"--{old}".replace("_", "-"): f"--{new}".replace("_", "-") for old, new in names.items()}
    current = []
    for position, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        new = (RENAMED_COMMANDS if position == 0 else table).get(name)
        if new is not None:
            print(f"note: {name} is now called {new}", file=sys.stderr)
        current.append(f"{new or name}{equals}{value}")
    return current
