"""Parts that a test needs and an installation may lack: modules, programs, fetched weights.

Where one is absent the test is skipped with a reason, or fails where ``CI=true`` is set: nothing hides there. Absent
weights always fail, unless ``IMPASTO_OFFLINE=1`` says that there is no network.
"""

from __future__ import annotations

import importlib
import os
import shutil
from typing import Any, NoReturn

import pytest


def on_ci() -> bool:
    """Return whether the environment says that this is continuous integration, where nothing may be absent."""
    return os.environ.get("CI", "").lower() in {"1", "true"}


def absent(reason: str) -> NoReturn:
    """Skip the test or the module that asks, or fail on CI."""
    if on_ci():
        pytest.fail(f"{reason}; with CI=true nothing may be absent", pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def module(name: str) -> Any:
    """Return an optional module; without it the test is skipped, or fails on CI."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        absent(f"{error.name} is not installed")


def program(*names: str) -> str:
    """Return the path of the first of some programs that exists; without one the test is skipped, or fails on CI."""
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return found
    absent(f"{' or '.join(names)} is not installed")


def weights(name: Any) -> None:
    """Fail where fetched weights are absent; skip where ``IMPASTO_OFFLINE=1`` says why, unless on CI."""
    from impasto.network import weights

    if weights.stored(name).is_file():
        return
    if os.environ.get("IMPASTO_OFFLINE") == "1":
        absent(f"offline, and {name} has not been fetched")
    pytest.fail(f"run: impasto weights fetch {name}", pytrace=False)
