"""make rejects a Python that is too old before it installs anything, and names one that works."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def oldest_supported() -> tuple[int, int]:
    """Return the oldest Python that the project allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    major, minor = project["requires-python"].removeprefix(">=").split(".")
    return int(major), int(minor)


def interpreter(folder: Path, name: str, version: tuple[int, int]) -> None:
    """Write a fake interpreter that runs this one and reports another version."""
    path = folder / name
    pretend = f"import sys; sys.version_info = {(*version, 0)}; exec(sys.argv[1])"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{pretend}" "$2"\n')
    path.chmod(0o755)


def run_check(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the check with only the folder and the system's tools on the PATH."""
    tools = folder / "tools"
    tools.mkdir()
    for tool in ("sed", "dirname"):
        place = next(path for base in os.get_exec_path() if (path := Path(base) / tool).exists())
        (tools / tool).symlink_to(place)
    script = str(ROOT / "scripts" / "require_python.sh")
    path = os.pathsep.join([str(folder), str(tools)])
    return subprocess.run(["/bin/sh", script, *words], env={"PATH": path}, capture_output=True, text=True, check=False)


def test_the_oldest_supported_version_is_accepted(tmp_path: Path) -> None:
    interpreter(tmp_path, "python3", oldest_supported())
    result = run_check(tmp_path, "python3", "test")
    assert (result.returncode, result.stderr) == (0, "")


def test_a_version_that_is_too_old_is_rejected_and_the_newest_working_one_named(tmp_path: Path) -> None:
    major, minor = oldest_supported()
    interpreter(tmp_path, "python3", (major, minor - 1))
    interpreter(tmp_path, f"python3.{minor + 1}", (major, minor + 1))
    interpreter(tmp_path, f"python3.{minor}", (major, minor))
    result = run_check(tmp_path, "python3", "test")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"make: Impasto needs Python {major}.{minor} or newer; python3 is {major}.{minor - 1}",
        f"make: run: make PYTHON=python3.{minor + 1} test",
    ]


@pytest.mark.parametrize("old", [True, False], ids=["too old", "none"])
def test_the_message_says_what_to_do_if_no_version_works(tmp_path: Path, old: bool) -> None:
    major, minor = oldest_supported()
    if old:
        interpreter(tmp_path, "python3", (major, minor - 1))
    result = run_check(tmp_path, "python3", "check")
    assert result.returncode == 1
    assert f"python3 is {f'{major}.{minor - 1}' if old else 'not found'}" in result.stderr
    assert "none is on the PATH; install one and run: make PYTHON=/path/to/python3 check" in result.stderr
