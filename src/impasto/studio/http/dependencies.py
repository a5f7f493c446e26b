"""What every route works with, handed to it by the app that it is part of.

In: the app's settings. Out: ``Here``, by which a route asks for them, and the problems that any route may answer with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from impasto.studio.http.guard import Rules
from impasto.studio.http.problems import documented
from impasto.studio.http.uploads import Caps
from impasto.studio.store.database import Store
from impasto.studio.store.records import Limits

PREFIX = "/api/v1"


@dataclass
class Studio:
    """What the routes work with.

    Args:
        store: jobs and pictures.
        rules: who may come in.
        caps: the largest picture.
        limits: the longest queue.
        vitals: what the server knows of its workers and its page, for health.
    """

    store: Store
    rules: Rules = field(default_factory=Rules)
    caps: Caps = field(default_factory=Caps)
    limits: Limits = field(default_factory=Limits)
    vitals: Callable[[], Mapping[str, Any]] = lambda: {"workers": 0, "restarts": 0, "page": "off"}
    loose: tuple[str, ...] = ()


def _studio(request: Request) -> Studio:
    studio: Studio = request.app.state.studio
    return studio


Here = Annotated[Studio, Depends(_studio)]
ALWAYS = documented(400, 401, 403)
