"""Routes for finished jobs: an estimate for a different size, the timelapse, the report.

The files are written by a worker.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import FileResponse

from impasto.studio.http.dependencies import COMMON_RESPONSES, PREFIX, StudioDep
from impasto.studio.http.estimate import estimate
from impasto.studio.http.problems import problem_responses
from impasto.studio.http.views import Estimate, ExportView
from impasto.studio.store import exports
from impasto.studio.store.records import ConflictError, ExportKind, NotFoundError

router = APIRouter(prefix=f"{PREFIX}/jobs", responses=COMMON_RESPONSES)
JobId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]


@router.get("/{job_id}/estimate", response_model=Estimate, responses=problem_responses(404, 422))
def estimate_job(
    job_id: JobId,
    studio: StudioDep,
    long_side: Annotated[int, Query(ge=16, le=20_000, description="px")],
) -> Estimate:
    """Estimate the time of the same settings at a different size."""
    return estimate(studio.store, studio.store.job(job_id), long_side)


@router.post(
    "/{job_id}/exports/{kind}", status_code=202, response_model=ExportView, responses=problem_responses(404, 409, 422)
)
def create_export(job_id: JobId, kind: ExportKind, studio: StudioDep) -> ExportView:
    """Request the timelapse or the report of a finished job; an existing one is not written again."""
    return ExportView.of(exports.request(studio.store, job_id, kind), studio.store)


@router.get("/{job_id}/exports/{kind}", response_model=ExportView, responses=problem_responses(404, 422))
def read_export(job_id: JobId, kind: ExportKind, studio: StudioDep) -> ExportView:
    """Return the state of a timelapse or a report."""
    return ExportView.of(exports.get(studio.store, job_id, kind), studio.store)


@router.get(
    "/{job_id}/exports/{kind}/file",
    response_class=FileResponse,
    responses={
        200: {
            "content": {
                "video/mp4": {"schema": {"type": "string", "format": "binary"}},
                "text/html": {"schema": {"type": "string"}},
            },
            "description": "the timelapse or the report, as a download",
        },
        **problem_responses(404, 409, 422),
    },
)
def read_export_file(job_id: JobId, kind: ExportKind, studio: StudioDep) -> FileResponse:
    """Download a timelapse or a report that is ready."""
    export = exports.get(studio.store, job_id, kind)
    if export.state != "done":
        raise ConflictError(f"the {kind} is not ready: it is {exports.EXPORT_STATES[export.state]}")
    (written,) = studio.store.results(export.id)
    path = studio.store.job_folder(job_id) / written.file
    if not path.is_file():
        raise NotFoundError(f"the file of the {kind} was deleted")
    name = f"impasto-{studio.store.job(job_id).number}-{kind}{path.suffix}"
    return FileResponse(path, media_type=written.media_type, filename=name)
