"""Request and response models of the API, for the OpenAPI document.

The models are built from rows of the store and contain no paths, tokens or client addresses.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from impasto.options.choices import Color
from impasto.options.fields import limits
from impasto.studio.http.forms import ASSET_ID, STRICT, OptionsForm
from impasto.studio.store.database import Store
from impasto.studio.store.exports import EXPORT_STATES
from impasto.studio.store.records import (
    Asset,
    Command,
    ExportKind,
    Job,
    PicturePurpose,
    ResultKind,
    State,
    StoredResult,
)

STRENGTH, SCALE, ANGLE = limits("strength"), limits("style_scale"), limits("rotate_style")
AssetId = Annotated[str, Field(pattern=ASSET_ID, description="SHA-256 of the image's bytes")]


class StylePart(BaseModel):
    """A style and its weight in the blend."""

    model_config = STRICT

    asset: AssetId
    weight: float = Field(default=1.0, gt=0.0, le=1000.0)


class Region(BaseModel):
    """A region of the content with its own style."""

    model_config = STRICT

    mask: AssetId = Field(description="a mask: white inside the region")
    asset: AssetId = Field(description="the style; SHA-256 of its bytes")
    name: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]{0,30}$", description="steered as style:NAME")
    strength: float | None = Field(
        default=None, ge=STRENGTH[0], le=STRENGTH[1], description="default: the option of the run"
    )
    scale: float | None = Field(
        default=None, ge=SCALE[0], le=SCALE[1], description="scale of the style image; default: the option of the run"
    )
    rotate: float | None = Field(default=None, ge=ANGLE[0], le=ANGLE[1], description="degrees counterclockwise")
    color: Color | None = Field(default=None, description="default: the option of the run")


class NewJob(BaseModel):
    """The request for a job."""

    model_config = STRICT

    content: AssetId
    styles: list[StylePart] = Field(default=[], max_length=8, description="the styles outside all regions")
    regions: list[Region] = Field(default=[], max_length=8)
    protect: AssetId | None = Field(default=None, description="a mask: white where the content is kept")
    purpose: PicturePurpose = "picture"
    options: OptionsForm = Field(default_factory=OptionsForm)  # type: ignore[valid-type]

    @model_validator(mode="after")
    def painted(self) -> Self:
        """Reject a request without any style, and regions that share a name."""
        if not self.styles and not self.regions:
            raise ValueError("no style is given: add one to 'styles' or to 'regions'")
        names = [region.name or f"region_{number}" for number, region in enumerate(self.regions, 1)]
        if len(set(names)) < len(names):
            raise ValueError("two regions have the same name: rename one")
        return self

    def pictures(self) -> dict[str, object]:
        """Return the asset ids by role, as the store expects them."""
        return {
            "content": self.content,
            "styles": [style.model_dump() for style in self.styles],
            "regions": [
                {"name": f"region_{number}", **region.model_dump(exclude_none=True)}
                for number, region in enumerate(self.regions, 1)
            ],
            "masks": {"protect": self.protect} if self.protect else {},
        }

    def assets(self) -> list[str]:
        """Return every asset id of the request."""
        parts = [part for region in self.regions for part in (region.mask, region.asset)]
        return [self.content, *(style.asset for style in self.styles), *parts, *filter(None, [self.protect])]


class AssetView(BaseModel):
    """An uploaded image."""

    id: str
    media_type: str
    size: int = Field(description="bytes")
    width: int
    height: int
    created: float = Field(description="seconds since 1970")
    name: str = Field(description="name of the file that was last uploaded with these bytes, or empty")

    @classmethod
    def of(cls, asset: Asset) -> AssetView:
        """Return the view of an asset."""
        return cls(**{name: getattr(asset, name) for name in cls.model_fields})


class ResultView(BaseModel):
    """A stored image of a job."""

    step: int
    kind: ResultKind
    media_type: str
    size: int = Field(description="bytes")
    width: int
    height: int

    @classmethod
    def of(cls, result: StoredResult) -> ResultView:
        """Return the view of a result."""
        return cls(**{name: getattr(result, name) for name in cls.model_fields})


class JobView(BaseModel):
    """A job in a list."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    id: str
    number: int
    purpose: PicturePurpose
    state: State
    target_state: Literal["run", "pause", "stop", "cancel"]
    content: str
    styles: list[dict[str, Any]]
    regions: list[dict[str, Any]]
    protect: str | None
    options: dict[str, Any]
    steering: dict[str, float]
    created: float
    started: float | None
    ended: float | None
    step: int
    total_steps: int | None
    stopped: bool
    failures: int
    error: str | None
    last_event: int
    disk_bytes: int = 0
    queue_position: int | None = None

    @classmethod
    def of(cls, job: Job, store: Store) -> JobView:
        """Return the view of a job."""
        return cls.several([job], store)[0]

    @classmethod
    def several(cls, jobs: list[Job], store: Store) -> list[JobView]:
        """Return the views of several jobs with two queries in total."""
        sizes = store.sizes([job.id for job in jobs])
        waiting = store.waiting() if any(job.state == "queued" for job in jobs) else {}
        return [cls(**_shown(job), disk_bytes=sizes.get(job.id, 0), queue_position=waiting.get(job.id)) for job in jobs]


