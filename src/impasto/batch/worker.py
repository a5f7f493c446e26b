"""What a worker does: paint tasks one after another, creating what they share only once.

The network stays loaded, also that of ``--fast`` and ``--model``, and the paintings of the last task stay decoded. What
a run decides by its content, such as whether bfloat16 is precise enough, is decided again for every image, so that its
bytes are those of a single run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impasto.api import Inputs, iter_run
from impasto.batch.executor import Task
from impasto.events import Event, Planned, Stepped
from impasto.files import file_sha256
from impasto.imaging.images import DecodeLimits
from impasto.options.fields import Options
from impasto.regions.spec import RegionSpec
from impasto.run.result import Result
from impasto.run.target_cache import TargetCache


@dataclass
class WarmPainter:
    """Paints tasks with a network that stays loaded.

    Args:
        cache: networks and targets; tests pass one with random weights.
    """

    cache: TargetCache = field(default_factory=TargetCache)
    _painting: tuple[Any, RegionSpec] | None = None

    def __call__(self, task: Task, report: Callable[[float], None]) -> str:
        """Paint a task, save the result and return the SHA-256 of the file.

        Args:
            task: the task.
            report: called with the fraction of the steps that are done.

        Raises:
            ImpastoError: the task cannot be painted.
        """
        options = Options.of(**task.options)
        output = Path(task.output)
        self.cache.bf16_cosine.clear()
        _follow(iter_run(self._inputs(task, options), options, output=output, cache=self.cache), report)
        return file_sha256(output)

    def _inputs(self, task: Task, options: Options) -> Inputs:
        """Return the images of a task, with paintings that are decoded already where they are the last task's."""
        inputs = Inputs(task.content, list(task.styles) or None, protect=task.protect, style_only=task.style_only)
        if options.feed_forward.model is not None:
            return inputs
        limits = DecodeLimits.of(options.output)
        key = (task.styles, task.protect, task.style_only, limits)
        if self._painting is None or self._painting[0] != key:
            self._painting = key, inputs.region_spec(limits)
        return Inputs(task.content, self._painting[1])


def _follow(events: Iterator[Event[Result]], report: Callable[[float], None]) -> None:
    """Consume the events of a run and report its progress by steps."""
    total = 0
    for event in events:
        if isinstance(event, Planned):
            total = event.total_steps
        elif isinstance(event, Stepped) and total:
            report(min(1.0, event.step / total))
