"""The page: static HTML and scripts for the images and the canvas, and a frame for the controls that Gradio draws.

The routes are ``/``, ``/static/`` and, as soon as Gradio is imported, ``/controls/``. The page is served immediately
and can be used before the controls have loaded.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Annotated, Literal

from fastapi import FastAPI
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, Response

from impasto.studio.store.records import NotFoundError

CONTROLS = "/controls"
STATIC = Path(__file__).parent.parent / "static"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Frame:
    """The loading state of the controls."""

    def __init__(self) -> None:
        self.state: Literal["loading", "ready", "failed", "off"] = "loading"

    def load(self, app: FastAPI) -> None:
        """Import Gradio, build the controls and mount them; if that fails, the rest of the page still works."""
        try:
            from impasto.studio.http.ui import mount

            mount(app, CONTROLS)
        except Exception:  # without Gradio the page says so and keeps working
            logging.getLogger("impasto.studio").exception("the controls could not be loaded")
            self.state = "failed"
        else:
            self.state = "ready"


def install(app: FastAPI, frame: Frame) -> None:
    """Add the routes of the page to an app."""

    @app.get("/", include_in_schema=False)
    def index() -> FileResponse:
        return _static("index.html")

    @app.get("/favicon.ico", include_in_schema=False)
    def icon() -> FileResponse:
        return _static("icon.svg")

    @app.get("/static/{name}", include_in_schema=False)
    def static(name: Annotated[str, PathParameter(pattern=r"^[a-z_]+\.(css|js|svg)$")]) -> Response:
        return _static(name)

    app.state.frame = frame


def _static(name: str) -> FileResponse:
    """Send a static file."""
    path = STATIC / name
    if not re.fullmatch(r"[a-z_]+\.[a-z]+", name) or not path.is_file():
        raise NotFoundError(f"there is no {name}")
    return FileResponse(path, media_type=_TYPES[path.suffix], headers={"Cache-Control": "no-cache"})
