"""Disk usage, also while workers delete files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from impasto.studio.http.health import disk_bytes


def test_every_file_is_counted(tmp_path: Path) -> None:
    (tmp_path / "jobs" / "one").mkdir(parents=True)
    (tmp_path / "jobs" / "one" / "a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"123")
    used, free = disk_bytes(tmp_path)
    assert used == 8
    assert free > 0


def test_files_deleted_during_the_count_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("there", "gone"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_bytes(b"12345")
    (tmp_path / "renamed").write_bytes(b"123")
    scandir, lstat = os.scandir, os.lstat

    def vanishing(act: Any, lost: str) -> Any:
        def look(path: Any, *rest: Any, **more: Any) -> Any:
            if Path(path).name == lost:
                raise FileNotFoundError(path)
            return act(path, *rest, **more)

        return look

    monkeypatch.setattr(os, "scandir", vanishing(scandir, "gone"))
    monkeypatch.setattr(os, "lstat", vanishing(lstat, "renamed"))
    assert disk_bytes(tmp_path)[0] == 5
