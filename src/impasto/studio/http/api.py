"""The studio's REST API: the app, its error handlers, its guard and its OpenAPI document.

The API computes nothing: it writes requests into the store and reads what the workers have written there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from impasto import __version__
from impasto.studio.http import finished_api, jobs_api, library_api, problems
from impasto.studio.http.dependencies import PREFIX, Studio
from impasto.studio.http.guard import Guard
from impasto.studio.http.stream import EventTail


def create_app(studio: Studio) -> FastAPI:
    """Build the application; its background task starts with the server."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.tail = EventTail(studio.store)
        await app.state.tail.start()
        yield
        await app.state.tail.stop()
        studio.masks.stop()

    app = FastAPI(
        title="Impasto studio",
        version=__version__,
        docs_url=None,  # its page loads scripts from another host
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        lifespan=lifespan,
    )
    app.state.studio = studio
    problems.install(app)
    app.include_router(jobs_api.router)
    app.include_router(finished_api.router)
    app.include_router(library_api.router)
    app.add_middleware(Guard, rules=studio.rules, loose=studio.loose)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, in which every error is a problem document."""
    if app.openapi_schema is None:
        schema = FastAPI.openapi(app)
        schemas = schema["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        described = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(described.pop("$defs"))
        schemas["Problem"] = described
    assert app.openapi_schema is not None
    return app.openapi_schema
