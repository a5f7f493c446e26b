"""Routes for jobs: create, list, steer, command and follow them, and download their images.

The routes read and write the store; nothing is computed here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from fastapi.sse import EventSourceResponse

from impasto.studio.http.dependencies import COMMON_RESPONSES, PREFIX, StudioDep
from impasto.studio.http.forms import Steer, validated_options
from impasto.studio.http.preflight import preflight
from impasto.studio.http.problems import problem_responses
from impasto.studio.http.stream import EventTail
from impasto.studio.http.views import COMMANDS, JobDetail, JobList, JobView, NewJob, ResultView
from impasto.studio.store.event_codec import KINDS
from impasto.studio.store.records import Command, NotFoundError, PicturePurpose, State, StoredResult

router = APIRouter(prefix=f"{PREFIX}/jobs", responses=COMMON_RESPONSES)
JobId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]


@router.post("", status_code=201, response_model=JobView, responses=problem_responses(404, 422, 429))
def create_job(new_job: NewJob, request: Request, response: Response, studio: StudioDep) -> JobView:
    """Queue a job for uploaded images."""
    options = validated_options(new_job.options)
    preflight(new_job, options, studio.store)
    client = request.client.host if request.client else "unknown"
    pictures, assets = new_job.pictures(), new_job.assets()
    job = studio.store.create_job(client, pictures, assets, options, studio.limits, new_job.purpose)
    response.headers["Location"] = f"{PREFIX}/jobs/{job.id}"
    return JobView.of(job, studio.store)


@router.get("", response_model=JobList, responses=problem_responses(422))
def list_jobs(
    studio: StudioDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    before: Annotated[int | None, Query(ge=1, le=2**53, description="only jobs with a lower number")] = None,
    state: State | None = None,
    purpose: PicturePurpose | None = None,
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
    """Delete a job and its images, running or not."""
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
        "Stop a job and keep its image",
        "Cancel a job without an image",
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
    return EventSourceResponse(
        tail.follow(job_id, known),
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get("/{job_id}/results", response_model=list[ResultView], responses=problem_responses(404, 422))
def list_results(job_id: JobId, studio: StudioDep) -> list[ResultView]:
    """List the stored images of a job, by step."""
    studio.store.job(job_id)
    return [ResultView.of(result) for result in studio.store.results(job_id)]


@router.get(
    "/{job_id}/results/{step}",
    response_class=FileResponse,
    responses={
        200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}, "description": "the image"},
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
    """Return the image of a job at a step."""
    job = studio.store.job(job_id)
    result = _chosen(studio.store.results(job_id), step, kind)
    path = studio.store.job_folder(job_id) / result.file
    if not path.is_file():
        raise NotFoundError(f"the image of step {result.step} was deleted")
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
        raise NotFoundError(f"the job has no {kind or 'image'} at step {step}")
    return max(matching, key=lambda result: (result.step, rank.index(result.kind)))
