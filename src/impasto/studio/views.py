"""What the API shows of the store, as models for the OpenAPI document.

In: the store's rows. Out: pydantic models; paths, tokens and other visitors' addresses stay inside.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from impasto.studio.forms import ASSET_ID, STRICT, OptionsForm
from impasto.studio.rows import Asset, Job, Order, Purpose, ResultKind, State, StoredResult
from impasto.studio.store import Store

AssetId = Annotated[str, Field(pattern=ASSET_ID, description="SHA-256 of the picture's bytes")]


class StylePart(BaseModel):
    """One style and its share in the blend."""

    model_config = STRICT

    asset: AssetId
    weight: float = Field(default=1.0, gt=0.0, le=1000.0)


class NewJob(BaseModel):
    """A job as it is asked for."""

    model_config = STRICT

    content: AssetId
    styles: list[StylePart] = Field(min_length=1, max_length=8)
    protect: AssetId | None = Field(default=None, description="a mask: where it is white the content stays")
    purpose: Purpose = "picture"
    options: OptionsForm = Field(default_factory=OptionsForm)  # type: ignore[valid-type]


class AssetView(BaseModel):
    """A picture that was uploaded."""

    id: str
    media_type: str
    size: int = Field(description="bytes")
    width: int
    height: int
    created: float = Field(description="seconds since 1970")

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
    wanted: Literal["run", "pause", "stop", "cancel"]
    content: str
    styles: list[dict[str, Any]]
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
    queue_position: int | None = None

    @classmethod
    def of(cls, job: Job, store: Store) -> JobView:
        """Show a job."""
        return cls(**_shown(job), queue_position=store.queue_position(job))


class JobDetail(JobView):
    """A job by itself."""

    traceback: str | None = None
    record: dict[str, Any] | None = None
    results: list[ResultView] = []
    disk_bytes: int = 0

    @classmethod
    def of(cls, job: Job, store: Store) -> JobDetail:
        """Show all of a job."""
        results = [ResultView.of(result) for result in store.results(job.id)]
        return cls(
            **_shown(job),
            queue_position=store.queue_position(job),
            traceback=job.traceback,
            record=job.record,
            results=results,
            disk_bytes=sum(result.size for result in results),
        )


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


def _shown(job: Job) -> dict[str, Any]:
    """Pick what everybody may see."""
    shown = {name: getattr(job, name) for name in JobView.model_fields if hasattr(job, name)}
    pictures = job.pictures
    protect = pictures.get("masks", {}).get("protect")
    return {**shown, "content": pictures.get("content", ""), "styles": pictures.get("styles", []), "protect": protect}


ORDERS: tuple[Order, ...] = ("pause", "resume", "stop", "cancel", "snapshot")
