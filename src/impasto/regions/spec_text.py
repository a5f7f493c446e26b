"""Split the texts of the command line: ``FILE[#x,y,w,h][@MASK][,scale=..]`` and ``MASK=FILE...``.

An existing file is found by its whole name first, so that names may contain ``=``, ``@``, ``#`` and commas.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from impasto.errors import OptionError, suggest
from impasto.imaging.decode import split_crop
from impasto.regions.segmentation.names import drawn_name

SETTINGS = ("scale", "rotate", "strength", "color")
_SETTING = re.compile(r",\s*(?P<key>[a-z_]+)\s*=\s*(?P<value>[^,=]*)$")
_CROP = re.compile(r"(.+)#[\d, ]+", re.DOTALL)


def split_region(text: str) -> tuple[str, str, str]:
    """Split ``MASK=STYLE`` at the sign behind the longest name of an existing file, otherwise at the first one."""
    for place in [match.start() for match in re.finditer("=", text)][::-1]:
        if _is_file(text[:place]):
            return text[:place], "=", text[place + 1 :]
    return text.partition("=")


def _is_file(text: str) -> bool:
    """Return whether a text names an existing file, with or without a crop."""
    crop = _CROP.fullmatch(text)
    return bool(text) and (Path(text).exists() or (crop is not None and Path(crop[1]).exists()))


def style_file(text: str) -> Path:
    """Return the file of a style, without its crop, mask and settings."""
    return split_crop(split_text(text)["style"])[0]


def split_text(text: Any) -> dict[str, Any]:
    """Split a text into style, mask and settings; anything else is an image and returned as the style."""
    if not isinstance(text, str):
        return {"style": text}
    found: dict[str, Any] = {}
    rest = text
    while not _is_file(rest):
        for at in re.finditer("@", rest):
            style, mask = rest[: at.start()], rest[at.end() :]
            if _is_file(style) and (_is_file(mask) or drawn_name(mask)):
                return {"style": style, "style_mask": mask, **found}
        match = _SETTING.search(rest)
        if match is None:
            break
        if match["key"] not in SETTINGS:
            raise OptionError(f"{text!r}: unknown setting {match['key']!r}; {suggest(match['key'], SETTINGS)}", "style")
        found[match["key"]] = match["value"].strip()
        rest = rest[: match.start()]
    if not _is_file(rest) and "@" in rest:
        rest, _, mask = rest.rpartition("@")
        if not rest or not mask:
            raise OptionError(f"{text!r} cannot be parsed: write PAINTING@MASK, as in a.jpg@mask.png", "style")
        found["style_mask"] = mask
    return {"style": rest, **found}
