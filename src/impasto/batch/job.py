"""One image of a batch: which images, which options, and where the result goes.

Input: paths and options by flat name. Output: a ``Job``, and the ``Options`` that it is painted with. ``pinned`` are
the options that decide bytes and that a single run takes from the machine: the number of threads and the precision. A
batch sets them once, so that its images do not depend on how many workers there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from impasto.errors import OptionError
from impasto.options import recipes
from impasto.options.fields import Machine, Options
from impasto.options.layer_names import check_layers
from impasto.options.option_fields import OptionFields
from impasto.options.sizes import parse_size
from impasto.options.validation import parse_weights

PINNED = ("threads", "precision")


@dataclass(frozen=True)
class Job:
    """One image to paint.

    Args:
        content: path of the photograph, with a crop as in ``photo.jpg#x,y,width,height`` if one is wanted.
        styles: paintings as ``iter_stylize`` takes them as text; several are blended, none is for a trained network.
        output: path of the result below the folder of the batch, as ``landscapes/lake_waves.png``.
        options: options by flat name, without those that keep their defaults.
        protect: a mask of what stays unchanged, a file or a name such as ``faces``.
        style_only: a mask of what is painted.
    """

    content: str
    styles: tuple[str, ...]
    output: str
    options: Mapping[str, Any] = field(default_factory=dict)
    protect: str | None = None
    style_only: str | None = None

    @property
    def group(self) -> str:
        """What jobs have in common that are painted one after the other: the paintings and the options."""
        return repr((self.styles, self.protect, self.style_only, sorted(self.options.items())))


def by_painting(jobs: Iterable[Job]) -> list[Job]:
    """Return jobs grouped by painting and options, otherwise in their order."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.group, []).append(job)
    return [job for group in groups.values() for job in group]


class OptionTable:
    """The options of jobs, resolved once for all jobs that have the same.

    Args:
        pinned: options that are set for every job that does not set them itself.
    """

    def __init__(self, pinned: Mapping[str, object] | None = None) -> None:
        self.pinned = dict(pinned or {})
        self._known: dict[str, Options] = {}
        self._flat: dict[str, dict[str, Any]] = {}

    def of(self, job: Job) -> Options:
        """Return the options of a job.

        Raises:
            OptionError: a name is unknown, a value is not allowed, or there is no painting.
        """
        key = _key(job)
        if key not in self._known:
            self._known[key] = _checked(recipes.resolve(**cast(OptionFields, {**self.pinned, **job.options})))
        options = self._known[key]
        if not job.styles and options.feed_forward.model is None:
            raise OptionError(f"{job.content!r} has no painting: pass one with --style, or --model", "style")
        return options

    def flat(self, job: Job) -> dict[str, object]:
        """Return the options of a job by flat name, one dictionary for all jobs that have the same."""
        key = _key(job)
        if key not in self._flat:
            self._flat[key] = dict(self.of(job).flat())
        return self._flat[key]


def _checked(options: Options) -> Options:
    """Return options whose size and layers, which a run checks with its images, can be used."""
    parse_size(options.output.size, options.output.dpi)
    for name in ("style_layers", "content_layers"):
        layers = getattr(options.features, name)
        if layers is not None:
            check_layers(parse_weights(layers, name), options.features.network, option=name)
    return options


def _key(job: Job) -> str:
    return repr(sorted(job.options.items()))


def pinned_options(jobs: Iterable[Job], threads: int) -> dict[str, Any]:
    """Return what a batch pins: the threads, and float32 if ``auto`` measures bfloat16 as slow on this machine.

    Args:
        jobs: jobs that set an option themselves do not need it pinned.
        threads: CPU threads of one worker.
    """
    open_options = [set(PINNED) - set(job.options) for job in jobs]
    pinned: dict[str, Any] = {}
    if any("threads" in names for names in open_options):
        pinned["threads"] = threads
    if any("precision" in names for names in open_options):
        from impasto.runtime.device import has_fast_bf16, resolve_device

        machine = resolve_device(Machine())
        if has_fast_bf16(machine.device) and machine.precision == "fp32":
            pinned["precision"] = "fp32"
    return pinned
