"""Take a picture in as it streams, count it, name it by its content.

In: chunks of bytes from anybody. Out: an asset in the store. Bytes and pixels are capped on the way, the user's file
name is kept to be shown and never a path, and nothing is decoded: that is the worker's part, under its own limits.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from impasto.studio.http.problems import ProblemError
from impasto.studio.store.database import Store
from impasto.studio.store.image_header import HEAD_BYTES, Header, UnknownFormatError, sniff
from impasto.studio.store.records import Asset

LONGEST_NAME = 80
# A comma, a hash, an equals or an at sign would mean something else in the command that a report shows.
_UNFIT = re.compile(r"[^\w .()-]+")


@dataclass(frozen=True)
class UploadLimits:
    """The largest picture that is taken in."""

    bytes: int = 64 << 20
    pixels: int = 120_000_000


async def receive(store: Store, chunks: AsyncIterator[bytes], caps: UploadLimits, field: str, name: str = "") -> Asset:
    """Write a picture to the store while it comes in.

    Args:
        store: where to.
        chunks: the picture's bytes.
        caps: what is too large.
        field: what the form calls it, for the problem document.
        name: of the user's file.

    Raises:
        ProblemError: 413 too many bytes or pixels; 415 no picture; 422 empty.
    """
    part = store.folder / "incoming" / secrets.token_hex(8)
    digest, size, head = hashlib.sha256(), 0, b""
    header: Header | None = None
    try:
        with part.open("wb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > caps.bytes:
                    raise ProblemError(
                        413, f"the picture has more than {caps.bytes >> 20} MiB; give a smaller one", field
                    )
                digest.update(chunk)
                file.write(chunk)
                if header is None and len(head) < HEAD_BYTES:
                    head += chunk
                    header = _checked(head, False, caps, field)
        if size == 0:
            raise ProblemError(422, "the picture is empty", field)
        if header is None:
            header = _checked(await run_in_threadpool(part.read_bytes), True, caps, field)
        assert header is not None
        kind = (header.media_type, header.extension, size, header.width, header.height)
        asset = Asset(digest.hexdigest(), *kind, store.clock(), sanitize_name(name, header.extension))
        return await run_in_threadpool(store.keep_asset, asset, part)
    finally:
        part.unlink(missing_ok=True)


def sanitize_name(name: str, extension: str) -> str:
    """Return a file's name as it can be shown, typed and given to a file; empty where nothing is left of it."""
    last = re.split(r"[/\\]", name)[-1]
    fit = _UNFIT.sub("_", last).strip(" .-")
    stem, dot, suffix = fit.rpartition(".")
    if not dot or not 1 <= len(suffix) <= 5:
        stem, suffix = fit, extension.lstrip(".")
    stem = stem[: LONGEST_NAME - len(suffix) - 1].strip(" .-")
    return f"{stem}.{suffix}" if stem.strip("_") else ""


def _checked(head: bytes, whole: bool, caps: UploadLimits, field: str) -> Header | None:
    """Read the header as far as it is there, and refuse what is too large."""
    try:
        header = sniff(head, whole)
    except UnknownFormatError as error:
        raise ProblemError(415, str(error), field) from error
    if header is not None and header.width * header.height > caps.pixels:
        raise ProblemError(
            413,
            f"the picture has {header.width}x{header.height} pixels, more than {caps.pixels // 1_000_000} million; "
            "give a smaller one",
            field,
        )
    return header


async def chunks_of(path: Path, size: int = 1 << 16) -> AsyncIterator[bytes]:
    """Read a file on this machine as an upload would come."""
    with path.open("rb") as file:
        while chunk := await run_in_threadpool(file.read, size):
            yield chunk
