"""From what a user requests to jobs: photographs times paintings, pairs, or the rows of a manifest.

Input: a ``Request``, the arguments of ``impasto batch``. Output: jobs with their outputs. Everything that can be
refused before the work is refused here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impasto.batch import journal
from impasto.batch.job import Job, OptionTable
from impasto.batch.manifest import Defaults, mask_path, read_manifest
from impasto.batch.naming import TEMPLATE, Namer
from impasto.batch.photos import Photo, find_photos, is_pattern
from impasto.errors import OptionError
from impasto.files import why_not_writable
from impasto.imaging.encode import format_of
from impasto.imaging.images import DecodeLimits, split_crop
from impasto.regions.spec_text import split_text


@dataclass(frozen=True)
class Request:
    """What to paint.

    Args:
        photos: files, folders, globs, or ``-``.
        styles: paintings, or folders or globs of them.
        output: the output folder.
        options: by flat name.
        pairs: paint each photograph in the style at the same position, instead of every one in every style.
        manifest: a file with the jobs, instead of photographs.
        protect, style_only: masks, files or names such as ``faces``.
        template: of names, see ``naming``.
        extension: of the results.
    """

    photos: Sequence[str]
    styles: Sequence[str]
    output: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    pairs: bool = False
    manifest: Path | None = None
    protect: str | None = None
    style_only: str | None = None
    template: str = TEMPLATE
    extension: str = "png"


def jobs_of(request: Request, lines: Iterable[str] = ()) -> list[Job]:
    """Return the jobs of a request.

    Args:
        request: what to paint.
        lines: the paths of standard input, for the photograph ``-``.

    Raises:
        InputError: there is nothing to paint, or something cannot be used.
    """
    if bool(request.photos) == (request.manifest is not None):
        raise OptionError("pass photographs, or --manifest FILE with one image per row", "manifest")
    check_output_name(request)
    styles = _paintings(request)
    table = OptionTable()
    masks = mask_path(request.protect), mask_path(request.style_only)
    if request.manifest is not None:
        if request.pairs:
            raise OptionError("--pairs is for photographs on the command line: omit it with --manifest", "pairs")
        namer = Namer(request.template, request.extension)
        jobs = read_manifest(request.manifest, Defaults(tuple(styles), request.options, *masks), namer)
    else:
        known = {job.output for job in _earlier(request.output)}
        photos = find_photos(request.photos, request.output, lines=lines, known=known)
        namer = Namer(request.template, request.extension, taken=_inside(photos, request.output))
        jobs = [
            Job(absolute(photo.path), style, namer.name(photo.path, style, photo.tree), request.options, *masks)
            for photo, style in _combined(photos, styles, request.pairs)
        ]
    for job in jobs:
        table.of(job)
    return jobs


def check_output_name(request: Request) -> None:
    """Raise InputError if the folder or the format of the results cannot be used."""
    name = Namer(request.template, request.extension).name("photo.jpg", ["painting.jpg"])

    if request.output.exists() and not request.output.is_dir():
        raise OptionError(f"--output {str(request.output)!r} is a file: choose a folder", "output")
    format_of(name)
    if request.output.exists() and (reason := why_not_writable(request.output)) is not None:
        raise OptionError(f"--output {request.output}: the folder {reason}", "output")


def _paintings(request: Request) -> list[str]:
    """Return the paintings, with folders and globs expanded; those that are named must be readable."""
    from impasto.regions.spec import parse_regions

    found: list[str] = []
    for style in request.styles:
        if Path(style).is_dir() or is_pattern(style):
            found += [photo.path for photo in find_photos([style], request.output)]
        else:
            parse_regions([style], limits=DecodeLimits())
            found.append(style)
    return [absolute(style) for style in found]


def absolute(path: str) -> str:
    """Return an absolute path, also of the mask in ``style.jpg@mask.png``; the journal outlives the current folder."""
    settings = split_text(path)
    style, mask = Path(settings.pop("style")).absolute(), mask_path(settings.pop("style_mask", None))
    return "".join([str(style), f"@{mask}" if mask else "", *(f",{key}={value}" for key, value in settings.items())])


def _combined(photos: Sequence[Photo], styles: Sequence[str], pairs: bool) -> list[tuple[Photo, tuple[str, ...]]]:
    """Return which photograph is painted in which style."""
    if pairs:
        if len(photos) != len(styles):
            raise OptionError(
                f"--pairs needs as many styles as photographs; there are {len(photos)} photographs and "
                f"{len(styles)} styles",
                "pairs",
            )
        return [(photo, (style,)) for photo, style in zip(photos, styles, strict=True)]
    if not styles:
        return [(photo, ()) for photo in photos]
    return [(photo, (style,)) for style in styles for photo in photos]


def _earlier(output: Path) -> list[Job]:
    """Return the jobs of the journal in the output folder that are done."""
    return [entry.job for entry in journal.read(output).entries.values() if entry.state == "done"]


def _inside(photos: Iterable[Photo], output: Path) -> list[str]:
    """Return the names of photographs that are inside the output folder, which no result may have."""
    folder = output.resolve()
    paths = [split_crop(photo.path)[0].resolve() for photo in photos]
    return [path.relative_to(folder).as_posix() for path in paths if path.is_relative_to(folder)]
