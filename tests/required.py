"""Optional dependencies of tests: modules, programs, downloaded weights.

A test is skipped if its dependency is missing, and fails if ``CI=true`` is set. Missing weights always fail a test,
unless ``IMPASTO_OFFLINE=1`` says that there is no network.
"""

from __future__ import annotations

import importlib
import os
import shutil
from typing import Any, NoReturn

import pytest


def on_ci() -> bool:
    """Return whether the tests run in continuous integration, where no dependency may be missing."""
    return os.environ.get("CI", "").lower() in {"1", "true"}


def missing(reason: str) -> NoReturn:
    """Skip the current test or test module, or fail on CI."""
    if on_ci():
        pytest.fail(f"{reason}; it is required if CI=true", pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def module(name: str) -> Any:
    """Return an optional module; if it is missing, skip the test, or fail on CI."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing(f"{error.name} is not installed")


def program(*names: str) -> str:
    """Return the path of the first program that exists; if none does, skip the test, or fail on CI."""
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return found
    missing(f"{' or '.join(names)} is not installed")


def weights(name: Any) -> None:
    """Fail if weights have not been downloaded; with ``IMPASTO_OFFLINE=1`` skip the test, unless on CI."""
    from impasto.network import weights

    if weights.stored(name).is_file():
        return
    if os.environ.get("IMPASTO_OFFLINE") == "1":
        missing(f"offline, and {name} has not been fetched")
    pytest.fail(f"run: impasto weights fetch {name}", pytrace=False)
