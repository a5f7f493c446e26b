"""The exceptions of Impasto, part of its public API.

    ImpastoError
    |-- InputError            an input cannot be used; the command line exits with status 2
    |   |-- ImageError        an image cannot be read or written
    |   |-- OptionError       an option has a value that is not allowed
    |   |-- WeightsError      network weights are missing, damaged or of another network
    |   `-- RecordError       a record or checkpoint is missing, damaged or newer than this version
    |-- MachineError          the requested device, precision or memory is not available
    `-- NumericalError        the optimization reached NaN and could not recover

A message contains the value received, what is allowed, and what to do. ``suggest`` is internal.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ImpastoError(Exception):
    """Base class of all exceptions that Impasto raises deliberately."""


class InputError(ImpastoError):
    """An input cannot be used."""


class ImageError(InputError):
    """An image cannot be read or written."""


class OptionError(InputError):
    """An option has a value that is not allowed.

    Args:
        message: one line for the user.
        option: field name of the option, so that a web form can mark it.
    """

    def __init__(self, message: str, option: str | None = None) -> None:
        super().__init__(message)
        self.option = option


class WeightsError(InputError):
    """Network weights are missing, damaged or of another network."""


class RecordError(InputError):
    """A record or checkpoint is missing, damaged or from a newer version."""


class MachineError(ImpastoError):
    """The requested device, precision or memory is not available."""


class NumericalError(ImpastoError):
    """The optimization reached NaN and could not recover."""


def suggest(value: str, allowed: Iterable[str]) -> str:
    """Return the allowed names for an error message, after the most similar ones if there are any.

    Args:
        value: the name that was received.
        allowed: all allowed names.

    Returns:
        For example ``did you mean 'gatys2016'? Choose from: gatys2016, neural-style``.
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(value, names, n=2, cutoff=0.5)
    listing = f"choose from: {', '.join(names)}"
    if not near:
        return listing
    return f"did you mean {' or '.join(repr(name) for name in near)}? {listing[0].upper()}{listing[1:]}"
