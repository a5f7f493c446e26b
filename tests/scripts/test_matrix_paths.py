"""The matrix omits tests without computation, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

import test_matrix

TESTS = Path(__file__).parents[1]
NUMERIC = ("feedforward", "imaging", "losses", "network", "objective", "optimizers", "planning", "regions", "run")
OMITTED = {  # in these packages
    "imaging/test_metadata.py",
    "network/weights/test_fetched.py",
    "network/weights/test_weights.py",
    "run/test_out_of_memory.py",
    "run/test_record.py",
}


@pytest.mark.parametrize("path", test_matrix.NOT_NUMERIC)
def test_every_omitted_path_has_tests(path: str) -> None:
    place = TESTS / path
    assert (place.name.startswith("test_") and place.is_file()) or any(place.rglob("test_*.py"))


def test_numeric_tests_are_not_omitted() -> None:
    files = {path.relative_to(TESTS) for name in NUMERIC for path in (TESTS / name).rglob("test_*.py")}
    assert {path.parts[0] for path in files} == set(NUMERIC)
    omitted = {str(path) for path in files if any(path.is_relative_to(entry) for entry in test_matrix.NOT_NUMERIC)}
    assert omitted == OMITTED
