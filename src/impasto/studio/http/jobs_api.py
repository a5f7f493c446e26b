"""Routes for jobs: create, list, steer, command and follow them, and download their pictures.

In: requests. Out: rows of the store, event streams, files. Nothing is computed here.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from impasto.studio.http.dependencies import COMMON_RESPONSES, PREFIX, Studio, StudioDep
from impasto.studio.http.forms import Steer, validated_options
from impasto.studio.http.preflight import preflight
from impasto.studio.http.problems import ProblemError, problem_responses
from impasto.studio.http.stream import EventTail
from impasto.studio.http.uploads import receive
from impasto.studio.http.views import COMMANDS, JobDetail, JobList, JobView, NewJob, ResultView
from impasto.studio.store.event_codec import KINDS
from impasto.studio.store.records import Command, NotFoundError, Purpose, State, StoredResult

router = APIRouter(prefix=f"{PREFIX}/jobs", responses=COMMON_RESPONSES)
JobId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]

_MULTIPART = {
    "type": "object",
    "required": ["content"],
    "properties": {
        "content": {"type": "string", "format": "binary", "description": "a picture, or an asset id"},
        "style": {"type": "array", "items": {"type": "string", "format": "binary"}, "maxItems": 8},
        "weight": {
            "type": "array",
            "items": {"type": "number", "exclusiveMinimum": 0, "maximum": 1000},
            "maxItems": 8,
            "description": "each style's part in the blend, in the same order; all alike if absent",
        },
        "region_mask": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "maxItems": 8,
            "description": "masks; each goes with the region_style of the same place",
        },
        "region_style": {"type": "array", "items": {"type": "string", "format": "binary"}, "maxItems": 8},
        "protect": {"type": "string", "format": "binary", "description": "a mask: where it is white the content stays"},
        "options": {"type": "string", "description": "JSON, as 'options' of the other form"},
    },
}


@router.post(
    "",
    status_code=201,
    response_model=JobView,
    responses=problem_responses(404, 413, 415, 422, 429),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/NewJob"}},
                "multipart/form-data": {"schema": _MULTIPART},
            },
        }
    },
)
async def create_job(request: Request, response: Response, studio: StudioDep) -> JobView:
    """Queue a job, from pictures in a form or from assets."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        new_job = _parsed(NewJob, await request.body())
    elif kind == "multipart/form-data":
        async with request.form(max_files=26, max_fields=40, max_part_size=1 << 16) as form:
            new_job = await _from_form(form, studio)
    else:
        raise ProblemError(415, "send application/json or multipart/form-data")
    options = validated_options(new_job.options)
    client = request.client.host if request.client else "unknown"

    def create() -> JobView:
        preflight(new_job, options, studio.store)
        job = studio.store.create_job(
            client, new_job.pictures(), new_job.assets(), options, studio.limits, new_job.purpose
        )
        return JobView.of(job, studio.store)

    view = await run_in_threadpool(create)
    response.headers["Location"] = f"{PREFIX}/jobs/{view.id}"
    return view


def _parsed(model: type[NewJob], body: bytes) -> NewJob:
    """Read a body that FastAPI did not, with the same problem documents."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in error.errors()]) from error


async def _from_form(form: FormData, studio: Studio) -> NewJob:
    """Store a form's pictures and read its options."""
    parts = {name: form.getlist(name) for name in ("content", "style", "region_mask", "region_style", "protect")}
    if not parts["content"]:
        raise ProblemError(422, "the form has no content", "content")
    if not parts["style"] and not parts["region_style"]:
        raise ProblemError(422, "the form has no style", "style")
    for name, most in (("content", 1), ("style", 8), ("region_mask", 8), ("protect", 1)):
        if len(parts[name]) > most:
            raise ProblemError(422, f"the form has {len(parts[name])} of {name}, at most {most} can be given", name)
    if len(parts["region_mask"]) != len(parts["region_style"]):
        raise ProblemError(422, "give as many region_style as region_mask: they go in pairs", "region_style")
    weights = [_number(value) for value in form.getlist("weight")]
    if weights and len(weights) != len(parts["style"]):
        raise ProblemError(422, f"{len(weights)} weights for {len(parts['style'])} styles: give one for each", "weight")
    try:
        options = json.loads(str(form.get("options") or "{}"))
    except ValueError as error:
        raise ProblemError(422, f"options is not JSON: {error}", "options") from error
    ids = {name: [await _asset_of(value, name, studio) for value in values] for name, values in parts.items()}
    new_job: dict[str, Any] = {"content": ids["content"][0], "options": options}
    new_job["styles"] = [{"asset": asset} for asset in ids["style"]]
    for style, weight in zip(new_job["styles"], weights, strict=False):
        style["weight"] = weight
    pairs = zip(ids["region_mask"], ids["region_style"], strict=True)
    new_job["regions"] = [{"mask": mask, "asset": asset} for mask, asset in pairs]
    if ids["protect"]:
        new_job["protect"] = ids["protect"][0]
    return _parsed(NewJob, json.dumps(new_job).encode())


def _number(value: UploadFile | str) -> float:
    """Read a form's number."""
    try:
        number = float(str(value))
    except ValueError as error:
        raise ProblemError(422, f"weight is {str(value)[:40]!r}: give a number", "weight") from error
    if not math.isfinite(number):
        raise ProblemError(422, "weight is not finite: give a number", "weight")
    return number


