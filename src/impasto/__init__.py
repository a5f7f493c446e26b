"""Impasto: repaint one picture in the manner of another.

``impasto.stylize("photo.jpg", "painting.jpg")`` returns a Result; ``impasto.iter_stylize`` tells what happens on the
way.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from impasto.api import iter_stylize as iter_stylize
    from impasto.api import stylize as stylize
    from impasto.errors import ImpastoError as ImpastoError
    from impasto.events import Mailbox as Mailbox
    from impasto.options.fields import Options as Options
    from impasto.run.result import Result as Result

__version__ = "0.1.0"

# Public names and where they live; looked up when first used, so that `impasto --help` never loads torch.
_HOMES = {
    "ImpastoError": "impasto.errors",
    "Mailbox": "impasto.events",
    "Options": "impasto.options.fields",
    "Result": "impasto.run.result",
    "iter_stylize": "impasto.api",
    "stylize": "impasto.api",
}

__all__ = ["ImpastoError", "Mailbox", "Options", "Result", "__version__", "iter_stylize", "stylize"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'impasto' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
