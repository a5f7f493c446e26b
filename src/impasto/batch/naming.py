"""Names of results: a template, the folder tree of the photographs, and no name twice.

``{content}_{style}.{ext}`` for ``trip/lake.jpg`` and ``waves.jpg`` is ``trip/lake_waves.png``. Where two results would
have one name, all but the first also get the extension of their photograph, ``lake-png_waves.png``, and if that is not
enough a number.
"""

from __future__ import annotations

import string
from collections.abc import Collection
from pathlib import PurePosixPath

from impasto.errors import OptionError, suggest
from impasto.imaging.images import split_crop
from impasto.regions.spec_text import style_file

TEMPLATE = "{content}_{style}.{ext}"
FIELDS = ("content", "style", "ext", "number")


def check_template(template: str) -> None:
    """Raise OptionError if a template has unknown fields or leaves the folder."""
    try:
        fields = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise OptionError(f"--name {template!r} cannot be parsed ({error}): write {TEMPLATE}", "name") from None
    unknown = sorted(fields - set(FIELDS))
    if unknown:
        raise OptionError(f"--name {template!r} has no field {unknown[0]!r}; {suggest(unknown[0], FIELDS)}", "name")
    path = PurePosixPath(template)
    if not path.name or path.is_absolute() or ".." in path.parts:
        raise OptionError(
            f"--name {template!r} must be a file name inside the output folder, such as {TEMPLATE}", "name"
        )


def stem(path: str) -> str:
    """Return the file name of an image without extension, crop, mask and settings."""
    return style_file(path).stem


class Namer:
    """Gives each result a name that no other result has.

    Args:
        template: see ``FIELDS``; slashes make folders.
        ext: extension of the results.
        taken: names below the folder that are not available, such as those of the photographs themselves.
    """

    def __init__(self, template: str = TEMPLATE, ext: str = "png", taken: Collection[str] = ()) -> None:
        check_template(template)
        self.template, self.ext = template, ext.lower().removeprefix(".")
        self._taken = {name.casefold() for name in taken}
        self._number = 0

    def name(self, content: str, styles: Collection[str], tree: str = "") -> str:
        """Return the path of a result below the folder.

        Args:
            content: path of the photograph.
            styles: paintings; a blend is named after all of them.
            tree: folder of the photograph, relative to the folder that was named.
        """
        self._number += 1
        painting = "+".join(stem(style) for style in styles) or "painted"
        first = stem(content)
        suffix = split_crop(content)[0].suffix.lower().removeprefix(".")
        for base in (first, f"{first}-{suffix}"):
            path = self._path(base, painting, tree)
            if self._take(path):
                return path
        count = 2
        while True:
            numbered = PurePosixPath(path)
            candidate = str(numbered.with_name(f"{numbered.stem}-{count}{numbered.suffix}"))
            if self._take(candidate):
                return candidate
            count += 1

    def reserve(self, path: str) -> bool:
        """Take a name that is set in a manifest; return whether it was available."""
        return self._take(path)

    def _path(self, content: str, style: str, tree: str) -> str:
        values = {"content": content, "style": style, "ext": self.ext, "number": f"{self._number:05d}"}
        return str(PurePosixPath(tree) / self.template.format(**values))

    def _take(self, path: str) -> bool:
        key = path.casefold()  # some file systems ignore case
        if key in self._taken:
            return False
        self._taken.add(key)
        return True
