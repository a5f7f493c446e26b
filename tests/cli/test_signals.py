"""Signals that end a command: every one leaves a whole image or a whole checkpoint, and no temporary file."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from impasto.imaging import images

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PAINT = ["stylize", "content.png", "style.png", "-o", "out.png", "--size=64", "--steps=100000", "--scales=1"]
SHORT = [argument.replace("100000", "100") for argument in PAINT]
SAVING_WITHOUT_END = """
import signal
from impasto.run import result
from impasto.cli import main
result.save = lambda *_, **__: signal.pause()
main()
"""
IGNORING_HANGUP = """
import signal
from impasto.cli import main
signal.signal(signal.SIGHUP, signal.SIG_IGN)
main()
"""
STOPPING_IN_THE_SECOND_CELL = """
import os, signal
from impasto.cli import main
from impasto.workflows import explore
paint, cells = explore._paint, []
def stop_second(*arguments):
    cells.append(arguments)
    if len(cells) == 2:
        os.kill(os.getpid(), signal.SIGTERM)
    return paint(*arguments)
explore._paint = stop_second
main()
"""

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, tiny_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in the folder of the tiny images, and return it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def interrupted(
    arguments: Sequence[str],
    signals: Sequence[tuple[str, signal.Signals]] = (),
    program: tuple[str, str] = ("-m", "impasto"),
) -> tuple[int, str, str]:
    """Run a command in a child process and return exit status, stdout and stderr.

    Args:
        arguments: the command.
        signals: each with a text, and sent once that text has appeared on stderr.
        program: arguments of Python that start Impasto.
    """
    with subprocess.Popen(
        [sys.executable, *program, *arguments, "--precision=fp32"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        seen = ""
        for text, number in signals:
            while text not in seen:
                line = process.stderr.readline()
                assert line, f"it ended before {text!r}: {seen}"
                seen += line
            process.send_signal(number)
        seen += process.stderr.read()
        return process.wait(), process.stdout.read(), seen


def temporary_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix == ".tmp"]


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_saves_the_image(number: signal.Signals, folder: Path) -> None:
    status, out, err = interrupted(PAINT, [("scale 1/1", number)])
    assert status == 128 + number, err
    assert "stopping: saving the current image" in err
    assert "continue it: impasto replay out.png --more-steps " in err
    assert "Traceback" not in err
    (line,) = out.splitlines()
    assert line.startswith("out.png: content.png in the style of style.png, 64x48 px, stopped after ")
    assert images.load("out.png").size == (48, 64)
    assert temporary_files(folder) == []


def test_ctrl_c_twice_aborts(folder: Path) -> None:
    twice = [("scale 1/1", signal.SIGINT), ("stopping", signal.SIGINT)]
    status, out, err = interrupted(PAINT, twice, ("-c", SAVING_WITHOUT_END))
    assert (status, out) == (130, "")
    assert "impasto: interrupted" in err
    assert "Traceback" not in err
    assert not Path("out.png").exists()
    assert temporary_files(folder) == []


def test_a_second_signal_of_a_shutdown_is_ignored() -> None:
    several = [("scale 1/1", signal.SIGHUP), ("stopping", signal.SIGTERM), ("stopping", signal.SIGHUP)]
    status, out, err = interrupted(PAINT, several)
    assert status == 128 + signal.SIGHUP, err
    assert "stopped after" in out
    assert images.load("out.png").size == (48, 64)


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    signals = [("scale 1/1", signal.SIGHUP), ("scale 1/1", signal.SIGTERM)]
    status, _, err = interrupted(PAINT, signals, ("-c", IGNORING_HANGUP))
    assert status == 128 + signal.SIGTERM, err


@pytest.mark.parametrize("number", ENDING)
def test_a_stopped_run_is_resumed_to_its_end(number: signal.Signals, folder: Path) -> None:
    status, _, err = interrupted([*SHORT, "--run-dir=run"], [("scale 1/1", number)])
    assert status == 128 + number, err
    assert "continue it: impasto resume run" in err
    status, out, err = interrupted_resume()
    assert status == 0, err
    assert re.search(r"64x48 px, 100 steps in", out)
    assert interrupted([argument.replace("out.png", "whole.png") for argument in SHORT])[0] == 0
    assert Path("out.png").read_bytes() == Path("whole.png").read_bytes()
    assert temporary_files(folder) == []


def interrupted_resume() -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "impasto", "resume", "run"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    return done.returncode, done.stdout, done.stderr


def test_a_stopped_contact_sheet_has_the_cells_so_far() -> None:
    axis = ["--axis", "strength=0.2,0.5,0.8", "--size=64", "--steps=200", "--scales=1"]
    command = ["explore", "content.png", "style.png", *axis, "-o", "sheet"]
    status, out, err = interrupted(command, program=("-c", STOPPING_IN_THE_SECOND_CELL))
    assert status == 128 + signal.SIGTERM, err
    assert "2 of 3 cells" in out
    files = ["cell-1-1.png", "cell-1-2.png", "sheet.json", "sheet.png"]
    assert sorted(path.name for path in Path("sheet").iterdir()) == files
