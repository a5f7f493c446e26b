"""A ``RegionSpec`` as the arguments of ``impasto stylize``."""

from __future__ import annotations

from collections.abc import Mapping

from impasto.regions.spec import AUTO, LABELS, ONLY, PROTECT, SpecData
from impasto.regions.spec_text import SETTINGS


def as_words(data: SpecData, files: Mapping[str, str]) -> list[str]:
    """Return a spec as command-line arguments.

    Args:
        data: as ``RegionSpec.as_data`` returns it.
        files: names of the image files by role.
    """
    files = {**files, **{role: about["name"] for role, about in data.get("drawn", {}).items()}}
    styles, regions = [], []
    for entry in data["styles"]:
        text = files[entry["style"]] + (f"@{files[entry['style_mask']]}" if "style_mask" in entry else "")
        for key in SETTINGS:
            if key in entry:
                text += f",{key}={entry[key] if key == 'color' else format(entry[key], 'g')}"
        if "mask" in entry:
            regions += ["--region", f"{files[entry['mask']]}={text}"]
        else:
            styles.append(text)
    labels = ["--labels", *(files[role] for role in LABELS)] if data["labels"] else []
    labels = ["--pair", AUTO] if labels[1:] == [AUTO, AUTO] else labels
    protect = ["--protect", files.get(PROTECT, "faces")] if data["protect"] else []
    only = ["--style-only", files[ONLY]] if data.get("only") else []
    return [*styles, *regions, *labels, *protect, *only]
