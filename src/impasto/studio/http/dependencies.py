"""The dependency that every route receives from its app.

``StudioDep`` is the annotation with which a route requests the app's settings; ``COMMON_RESPONSES`` are the problems
that any route may return.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from impasto.studio.http.guard import AccessRules
from impasto.studio.http.problems import problem_responses
from impasto.studio.http.uploads import UploadLimits
from impasto.studio.store.database import Store
from impasto.studio.store.records import QueueLimits
from impasto.studio.worker.mask_drawer import MaskDrawer

PREFIX = "/api/v1"


@dataclass
class Studio:
    """The shared state of all routes.

    Args:
        store: jobs and images.
        rules: which requests are allowed.
        caps: limits on uploads.
        limits: limits on the queue.
        health: returns the number of workers and of restarts and the state of the page, for ``GET /health``.
        loose: path prefixes whose pages may run inline scripts.
        masks: draws masks by name.
    """

    store: Store
    rules: AccessRules = field(default_factory=AccessRules)
    caps: UploadLimits = field(default_factory=UploadLimits)
    limits: QueueLimits = field(default_factory=QueueLimits)
    health: Callable[[], Mapping[str, Any]] = lambda: {"workers": 0, "restarts": 0, "page": "off"}
    loose: tuple[str, ...] = ()
    masks: MaskDrawer = field(default_factory=MaskDrawer)


def _studio(request: Request) -> Studio:
    studio: Studio = request.app.state.studio
    return studio


StudioDep = Annotated[Studio, Depends(_studio)]
COMMON_RESPONSES = problem_responses(400, 401, 403)
