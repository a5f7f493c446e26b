"""``impasto studio`` passes its flags to the server, and reports missing packages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from impasto.cli import run
from impasto.studio import server
from impasto.studio.server import Settings


def test_flags_become_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Settings] = []
    monkeypatch.setattr(server, "serve", seen.append)
    flags = ["--data", str(tmp_path), "--port", "0", "--no-browser", "--token", "abc", "--allow-host", "Painter.local"]
    assert run(["studio", *flags, "--workers", "2"]) == 0
    assert seen == [
        Settings(tmp_path, port=0, token="abc", names=("painter.local",), workers=2, browser=False)  # noqa: S106
    ]


def test_the_defaults_are_those_of_the_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Settings] = []
    monkeypatch.setattr(server, "serve", seen.append)
    assert run(["studio", "--data", str(tmp_path)]) == 0
    assert seen == [Settings(tmp_path)]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(sys.modules, "impasto.studio.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert run(["studio"]) == 2
    assert "the studio needs uvicorn, which is not installed: pip install 'impasto[studio]'" in capsys.readouterr().err


def test_an_invalid_token_is_reported_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["studio", "--data", str(tmp_path), "--token", "a b", "--no-browser"]) == 2
    assert "visible ASCII" in capsys.readouterr().err
