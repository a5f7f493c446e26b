"""The public names are exported, importable and documented."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

import impasto
from impasto import errors, events

PAGE = Path(__file__).resolve().parent.parent / "docs" / "python.md"


def classes_of(module: object) -> set[str]:
    """Return the public classes that a module defines."""
    return {
        name
        for name, item in vars(module).items()
        if inspect.isclass(item) and item.__module__ == getattr(module, "__name__", "") and not name.startswith("_")
    }


def test_the_public_names_stay_what_they_are() -> None:
    assert impasto.stylize is importlib.import_module("impasto.api").stylize
    assert impasto.iter_stylize is importlib.import_module("impasto.api").iter_stylize
    for name in impasto.__all__:
        assert getattr(impasto, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'paint'"):
        impasto.paint  # noqa: B018


def test_every_error_and_event_is_exported() -> None:
    assert classes_of(errors) | classes_of(events) <= set(impasto.__all__)


def test_every_public_name_has_its_line_in_the_documentation() -> None:
    listed = re.findall(r"^- `(\w+)`: ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(impasto.__all__)
