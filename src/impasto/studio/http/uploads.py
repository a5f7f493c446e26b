"""Stream an upload into the store, with limits, under the hash of its content.

Bytes and pixels are limited during the upload, the user's file name is kept for display and never used as a path, and
nothing is decoded: the worker does that under its own limits.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from impasto.studio.http.problems import ProblemError
from impasto.studio.store.database import Store
from impasto.studio.store.image_header import HEAD_BYTES, Header, UnknownFormatError, sniff
from impasto.studio.store.records import Asset

MAX_NAME_LENGTH = 80
# Commas, hashes, equals and at signs have a meaning in the command that a report shows.
_UNSAFE = re.compile(r"[^\w .()-]+")


@dataclass(frozen=True)
class UploadLimits:
    """The limits on an uploaded image."""

    bytes: int = 64 << 20
    pixels: int = 120_000_000


async def receive(store: Store, chunks: AsyncIterator[bytes], caps: UploadLimits, field: str, name: str = "") -> Asset:
    """Write an upload to the store as it arrives.

    Args:
        store: receives the image.
        chunks: the bytes of the image.
        caps: the limits.
        field: name of the field, for the problem document.
        name: the user's file name.

    Raises:
        ProblemError: 413 too many bytes or pixels; 415 not an image; 422 empty.
    """
    temp_path = store.folder / "incoming" / secrets.token_hex(8)
    digest, size, head = hashlib.sha256(), 0, b""
    header: Header | None = None
    try:
        with temp_path.open("wb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > caps.bytes:
                    raise ProblemError(
                        413, f"the image has more than {caps.bytes >> 20} MiB; upload a smaller one", field
                    )
                digest.update(chunk)
                file.write(chunk)
                if header is None and len(head) < HEAD_BYTES:
                    head += chunk
                    header = _checked(head, False, caps, field)
        if size == 0:
            raise ProblemError(422, "the image is empty", field)
        if header is None:
            header = _checked(await run_in_threadpool(temp_path.read_bytes), True, caps, field)
        assert header is not None
        kind = (header.media_type, header.extension, size, header.width, header.height)
        asset = Asset(digest.hexdigest(), *kind, store.clock(), sanitize_name(name, header.extension))
        return await run_in_threadpool(store.add_asset, asset, temp_path)
    finally:
        temp_path.unlink(missing_ok=True)


def sanitize_name(name: str, extension: str) -> str:
    """Return a file name that is safe to display, to type and to use; empty if nothing is left of it."""
    last = re.split(r"[/\\]", name)[-1]
    fit = _UNSAFE.sub("_", last).strip(" .-")
    stem, dot, suffix = fit.rpartition(".")
    if not dot or not 1 <= len(suffix) <= 5:
        stem, suffix = fit, extension.lstrip(".")
    stem = stem[: MAX_NAME_LENGTH - len(suffix) - 1].strip(" .-")
    return f"{stem}.{suffix}" if stem.strip("_") else ""


def _checked(head: bytes, whole: bool, caps: UploadLimits, field: str) -> Header | None:
    """Read the header if enough of it has arrived, and refuse an image that is too large."""
    try:
        header = sniff(head, whole)
    except UnknownFormatError as error:
        raise ProblemError(415, str(error), field) from error
    if header is not None and header.width * header.height > caps.pixels:
        raise ProblemError(
            413,
            f"the image has {header.width}x{header.height} pixels, more than {caps.pixels // 1_000_000} million; "
            "upload a smaller one",
            field,
        )
    return header
