"""The command line: one thin function per command; errors are one line on stderr, with exit status 2."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

TYPER_INTERRUPTED = 130  # returned by typer after a KeyboardInterrupt
ENVIRONMENT_FLAGS = {"--no-index": "IMPASTO_NO_INDEX"}
NATURAL_WORDS = {
    "stylize": {"paint", "style", "transfer", "render", "convert", "run", "start", "apply", "create", "make", "draw"},
    "inspect": {"show", "info", "metadata", "describe", "history", "settings", "identify"},
    "replay": {"repeat", "redo", "again", "reproduce", "rerun", "enlarge", "upscale", "resize"},
    "resume": {"continue", "restart", "recover"},
    "explore": {"grid", "sheet", "sweep", "vary", "variations"},
    "evaluate": {"score", "measure", "metrics", "judge", "rate"},
    "studio": {"serve", "server", "web", "ui", "gui", "app", "browser", "open"},
    "weights fetch": {"download", "fetch", "models", "pull"},
    "recipes": {"list", "presets", "styles", "methods"},
    "doctor": {"check", "diagnose", "status", "devices", "test"},
    "samples": {"examples", "sample"},
    "--help": {"help", "usage", "man"},
    "--version": {"version"},
}
RENAMED_COMMANDS = {"anatomy": "reconstruct"}


def main() -> None:
    """Run the command line; the entry point of ``impasto``."""
    codecs.register_error("escape", _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that is not UTF-8 is shown with escapes
            stream.reconfigure(errors="escape")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str], commands: typer.Typer | None = None) -> int:
    """Run the command line on arguments and return the exit status; ``commands`` defaults to those of Impasto."""
    import typer
    from typer.exceptions import TyperException

    from impasto.cli.app import app
    from impasto.cli.distributed import check_command, is_quiet
    from impasto.cli.signals import interruptible, received
    from impasto.errors import ImpastoError
    from impasto.runtime.allocator import ask_for_huge_pages

    ask_for_huge_pages()
    arguments = _with_current_names(arguments)
    try:
        check_command(arguments)
        if commands is None:
            _check_name(arguments)
        with _environment_flags(arguments) as arguments, interruptible():
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
        code = TYPER_INTERRUPTED
    if code == TYPER_INTERRUPTED:
        print("impasto: interrupted", file=sys.stderr)
    if (number := received()) is not None:
        return 128 + number
    return code if isinstance(code, int) else 0


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Replace what cannot be encoded: an undecodable byte of a file name by ``\\xe9``, a character by ``?``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    shown = [f"\\x{ord(c) - 0xDC00:02x}" if 0xDC80 <= ord(c) <= 0xDCFF else "?" for c in text]
    return "".join(shown), error.end


def _check_name(arguments: list[str]) -> None:
    """Raise OptionError for a word that is no command, with the command that a person probably means."""
    import typer

    from impasto.cli.app import app
    from impasto.errors import OptionError

    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    known = list(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    if name is None or name in known:
        return
    meant = next((command for command, words in NATURAL_WORDS.items() if name.lower() in words), None)
    if meant is None and "." in name:
        meant = f"stylize {name}"
    if meant is not None:  # otherwise typer suggests what is spelled alike
        raise OptionError(
            f"there is no command {name!r}; did you mean 'impasto {meant}'? impasto --help lists the commands"
        )


@contextmanager
def _environment_flags(arguments: list[str]) -> Iterator[list[str]]:
    """Set the environment variables of the flags that every command accepts, and yield the other arguments."""
    given = [name for name in ENVIRONMENT_FLAGS if name in arguments]
    before = {ENVIRONMENT_FLAGS[name]: os.environ.get(ENVIRONMENT_FLAGS[name]) for name in given}
    os.environ.update(dict.fromkeys(before, "1"))
    try:
        yield [argument for argument in arguments if argument not in given]
    finally:
        for variable, value in before.items():
            if value is None:
                os.environ.pop(variable)
            else:
                os.environ[variable] = value


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
