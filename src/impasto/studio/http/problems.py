"""Errors as problem documents (RFC 9457) that name the invalid field.

The exceptions that routes raise are sent as ``application/problem+json`` with a title, one sentence, and ``errors`` by
field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from impasto.errors import InputError, OptionError
from impasto.studio.store.records import ConflictError, NotFoundError, QueueFullError

MEDIA_TYPE = "application/problem+json"


class FieldProblem(BaseModel):
    """An error of one field."""

    field: str = Field(description="path of the field, such as options.strength")
    detail: str


class Problem(BaseModel):
    """A problem document, RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldProblem] = []


class ProblemError(Exception):
    """An error that is sent as a problem document.

    Args:
        status: HTTP status.
        detail: one sentence for the user.
        field: the invalid field, if any.
        headers: additional response headers.
    """

    def __init__(
        self, status: int, detail: str, field: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.field = field
        self.headers = dict(headers or {})


def respond(
    status: int,
    detail: str,
    instance: str,
    errors: Sequence[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return a problem document."""
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=instance,
        errors=[FieldProblem(field=field, detail=text) for field, text in errors],
    )
    return JSONResponse(problem.model_dump(), status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def problem_responses(*statuses: int) -> dict[int | str, dict[str, object]]:
    """Return the OpenAPI entries of the problems that a route may return."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": _REFERENCE}}}
        for status in statuses
    }


_REFERENCE = {"$ref": "#/components/schemas/Problem"}


def install(app: FastAPI) -> None:
    """Install handlers that convert every error to a problem document."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [(_path(item), str(item["msg"]).removeprefix("Value error, ")) for item in error.errors()]
        detail = "; ".join(f"{field}: {text}" for field, text in wrong)
        return respond(422, detail, request.url.path, wrong)

    @app.exception_handler(ProblemError)
    async def refused(request: Request, error: ProblemError) -> JSONResponse:
        wrong = [(error.field, error.detail)] if error.field else []
        return respond(error.status, error.detail, request.url.path, wrong, error.headers)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(sorted(_methods(app, request)))
        return respond(error.status_code, str(error.detail), request.url.path, headers=headers)

    @app.exception_handler(InputError)
    async def unusable(request: Request, error: InputError) -> JSONResponse:
        field = error.option if isinstance(error, OptionError) else None
        wrong = [(f"options.{field}", str(error))] if field else []
        return respond(422, str(error), request.url.path, wrong)

    @app.exception_handler(NotFoundError)
    async def missing(request: Request, error: NotFoundError) -> JSONResponse:
        return respond(404, str(error), request.url.path)

    @app.exception_handler(ConflictError)
    async def conflict(request: Request, error: ConflictError) -> JSONResponse:
        return respond(409, str(error), request.url.path)

    @app.exception_handler(QueueFullError)
    async def full(request: Request, error: QueueFullError) -> JSONResponse:
        return respond(429, str(error), request.url.path, headers={"Retry-After": str(error.retry_after)})


def _methods(app: FastAPI, request: Request) -> set[str]:
    """Return the methods of all routes with this path; the router reports only those of the first."""
    methods: set[str] = set()
    for path, operations in app.openapi()["paths"].items():
        if compile_path(path)[0].match(request.url.path):
            methods.update(name.upper() for name in operations)
    return methods


def _path(item: Mapping[str, Any]) -> str:
    """Join the location of a validation error, without its first word (body, query, ...)."""
    if item["type"] == "json_invalid":  # its location is an offset in the text
        return "body"
    parts = [str(part) for part in item["loc"]]
    inside = parts[1:] if parts and parts[0] in ("body", "query", "path", "header") else parts
    return ".".join(inside) or "body"
