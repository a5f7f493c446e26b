"""Impasto: neural style transfer.

``impasto.stylize("photo.jpg", "painting.jpg")`` returns a ``Result``; ``impasto.iter_stylize`` yields the events of the
run, and a ``Mailbox`` changes its settings. ``OptionFields`` are the keyword arguments of both, ``Options`` the same in
one object. Exceptions derive from ``ImpastoError`` (``impasto.errors`` has the tree); events are the classes of
``impasto.events``, from ``Planned`` to ``Finished``. ``PictureLike``, ``StyleLike`` and ``Regions`` are the types
of arguments. ``iter_batch`` paints many images, each a ``Job``; its events are in ``impasto.batch.events``. The names
in ``__all__``, listed in ``docs/python.md``, are the public API; all other modules are private and may change.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from impasto import errors as errors
    from impasto import events as events
    from impasto.api import iter_stylize as iter_stylize
    from impasto.api import stylize as stylize
    from impasto.batch.job import Job as Job
    from impasto.batch.loop import iter_batch as iter_batch
    from impasto.errors import ImageError as ImageError
    from impasto.errors import ImpastoError as ImpastoError
    from impasto.errors import InputError as InputError
    from impasto.errors import MachineError as MachineError
    from impasto.errors import NumericalError as NumericalError
    from impasto.errors import OptionError as OptionError
    from impasto.errors import RecordError as RecordError
    from impasto.errors import WeightsError as WeightsError
    from impasto.events import Command as Command
    from impasto.events import Event as Event
    from impasto.events import Finished as Finished
    from impasto.events import Mailbox as Mailbox
    from impasto.events import Planned as Planned
    from impasto.events import ProgressEvent as ProgressEvent
    from impasto.events import ScaleStarted as ScaleStarted
    from impasto.events import Snapshot as Snapshot
    from impasto.events import Steered as Steered
    from impasto.events import Stepped as Stepped
    from impasto.events import Warned as Warned
    from impasto.imaging.images import PictureLike as PictureLike
    from impasto.options.fields import Options as Options
    from impasto.options.option_fields import OptionFields as OptionFields
    from impasto.regions.spec import Regions as Regions
    from impasto.regions.spec import StyleLike as StyleLike
    from impasto.run.result import Result as Result

__version__ = "0.1.0"

# The public names of each module, imported on first use, so that `impasto --help` does not load torch.
_NAMES = {
    "impasto.api": (
        "iter_stylize",
        "stylize",
    ),
    "impasto.batch.job": ("Job",),
    "impasto.batch.loop": ("iter_batch",),
    "impasto.errors": (
        "ImageError",
        "ImpastoError",
        "InputError",
        "MachineError",
        "NumericalError",
        "OptionError",
        "RecordError",
        "WeightsError",
    ),
    "impasto.events": (
        "Command",
        "Event",
        "Finished",
        "Mailbox",
        "Planned",
        "ProgressEvent",
        "ScaleStarted",
        "Snapshot",
        "Steered",
        "Stepped",
        "Warned",
    ),
    "impasto.imaging.images": ("PictureLike",),
    "impasto.options.fields": ("Options",),
    "impasto.options.option_fields": ("OptionFields",),
    "impasto.regions.spec": (
        "Regions",
        "StyleLike",
    ),
    "impasto.run.result": ("Result",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "Command",
    "Event",
    "Finished",
    "ImageError",
    "ImpastoError",
    "InputError",
    "Job",
    "MachineError",
    "Mailbox",
    "NumericalError",
    "OptionError",
    "OptionFields",
    "Options",
    "PictureLike",
    "Planned",
    "ProgressEvent",
    "RecordError",
    "Regions",
    "Result",
    "ScaleStarted",
    "Snapshot",
    "Steered",
    "Stepped",
    "StyleLike",
    "Warned",
    "WeightsError",
    "__version__",
    "errors",
    "events",
    "iter_batch",
    "iter_stylize",
    "stylize",
]


def __getattr__(name: str) -> Any:
    if name in ("errors", "events"):
        return importlib.import_module(f"impasto.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'impasto' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
