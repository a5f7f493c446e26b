"""The report of a batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import batch_painters
import impasto
from fake_executor import FakeExecutor
from impasto.batch.job import Job
from impasto.batch.report import PAGE, SHEET, write_report
from impasto.errors import InputError
from impasto.imaging import images


def test_the_report_has_pictures_failures_and_options(tmp_path: Path, jobs_for: Callable[..., list[Job]]) -> None:
    out = tmp_path / "out <1>"
    jobs = jobs_for(*(f"photo{number}" for number in range(9)), "broken", strength=0.7)
    for _ in impasto.iter_batch(jobs, out, executor=FakeExecutor(batch_painters.fake())):
        pass
    assert write_report(out) == out / PAGE
    page = (out / PAGE).read_text()
    assert page.count('src="data:image/jpeg;base64,') == 9
    assert "9 painted, 1 failed, 1.5 s per image" in page
    assert "is damaged" in page
    assert "strength 0.7" in page
    assert "out &lt;1&gt;" in page
    assert "http://" not in page
    assert "https://" not in page
    assert images.load(out / SHEET).width > 8 * 8


def test_a_report_of_nothing_yet(tmp_path: Path, jobs_for: Callable[..., list[Job]]) -> None:
    batch = impasto.iter_batch(jobs_for("a"), tmp_path / "out", executor=FakeExecutor(batch_painters.fake()))
    for _ in range(2):
        next(batch)
    assert "1 not finished" in write_report(tmp_path / "out").read_text()
    assert not (tmp_path / "out" / SHEET).exists()
    batch.close()


def test_a_folder_without_a_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no batch\.jsonl: pass the output folder of a batch"):
        write_report(tmp_path)
