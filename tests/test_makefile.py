"""An interpreter that is too old is refused before anything is installed, with the name of one that works."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def bound() -> tuple[int, int]:
    """Return the oldest Python that the project allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    major, minor = project["requires-python"].removeprefix(">=").split(".")
    return int(major), int(minor)


def interpreter(folder: Path, name: str, version: tuple[int, int]) -> None:
    """Write a stand-in that runs this interpreter and takes itself for another version."""
    path = folder / name
    pretend = f"import sys; sys.version_info = {(*version, 0)}; exec(sys.argv[1])"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{pretend}" "$2"\n')
    path.chmod(0o755)


def required(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Ask for an interpreter with nothing on the PATH but the folder and the system's tools."""
    tools = folder / "tools"
    tools.mkdir()
    for tool in ("sed", "dirname"):
        place = next(path for base in os.get_exec_path() if (path := Path(base) / tool).exists())
        (tools / tool).symlink_to(place)
    script = str(ROOT / "scripts" / "require_python.sh")
    path = os.pathsep.join([str(folder), str(tools)])
    return subprocess.run(["/bin/sh", script, *words], env={"PATH": path}, capture_output=True, text=True, check=False)


def test_the_oldest_that_is_allowed_is_taken(tmp_path: Path) -> None:
    interpreter(tmp_path, "python3", bound())
    answer = required(tmp_path, "python3", "test")
    assert (answer.returncode, answer.stderr) == (0, "")


def test_one_that_is_too_old_is_refused_with_the_newest_that_works(tmp_path: Path) -> None:
    major, minor = bound()
    interpreter(tmp_path, "python3", (major, minor - 1))
    interpreter(tmp_path, f"python3.{minor + 1}", (major, minor + 1))
    interpreter(tmp_path, f"python3.{minor}", (major, minor))
    answer = required(tmp_path, "python3", "test")
    assert answer.returncode == 1
    assert answer.stderr.splitlines() == [
        f"make: Impasto needs Python {major}.{minor} or newer; python3 is {major}.{minor - 1}",
        f"make: run: make PYTHON=python3.{minor + 1} test",
    ]


@pytest.mark.parametrize("old", [True, False], ids=["too old", "none"])
def test_where_none_works_it_is_said_what_to_do(tmp_path: Path, old: bool) -> None:
    major, minor = bound()
    if old:
        interpreter(tmp_path, "python3", (major, minor - 1))
    answer = required(tmp_path, "python3", "check")
    assert answer.returncode == 1
    assert f"python3 is {f'{major}.{minor - 1}' if old else 'not here'}" in answer.stderr
    assert "none is on the PATH; install one and run: make PYTHON=/where/it/is/python3 check" in answer.stderr
