"""Routes for uploaded images, samples, presets and health.

Uploads become assets, identified by a hash of their content. The presets are the lists that the page's form is built
from.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from impasto import __version__
from impasto.errors import OptionError
from impasto.imaging import samples
from impasto.options import recipes
from impasto.options.builtin_recipes import BUILT_IN
from impasto.options.fields import declared
from impasto.regions.segmentation.names import MASK_NAMES, PLACES, drawn_name
from impasto.studio.http.dependencies import COMMON_RESPONSES, PREFIX, StudioDep
from impasto.studio.http.forms import SERVER_OWNED, instant_available
from impasto.studio.http.health import disk_bytes, memory_bytes, torch_loaded
from impasto.studio.http.problems import ProblemError, problem_responses
from impasto.studio.http.uploads import receive
from impasto.studio.http.views import AssetId, AssetView, Cleaned, Health, OptionView, Presets, RecipeView
from impasto.studio.store.records import NotFoundError

router = APIRouter(prefix=PREFIX, responses=COMMON_RESPONSES)


@router.post(
    "/assets",
    status_code=201,
    response_model=AssetView,
    responses=problem_responses(413, 415, 422),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def create_asset(
    request: Request,
    studio: StudioDep,
    name: Annotated[str, Query(max_length=1000, description="the name of the file, for display")] = "",
) -> AssetView:
    """Upload an image as the request body; its format is detected from the first bytes."""
    return AssetView.of(await receive(studio.store, request.stream(), studio.caps, "body", name))


@router.get("/assets", response_model=list[AssetView])
def list_assets(studio: StudioDep) -> list[AssetView]:
    """List the uploaded images, newest first."""
    return [AssetView.of(asset) for asset in studio.store.assets()]


@router.get("/assets/{asset_id}", response_model=AssetView, responses=problem_responses(404, 422))
def read_asset(asset_id: Annotated[AssetId, Path()], studio: StudioDep) -> AssetView:
    """Return the description of an image."""
    return AssetView.of(studio.store.asset(asset_id))


@router.get(
    "/assets/{asset_id}/file",
    response_class=FileResponse,
    responses={
        200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}, "description": "the image"},
        **problem_responses(404, 422),
    },
)
def read_asset_file(asset_id: Annotated[AssetId, Path()], studio: StudioDep) -> FileResponse:
    """Return an image as it was uploaded."""
    asset = studio.store.asset(asset_id)
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    return FileResponse(studio.store.asset_path(asset), media_type=asset.media_type, headers=headers)


@router.delete("/assets", response_model=Cleaned, responses=problem_responses(422))
def delete_unused_assets(
    studio: StudioDep,
    older_than: Annotated[float, Query(ge=0, le=1e9, allow_inf_nan=False, description="seconds")] = 3600.0,
) -> Cleaned:
    """Delete every image that no job uses and that is older than the limit."""
    removed, freed = studio.store.delete_unused_assets(older_than)
    return Cleaned(removed=removed, freed_bytes=freed)


@router.delete("/assets/{asset_id}", status_code=204, responses=problem_responses(404, 409, 422))
def delete_asset(asset_id: Annotated[AssetId, Path()], studio: StudioDep) -> Response:
    """Delete an image that no job uses."""
    studio.store.delete_asset(asset_id)
    return Response(status_code=204)


@router.post(
    "/assets/{asset_id}/masks", status_code=201, response_model=AssetView, responses=problem_responses(404, 422)
)
async def create_mask(
    asset_id: Annotated[AssetId, Path()],
    studio: StudioDep,
    name: Annotated[
        str,
        Query(
            max_length=1000,
            description="person, background, faces, sky ..., or points: 0.4,0.3+0.5,0.6-0.1,0.9",
        ),
    ],
) -> AssetView:
    """Draw a mask of an image, by name or around points, and create an asset from it."""
    try:
        known = drawn_name(name) is not None
    except OptionError as error:
        raise ProblemError(422, str(error), "name") from error
    if not known:
        raise ProblemError(422, f"the mask is {name!r}; choose from: {', '.join(MASK_NAMES)}; or {PLACES}", "name")
    asset = await run_in_threadpool(studio.store.asset, asset_id)
    body = await run_in_threadpool(studio.masks.draw, studio.store.asset_path(asset), name)
    if body is None:
        raise ProblemError(422, f"this image has no {name}; brush the mask instead", "name")
    label = name if name in MASK_NAMES else "selection"
    return AssetView.of(await receive(studio.store, _once(body), studio.caps, "name", f"{label}.png"))


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


@router.post("/samples/{name}", response_model=AssetView, responses=problem_responses(404, 422))
async def create_sample(name: Annotated[str, Path(pattern="^[a-z_]{1,40}$")], studio: StudioDep) -> AssetView:
    """Create an asset from a sample image."""
    if name not in samples.names():
        raise NotFoundError(f"there is no sample {name!r}; choose from: {', '.join(samples.names())}")
    suffix, body = await run_in_threadpool(samples.stored, name)
    return AssetView.of(await receive(studio.store, _once(body), studio.caps, "name", f"{name}{suffix}"))


@router.get("/presets", response_model=Presets)
def list_presets() -> Presets:
    """List the recipes, options and samples for a form."""
    names = [*BUILT_IN, *recipes.own()]
    return Presets(
        recipes=[_recipe(name) for name in names],
        options=_options(),
        samples=list(samples.names()),
        instant=instant_available(),
    )


def _recipe(name: str) -> RecipeView:
    recipe = recipes.get(name)
    return RecipeView(
        name=name,
        summary=recipe.summary,
        source=recipe.source,
        departures=list(recipe.departures),
        settings=dict(recipe.settings),
    )


def _options() -> list[OptionView]:
    return [
        OptionView(
            name=option.name,
            group=option.group,
            type=option.type.__name__,
            default=option.default,
            choices=list(option.closed_choices or ()) or None,
            help=option.facts.get("help", ""),
            low=option.facts.get("low"),
            high=option.facts.get("high"),
            live=bool(option.facts.get("live")),
        )
        for option in declared()
        if option.name not in SERVER_OWNED
    ]


@router.get("/health", response_model=Health)
def health(studio: StudioDep) -> Health:
    """Return the health of the server."""
    workers = studio.health()
    used, free = disk_bytes(studio.store.folder)
    return Health(
        status="ok" if workers["workers"] else "no workers",
        version=__version__,
        memory_bytes=memory_bytes(),
        torch_loaded=torch_loaded(),
        jobs=studio.store.counts(),
        disk_bytes=used,
        disk_free_bytes=free,
        **workers,
    )
