"""The Dockerfile passes the linter, and its script works; the image is not built."""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import required

ROOT = Path(__file__).resolve().parents[2]
LINTER = Path(sys.executable).parent / "hadolint"
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with their arguments, continued lines joined."""
    lines = [line for line in TEXT.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


@pytest.mark.slow
def test_the_linter_reports_nothing() -> None:
    linter = required.program(str(LINTER))
    done = subprocess.run([linter, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_runs_unprivileged_with_a_health_check() -> None:
    names = [name for name, _ in instructions()]
    final = instructions()[len(names) - names[::-1].index("FROM") :]
    assert ("USER", "10001") in final
    assert ("VOLUME", "/data") in final
    assert names.count("HEALTHCHECK") == 1
    command = next(rest for name, rest in instructions() if name == "CMD")
    assert '"--host", "0.0.0.0"' in command  # which makes the studio ask for its token
    assert "--token" not in command


def test_no_package_index_is_named() -> None:
    hosts = re.findall(r"[a-z]+://[^\s\"']+", TEXT)
    assert hosts == []
    assert ("ARG", 'TORCH_INDEX_URL=""') in instructions()


def test_copied_files_are_not_ignored() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = [rule[1:] for rule in rules if rule.startswith("!")]
    copied = [
        part for name, rest in instructions() if name == "COPY" and "--from" not in rest for part in rest.split()[:-1]
    ]
    assert set(copied) == set(allowed)
    for name in copied:
        assert (ROOT / name).exists()
        assert any(fnmatch.fnmatch(name, rule) for rule in allowed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("device", "index", "found", "status", "says"),
    [
        ("cpu", "", "cpu", 0, "asked the configured index"),
        ("cuda", "elsewhere", "cuda", 0, "asked elsewhere"),
        ("any", "", "cuda", 0, "asked the configured index"),
        ("cpu", "", "cuda", 1, "this torch is built for cuda, not cpu"),
        ("tpu", "", "cpu", 1, "DEVICE is 'tpu': choose any, cpu or cuda"),
    ],
)
def test_the_requested_device_is_verified(
    tmp_path: Path, device: str, index: str, found: str, status: int, says: str
) -> None:
    (script,) = [rest for name, rest in instructions() if name == "RUN" and "DEVICE" in rest]
    script = re.sub(r"^--mount=\S+\s+", "", script)
    for name, body in (
        ("pip", 'echo "asked ${PIP_INDEX_URL:-the configured index}: $*"'),
        ("python", f"echo {found}"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}/usr/bin:/bin", "DEVICE": device, "TORCH_INDEX_URL": index}
    done = subprocess.run(["/bin/sh", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert says in done.stdout + done.stderr
