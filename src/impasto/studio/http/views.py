"""What the API shows of the store, as models for the OpenAPI document.

In: the store's rows. Out: pydantic models; paths, tokens and other visitors' addresses stay inside.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from impasto.options.fields import Color
from impasto.studio.http.forms import ASSET_ID, STRICT, OptionsForm
from impasto.studio.store.database import Store
from impasto.studio.store.records import (
    Asset,
    Command,
    Export,
    ExportKind,
    Job,
    Purpose,
    ResultKind,
    State,
    StoredResult,
)

AssetId = Annotated[str, Field(pattern=ASSET_ID, description="SHA-256 of the picture's bytes")]


class StylePart(BaseModel):
    """One style and its share in the blend."""

    model_config = STRICT

    asset: AssetId
    weight: float = Field(default=1.0, gt=0.0, le=1000.0)


class Region(BaseModel):
    """A part of the content that is painted like a painting of its own."""

    model_config = STRICT

    mask: AssetId = Field(description="a picture: where it is white the region is")
    asset: AssetId = Field(description="the painting; SHA-256 of its bytes")
    name: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]{0,30}$", description="steered as style:NAME")
    strength: float | None = Field(default=None, ge=0.0, le=1.0, description="the run's own if absent")
    scale: float | None = Field(default=None, ge=0.05, le=8.0, description="size of strokes; the run's own if absent")
    rotate: float | None = Field(default=None, ge=-360.0, le=360.0, description="degrees counter-clockwise")
    color: Color | None = Field(default=None, description="the run's own if absent")


class NewJob(BaseModel):
    """A job as it is asked for."""

    model_config = STRICT

    content: AssetId
    styles: list[StylePart] = Field(default=[], max_length=8, description="what no region takes is painted like these")
    regions: list[Region] = Field(default=[], max_length=8)
    protect: AssetId | None = Field(default=None, description="a mask: where it is white the content stays")
    purpose: Purpose = "picture"
    options: OptionsForm = Field(default_factory=OptionsForm)  # type: ignore[valid-type]

    @model_validator(mode="after")
    def painted(self) -> Self:
        """Refuse a wish without any style, and regions that share a name."""
        if not self.styles and not self.regions:
            raise ValueError("no style is given: name a painting in 'styles', or one for each of 'regions'")
        names = [region.name or f"region_{number}" for number, region in enumerate(self.regions, 1)]
        if len(set(names)) < len(names):
            raise ValueError("two regions have the same name: give each its own")
        return self

    def pictures(self) -> dict[str, Any]:
        """Return which asset plays which part, as a job is stored with."""
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
        """Return every asset that the wish names."""
        parts = [part for region in self.regions for part in (region.mask, region.asset)]
        return [self.content, *(style.asset for style in self.styles), *parts, *filter(None, [self.protect])]


class AssetView(BaseModel):
    """A picture that was uploaded."""

    id: str
    media_type: str
    size: int = Field(description="bytes")
    width: int
    height: int
    created: float = Field(description="seconds since 1970")
    name: str = Field(description="of the file that was uploaded last with these bytes; empty if it had none")

    @classmethod
    def of(cls, asset: Asset) -> AssetView:
        """Show an asset."""
        return cls(**{name: getattr(asset, name) for name in cls.model_fields})


class ResultView(BaseModel):
    """A picture that a job left behind."""

    step: int
    kind: ResultKind
    media_type: str
    size: int = Field(description="bytes")
    width: int
    height: int

    @classmethod
    def of(cls, result: StoredResult) -> ResultView:
        """Show a result."""
        return cls(**{name: getattr(result, name) for name in cls.model_fields})


class JobView(BaseModel):
    """A job in a list."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    id: str
    number: int
    purpose: Purpose
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
        """Show a job."""
        return cls.several([job], store)[0]

    @classmethod
    def several(cls, jobs: list[Job], store: Store) -> list[JobView]:
        """Show jobs, what they share looked up once."""
        sizes = store.sizes([job.id for job in jobs])
        waiting = store.waiting() if any(job.state == "queued" for job in jobs) else {}
        return [cls(**_shown(job), disk_bytes=sizes.get(job.id, 0), queue_position=waiting.get(job.id)) for job in jobs]


class JobDetail(JobView):
    """A job by itself."""

    traceback: str | None = None
    record: dict[str, Any] | None = None
    results: list[ResultView] = []

    @classmethod
    def of(cls, job: Job, store: Store) -> JobDetail:
        """Show all of a job."""
        results = [ResultView.of(result) for result in store.results(job.id)]
        view = JobView.of(job, store).model_dump()
        return cls(**view, traceback=job.traceback, record=job.record, results=results)


class ExportView(BaseModel):
    """How far a film or a report has come."""

    kind: ExportKind
    state: Literal["waiting", "making", "ready", "failed"]
    error: str | None
    size: int = Field(description="bytes")

    @classmethod
    def of(cls, export: Export) -> ExportView:
        """Show an export."""
        return cls(**{name: getattr(export, name) for name in cls.model_fields})


class Estimate(BaseModel):
    """What the same run would take at another size, judged by how long its steps took."""

    width: int
    height: int
    steps: int
    seconds: float | None = Field(description="null where nothing was timed: a run of instant mode, or not begun")


class Cleaned(BaseModel):
    """What a clean-up came to."""

    removed: int
    freed_bytes: int


class JobList(BaseModel):
    """A page of the history."""

    jobs: list[JobView]
    next_before: int | None = Field(description="give it as 'before' for the next page; null at the end")


class Health(BaseModel):
    """How the server is."""

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
    """A preset."""

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
    """Everything that can be chosen."""

    recipes: list[RecipeView]
    options: list[OptionView]
    samples: list[str]
    instant: bool = Field(description="whether the weights of instant mode are here")


def _shown(job: Job) -> dict[str, Any]:
    """Pick what everybody may see."""
    shown = {name: getattr(job, name) for name in JobView.model_fields if hasattr(job, name)}
    pictures = job.pictures
    protect = pictures.get("masks", {}).get("protect")
    parts = {part: pictures.get(part, []) for part in ("styles", "regions")}
    return {**shown, "content": pictures.get("content", ""), **parts, "protect": protect}


COMMANDS: tuple[Command, ...] = ("pause", "resume", "stop", "cancel", "snapshot")
