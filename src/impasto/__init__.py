"""Impasto: repaint one picture in the manner of another.

``impasto.stylize("photo.jpg", "painting.jpg")`` returns a Result; ``impasto.iter_stylize`` tells what happens on the
way.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from impasto.errors import ImpastoError as ImpastoError
    from impasto.events import Mailbox as Mailbox
    from impasto.options import Options as Options
    from impasto.result import Result as Result
    from impasto.stylize import iter_stylize as iter_stylize
    from impasto.stylize import stylize as stylize

__version__ = "0.1.0"

# Public names and where they live; looked up when first used, so that `impasto --help` never loads torch.
_HOMES = {
    "ImpastoError": "impasto.errors",
    "Mailbox": "impasto.events",
    "Options": "impasto.options",
    "Result": "impasto.result",
    "iter_stylize": "impasto.stylize",
    "stylize": "impasto.stylize",
}

__all__ = ["ImpastoError", "Mailbox", "Options", "Result", "__version__", "iter_stylize", "stylize"]


class _Package(ModuleType):
    """Keeps ``impasto.stylize`` the function: importing the module of that name would put the module in its place."""

    def __setattr__(self, name: str, value: object) -> None:
        is_module = name == "stylize" and isinstance(value, ModuleType)
        super().__setattr__(name, value.stylize if is_module else value)  # type: ignore[attr-defined]


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'impasto' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
