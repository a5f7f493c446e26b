"""``impasto batch`` on the command line."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import batch_painters
from batch_pictures import write_picture
from fake_executor import FakeExecutor
from impasto.cli import batch, run

Capture = pytest.CaptureFixture[str]
COMMAND = ["batch", "photos", "--style", "s.png", "-o", "out", "--threads", "1", "--precision", "fp32"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with photographs and a painting, and paint without processes."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("photos/a.png", "photos/b.png", "s.png")):
        write_picture(Path(name), seed)
    monkeypatch.setattr(batch, "_executor", lambda *_: FakeExecutor(batch_painters.fake()))
    return tmp_path


def test_a_folder_is_painted_and_skipped_the_second_time(capsys: Capture) -> None:
    assert run(COMMAND) == 0
    first = capsys.readouterr()
    assert first.out == "out: 2 painted; report: out/report.html\n"
    assert "[1/2] a_s.png: 1.5 s" in first.err
    assert {"a_s.png", "b_s.png", "batch.jsonl", "contact_sheet.jpg", "report.html"} <= {
        path.name for path in Path("out").iterdir()
    }
    assert run([*COMMAND, "--quiet"]) == 0
    assert capsys.readouterr().out == "out: 0 painted, 2 skipped; report: out/report.html\n"
    assert run([*COMMAND, "--force", "-q"]) == 0
    assert "2 painted" in capsys.readouterr().out


def test_failures_have_status_3_and_are_a_manifest(capsys: Capture) -> None:
    write_picture(Path("photos/broken.png"))
    assert run(COMMAND) == 3
    told = capsys.readouterr()
    assert "[3/3] broken_s.png failed: " in told.err
    assert "failures: out/failed.jsonl, which --manifest accepts" in told.err
    assert run(["batch", "--manifest", "out/failed.jsonl", "-o", "out", "-q"]) == 3


def test_events_are_printed_as_json(capsys: Capture) -> None:
    assert run([*COMMAND, "--json"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    events = [json.loads(line) for line in told.out.splitlines()]
    assert [event["event"] for event in events] == ["batch", "started", "started", "done", "done", "finished"]
    assert events[-1]["painted"] == 2


def test_paths_come_from_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("photos/b.png\n"))
    assert run(["batch", "-", *COMMAND[2:]]) == 0
    assert "1 painted" in capsys.readouterr().out


def test_a_dry_run_writes_nothing(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("impasto.batch.forecast._seconds_per_work", lambda *_: 0.0)
    assert run([*COMMAND, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 images"
    assert lines[1].startswith("about 0 s with ")
    assert "GiB of memory" in lines[2]
    assert "MiB on the disk" in lines[3]
    assert not Path("out").exists()


def test_a_report_is_written_at_any_time(capsys: Capture) -> None:
    run([*COMMAND, "-q"])
    Path("out/report.html").unlink()
    capsys.readouterr()
    assert run(["batch", "--report", "out"]) == 0
    assert capsys.readouterr().out == "out/report.html\n"
    assert Path("out/report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["batch", "empty", "-s", "s.png"], "the folder 'empty' has no photographs"),
        (["batch", "*.jpg", "-s", "s.png"], "nothing matches '*.jpg'"),
        (["batch", "photos"], "has no painting: pass one with --style"),
        (["batch", "photos", "-s", "s.png", "--workers", "many"], "--workers is 'many'"),
        (["batch", "photos", "-s", "s.png", "--strength", "7"], "strength is 7"),
        (["batch", "--report", "empty"], "has no batch.jsonl"),
        (["batch", "--manifest", "bad.csv", "-s", "s.png"], "'bad.csv' has 2 bad rows: row 2: "),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: Capture, folder: Path) -> None:
    Path("empty").mkdir()
    Path("bad.csv").write_text("content,size\ngone.png,64\nphotos/a.png,huge\n")
    assert run([*arguments, *([] if "--report" in arguments else ["-o", "out"])]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert message in told.err
    assert told.err.count("\n") == 1
    assert not Path("out").exists()


def test_results_that_do_not_fit_on_the_disk_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("impasto.files.disk_shortfall", lambda requests: f"{requests[0][2]} need more space")
    assert run(COMMAND) == 2
    assert "the results need more space" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_batch(number: int, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    painter = batch_painters.fake()

    def interrupted(task: Any, report: Callable[[float], None]) -> str:
        signal.raise_signal(number)
        return painter(task, report)

    for index in range(4):
        write_picture(Path(f"photos/more{index}.png"), index)
    executor = FakeExecutor(interrupted)
    monkeypatch.setattr(batch, "_executor", lambda *_: executor)
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert run(COMMAND) == 128 + number
    told = capsys.readouterr()
    assert "stopped: the same command continues" in told.err
    assert executor.canceled == (number != signal.SIGINT or len(executor.started) < 2 or executor.canceled)
    assert before == [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    monkeypatch.setattr(batch, "_executor", lambda *_: FakeExecutor(painter))
    assert run([*COMMAND, "-q"]) == 0
    assert len(Path("out/painted.txt").read_text().splitlines()) == 6


@pytest.mark.slow
def test_help_does_not_import_torch() -> None:
    code = "import sys; from impasto.cli import run; run(['batch', '--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
