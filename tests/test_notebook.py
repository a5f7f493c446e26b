"""The notebook runs from top to bottom with the public API, and stays short."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

NOTEBOOK = Path(__file__).resolve().parent.parent / "notebooks" / "how-it-works.ipynb"


def cells() -> list[str]:
    """Return the code of every cell."""
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert content["nbformat"] == 4
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


@pytest.mark.slow
def test_it_runs_from_top_to_bottom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPASTO_NOTEBOOK_SIZE", "48")
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, code in enumerate(cells(), start=1):
        exec(compile(code, f"cell {number}", "exec"), names)
    ratios = [
        names[f"only_{part}"].losses[-1]["total"] / names[f"only_{part}"].losses[0]["total"]
        for part in ("content", "style")
    ]
    assert max(ratios) < 1
    assert names["same"]


def test_it_is_sixty_lines_at_most() -> None:
    lines = [line for code in cells() for line in code.splitlines() if line.strip()]
    assert len(lines) <= 60


def test_no_output_is_stored() -> None:
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in content["cells"])