class JobDetail(JobView):
    """A job with its results, record and traceback."""

    traceback: str | None = None
    record: dict[str, Any] | None = None
    results: list[ResultView] = []

    @classmethod
    def of(cls, job: Job, store: Store) -> JobDetail:
        """Return the detailed view of a job."""
        results = [ResultView.of(result) for result in store.results(job.id)]
        view = JobView.of(job, store).model_dump()
        return cls(**view, traceback=job.traceback, record=job.record, results=results)


class ExportView(BaseModel):
    """The state of a timelapse or a report."""

    kind: ExportKind
    state: Literal["waiting", "making", "ready", "failed"]
    error: str | None
    size: int = Field(description="bytes")

    @classmethod
    def of(cls, export: Job, store: Store) -> ExportView:
        """Return the view of an export."""
        size = sum(result.size for result in store.results(export.id))
        view = {"kind": export.purpose, "state": EXPORT_STATES[export.state], "error": export.error, "size": size}
        return cls.model_validate(view)


class Estimate(BaseModel):
    """The estimated time of the same run at a different size."""

    width: int
    height: int
    steps: int
    seconds: float | None = Field(description="null if no step was timed: a feed-forward run, or not started")


class Cleaned(BaseModel):
    """The result of a clean-up."""

    removed: int
    freed_bytes: int


class JobList(BaseModel):
    """A page of the history."""

    jobs: list[JobView]
    next_before: int | None = Field(description="pass it as 'before' for the next page; null at the end")


class Health(BaseModel):
    """The health of the server."""

    status: Literal["ok", "no workers"]
    version: str
    memory_bytes: int
    torch_loaded: bool
    page: Literal["loading", "ready", "failed", "off"]
    workers: int
    restarts: int
    jobs: dict[str, int]
    disk_bytes: int
    disk_free_bytes: int


class RecipeView(BaseModel):
    """A recipe."""

    name: str
    summary: str
    source: str
    departures: list[str]
    settings: dict[str, Any]


class OptionView(BaseModel):
    """An option, as a form needs it."""

    name: str
    group: str
    type: str
    default: Any
    choices: list[Any] | None
    help: str
    low: float | None
    high: float | None
    live: bool


class Presets(BaseModel):
    """All recipes, options and samples."""

    recipes: list[RecipeView]
    options: list[OptionView]
    samples: list[str]
    instant: bool = Field(description="whether the weights of the feed-forward network are installed")


def _shown(job: Job) -> dict[str, Any]:
    """Return the public fields of a job."""
    shown = {name: getattr(job, name) for name in JobView.model_fields if hasattr(job, name)}
    pictures = job.pictures
    protect = pictures.get("masks", {}).get("protect")
    parts = {part: pictures.get(part, []) for part in ("styles", "regions")}
    return {**shown, "content": pictures.get("content", ""), **parts, "protect": protect}


COMMANDS: tuple[Command, ...] = ("pause", "resume", "stop", "cancel", "snapshot")
