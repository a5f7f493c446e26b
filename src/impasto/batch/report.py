"""The report of a batch: a contact sheet and one self-contained HTML page, from the journal and the files.

Input: the folder of a batch, also of one in progress. Output: ``contact_sheet.jpg`` and ``report.html`` with images,
options, times, and the failures with their reasons. The page loads nothing.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template
from typing import Any

from impasto.batch.journal import JOURNAL, Entry, JournalState, read
from impasto.batch.naming import stem
from impasto.errors import ImpastoError, InputError
from impasto.files import write_atomically
from impasto.imaging import contact_sheet, images
from impasto.workflows.report import data_uri

PAGE, SHEET = "report.html", "contact_sheet.jpg"
MAX_IMAGES = 2000  # on the page
MAX_CELLS = 240  # on the sheet
THUMBNAIL_SIDE, CELL_SIDE, COLUMNS = 240, 160, 8

_PAGE = Template("""<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1d1b19;
       background: #faf8f5 }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem }
figure { margin: 0 } figure img { max-width: 100%; display: block } figcaption { font-size: .85rem; color: #5c554d }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .6rem .3rem 0;
       border-bottom: 1px solid #ddd6cd; vertical-align: top; overflow-wrap: anywhere }
</style>
<h1>$title</h1>
<p>$summary</p>
$failures
<h2>Images</h2>
<main>
""")


def write_report(folder: Path) -> Path:
    """Write the contact sheet and the page of a batch, and return the path of the page.

    Raises:
        InputError: the folder has no journal.
    """
    if not (folder / JOURNAL).is_file():
        raise InputError(f"{str(folder)!r} has no {JOURNAL}: pass the output folder of a batch")
    state = read(folder)
    done = [
        entry for entry in state.entries.values() if entry.state == "done" and (folder / entry.job.output).is_file()
    ]
    _write_sheet(folder, done)
    parts = [_head(folder, state, done)]
    parts += [_figure(folder, entry) for entry in done[:MAX_IMAGES]]
    if len(done) > MAX_IMAGES:
        parts.append(f"<p>{len(done) - MAX_IMAGES} more images are not shown.</p>")
    write_atomically(folder / PAGE, "".join([*parts, "</main></html>\n"]).encode())
    return folder / PAGE


def _head(folder: Path, state: JournalState, done: Sequence[Entry]) -> str:
    failed = state.failures()
    unfinished = sum(entry.state in ("started", "lost") for entry in state.entries.values())
    counts = [f"{len(done)} painted", f"{len(failed)} failed", *([f"{unfinished} not finished"] if unfinished else [])]
    seconds = [entry.seconds for entry in done if entry.seconds]
    if seconds:
        counts.append(f"{sum(seconds) / len(seconds):.1f} s per image")
    shown = ", ".join(f"{key} {value}" for key, value in sorted(_common(done).items()))
    summary = html.escape(", ".join(counts) + (f". Options: {shown}" if shown else ""))
    return _PAGE.substitute(title=html.escape(folder.resolve().name), summary=summary, failures=_failures(failed))


def _common(done: Sequence[Entry]) -> dict[str, Any]:
    """Return the options that all results have."""
    first = dict(done[0].job.options) if done else {}
    return {key: value for key, value in first.items() if all(one.job.options.get(key) == value for one in done)}


def _failures(failed: Sequence[Entry]) -> str:
    if not failed:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(entry.job.content)}</td><td>{html.escape(entry.job.output)}</td>"
        f"<td>{html.escape(entry.reason)}</td></tr>"
        for entry in failed
    )
    return f"<h2>Failures</h2><table><tr><th>photograph</th><th>result</th><th>reason</th></tr>{rows}</table>"


def _figure(folder: Path, entry: Entry) -> str:
    name = html.escape(entry.job.output)
    try:
        pixels = images.load(folder / entry.job.output).pixels
    except ImpastoError as error:
        return f"<figure><figcaption>{name}: {html.escape(str(error))}</figcaption></figure>"
    options = html.escape(json.dumps(dict(entry.job.options), ensure_ascii=False))
    took = f", {entry.seconds:.1f} s" if entry.seconds else ""
    return (
        f'<figure title="{options}"><img alt="{name}" src="{data_uri(pixels, THUMBNAIL_SIDE, quality=80)}">'
        f"<figcaption>{name}<br>{html.escape(_pair(entry))}{took}</figcaption></figure>\n"
    )


def _pair(entry: Entry) -> str:
    return " + ".join(stem(path) for path in (entry.job.content, *entry.job.styles))


def _write_sheet(folder: Path, done: Sequence[Entry]) -> None:
    """Write the contact sheet; nothing if no result can be read."""
    cells = list(_cells(folder, done[:MAX_CELLS]))
    rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    if rows:
        columns = max(len(row) for row in rows)
        sheet = contact_sheet.draw(
            [[picture for picture, _ in row] for row in rows],
            [""] * len(rows),
            [""] * columns,
            [[caption for _, caption in row] for row in rows],
        )
        images.save(folder / SHEET, sheet)


def _cells(folder: Path, done: Sequence[Entry]) -> Iterator[tuple[Any, str]]:
    for entry in done:
        try:
            pixels = images.load(folder / entry.job.output).pixels
        except ImpastoError:
            continue
        factor = min(1.0, CELL_SIDE / max(pixels.shape[:2]))
        size = max(1, round(pixels.shape[0] * factor)), max(1, round(pixels.shape[1] * factor))
        name = Path(entry.job.output).name
        yield images.resize(pixels, size), name if len(name) <= 24 else f"{name[:22]}.."
