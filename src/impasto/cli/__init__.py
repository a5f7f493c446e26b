"""The command line: one thin function a command, errors as one line on stderr and exit status 2."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; the entry point of ``impasto``."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line on arguments and return the exit status."""
    import typer
    from typer.exceptions import TyperException

    from impasto.cli.app import app
    from impasto.errors import ImpastoError

    try:
        code = app(arguments, standalone_mode=False)
    except (ImpastoError, TyperException) as error:
        if message := " ".join(str(error).split()):  # without arguments the help is shown, with nothing to add
            print(f"impasto: {message}", file=sys.stderr)
        return 2
    except (typer.Abort, KeyboardInterrupt):
        print("impasto: interrupted", file=sys.stderr)
        return 130
    return code if isinstance(code, int) else 0
