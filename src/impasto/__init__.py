"""Impasto: neural style transfer.

``impasto.stylize("photo.jpg", "painting.jpg")`` returns a ``Result``; ``impasto.iter_stylize`` yields the events of the
run, and a ``Mailbox`` changes its settings. Exceptions are in ``impasto.errors``, events in ``impasto.events``. These
two modules and the names in ``__all__`` are the public API; all other modules are private and may change.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from impasto import errors as errors
    from impasto import events as events
    from impasto.api import iter_stylize as iter_stylize
    from impasto.api import stylize as stylize
    from impasto.errors import ImpastoError as ImpastoError
    from impasto.events import Mailbox as Mailbox
    from impasto.options.fields import Options as Options
    from impasto.run.result import Result as Result

__version__ = "0.1.0"

# The module of each public name, imported on first use, so that `impasto --help` does not load torch.
_HOMES = {
    "ImpastoError": "impasto.errors",
    "Mailbox": "impasto.events",
    "Options": "impasto.options.fields",
    "Result": "impasto.run.result",
    "iter_stylize": "impasto.api",
    "stylize": "impasto.api",
}

__all__ = [
    "ImpastoError",
    "Mailbox",
    "Options",
    "Result",
    "__version__",
    "errors",
    "events",
    "iter_stylize",
    "stylize",
]


def __getattr__(name: str) -> Any:
    if name in ("errors", "events"):
        return importlib.import_module(f"impasto.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'impasto' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
