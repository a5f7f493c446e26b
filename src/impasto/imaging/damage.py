"""What a decoder raises on a damaged file, turned into one exception.

Decoders of other projects raise almost anything on damaged data, TypeError and AttributeError included. Only the calls
into them are guarded, so that a bug in our own code is not reported as a damaged file.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    RuntimeError,
    AttributeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class DamagedFileError(ValueError):
    """A decoder could not read a file; the message is the decoder's."""


@contextmanager
def third_party_decoder() -> Iterator[None]:
    """Convert every exception of a decoder to ``DamagedFileError``; use it only around calls into other libraries."""
    try:
        yield
    except DECODER_ERRORS as error:
        raise DamagedFileError(" ".join(str(error).split()) or type(error).__name__) from error
