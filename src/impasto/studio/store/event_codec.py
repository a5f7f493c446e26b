"""Events as JSON, for the store and the page.

An event of ``impasto.events`` becomes a kind and a JSON-able dictionary, without its images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from impasto.events import Event, Planned, ScaleStarted, Snapshot, Steered, Stepped, Warned

KINDS = (
    "state",  # written by the store: queued, running, paused, done, canceled, failed
    "planned",
    "scale",
    "resumed",  # the steps after this one are undone and will be repeated
    "step",
    "snapshot",
    "steered",
    "warned",
    "finished",
)


def encode_event(event: Event[object]) -> tuple[str, dict[str, object]]:
    """Return the kind of an event and its data; NaN and infinities become None."""
    if isinstance(event, Planned):
        scales = [dict(scale) for scale in event.scales]
        return "planned", _plain({"scales": scales, "total_steps": event.total_steps, "decisions": event.decisions})
    if isinstance(event, ScaleStarted):
        return "scale", asdict(event)
    if isinstance(event, Stepped):
        data = {name: getattr(event, name) for name in ("step", "scale", "scale_step", "total", "losses")}
        return "step", _plain(data)
    if isinstance(event, Snapshot):
        return "snapshot", {"step": event.step, "scale": event.scale}
    if isinstance(event, Steered):
        return "steered", _plain({"step": event.step, "command": event.command, "values": event.values})
    if isinstance(event, Warned):
        return "warned", {"message": event.message}
    return "finished", {"step": event.step, "stopped": event.stopped}


def _plain(value: Any) -> Any:
    """Return a JSON-compatible copy."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    return str(value)