async def _asset_of(value: UploadFile | str, name: str, studio: Studio) -> str:
    """Store a form's file, or take its text for an asset id."""
    if isinstance(value, str):
        return value

    async def chunks() -> AsyncIterator[bytes]:
        while chunk := await value.read(1 << 16):
            yield chunk

    return (await receive(studio.store, chunks(), studio.caps, name, value.filename or "")).id


@router.get("", response_model=JobList, responses=problem_responses(422))
def list_jobs(
    studio: StudioDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    before: Annotated[int | None, Query(ge=1, le=2**53, description="only jobs with a lower number")] = None,
    state: State | None = None,
    purpose: Purpose | None = None,
) -> Response:
    """List the jobs, newest first."""
    jobs = studio.store.jobs(limit, before, state, purpose, brief=True)
    last = jobs[-1].number if len(jobs) == limit else None
    listed = JobList(jobs=JobView.several(jobs, studio.store), next_before=last)
    # Serialized here, because the framework would validate a thousand jobs a second time.
    return Response(listed.model_dump_json(), media_type="application/json")


@router.get("/{job_id}", response_model=JobDetail, responses=problem_responses(404, 422))
def read_job(job_id: JobId, studio: StudioDep) -> JobDetail:
    """Return a job with its results and its record."""
    return JobDetail.of(studio.store.job(job_id), studio.store)


@router.patch("/{job_id}", response_model=JobView, responses=problem_responses(404, 409, 422))
def steer_job(job_id: JobId, steer: Steer, studio: StudioDep) -> JobView:  # type: ignore[valid-type]
    """Change live options of a job, now or when it starts."""
    return JobView.of(studio.store.command(job_id, "set", steer.amounts()), studio.store)  # type: ignore[attr-defined]


@router.delete("/{job_id}", status_code=204, responses=problem_responses(404, 422))
def delete_job(job_id: JobId, studio: StudioDep) -> Response:
    """Delete a job and its pictures, running or not."""
    studio.store.delete_job(job_id)
    return Response(status_code=204)


def _add_order(name: Command, text: str) -> None:
    """Add the route of a command."""

    @router.post(
        f"/{{job_id}}/{name}",
        response_model=JobView,
        responses=problem_responses(404, 409, 422),
        summary=text,
        operation_id=f"{name}_job",
    )
    def order(job_id: JobId, studio: StudioDep) -> JobView:
        return JobView.of(studio.store.command(job_id, name), studio.store)


for _name, _text in zip(
    COMMANDS,
    (
        "Pause a job; its worker keeps it while no other job waits",
        "Resume a paused job",
        "Stop a job and keep its picture",
        "Cancel a job without a picture",
        "Save a snapshot of the current step",
    ),
    strict=True,
):
    _add_order(_name, _text)


_EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string", "description": "number of the event, to be sent back as Last-Event-ID"},
        "event": {"enum": [*KINDS, "deleted"]},
        "data": {"type": "string", "description": "JSON"},
    },
}


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {"schema": _EVENT}}, "description": "the events after the given number"},
        204: {"description": "the job has ended and all its events are known"},
        **problem_responses(404, 422),
    },
)
async def follow_job(
    job_id: JobId,
    request: Request,
    studio: StudioDep,
    after: Annotated[int, Query(ge=0, le=2**53, description="number of the last known event")] = 0,
    last_event_id: Annotated[
        str | None, Header(pattern=r"^\d{1,15}$", description="the same, as browsers send it")
    ] = None,
) -> Response:
    """Stream the events of a job as server-sent events; a lost connection resumes after its last number."""
    known = int(last_event_id) if last_event_id is not None else after
    job = studio.store.job(job_id)
    if job.over and known >= job.last_event:
        return Response(status_code=204)  # the only status after which a browser does not reconnect
    tail: EventTail = request.app.state.tail
    return StreamingResponse(
        tail.follow(job_id, known),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get("/{job_id}/results", response_model=list[ResultView], responses=problem_responses(404, 422))
def list_results(job_id: JobId, studio: StudioDep) -> list[ResultView]:
    """List the stored pictures of a job, by step."""
    studio.store.job(job_id)
    return [ResultView.of(result) for result in studio.store.results(job_id)]


@router.get(
    "/{job_id}/results/{step}",
    response_class=FileResponse,
    responses={
        200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}, "description": "the picture"},
        **problem_responses(404, 422),
    },
)
def read_result(
    job_id: JobId,
    step: Annotated[str, Path(pattern=r"^(\d{1,9}|latest|final)$", description="a step, 'latest' or 'final'")],
    studio: StudioDep,
    kind: Literal["preview", "snapshot", "final"] | None = None,
    download: bool = False,
) -> FileResponse:
    """Return the picture of a job at a step."""
    job = studio.store.job(job_id)
    result = _chosen(studio.store.results(job_id), step, kind)
    path = studio.store.job_folder(job_id) / result.file
    if not path.is_file():
        raise NotFoundError(f"the picture of step {result.step} was deleted")
    name = f"impasto-{job.number}-{result.step}{path.suffix}" if download else None
    headers = {"Cache-Control": "private, no-cache"}
    return FileResponse(path, media_type=result.media_type, filename=name, headers=headers)


def _chosen(results: list[StoredResult], step: str, kind: str | None) -> StoredResult:
    """Choose a result; of several at one step, final before snapshot before preview."""
    if step == "final":
        kind = "final"
    rank = ("preview", "snapshot", "final")
    matching = [
        result
        for result in results
        if (kind is None or result.kind == kind) and (not step.isdigit() or result.step == int(step))
    ]
    if not matching:
        raise NotFoundError(f"the job has no {kind or 'picture'} at step {step}")
    return max(matching, key=lambda result: (result.step, rank.index(result.kind)))
