"""The studio's runner: a task goes to the engine, pictures become files.

In: a ``Task``. Out: the engine's events, previews as JPEG, the result as the engine saved it, record inside. What two
jobs in a row have in common (the network, the targets of the same pictures) is kept between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto import images
from impasto.events import Event, Mailbox
from impasto.studio.worker import Pens, Saved, Task
from impasto.stylize import Shared, iter_stylize
from impasto.weights import vgg19_state

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from impasto.result import Result

PREVIEW_QUALITY = 88
CHECKPOINT_SECONDS = 2.0  # the engine itself takes longer where a checkpoint is dear
PAINTED = "painted.part.png"  # a name that is swept away if the worker dies before it is renamed

_state: Mapping[str, Any] = vgg19_state()
_shared: tuple[tuple[Path, ...], Shared] | None = None


def run(task: Task, mailbox: Mailbox) -> Iterator[Event]:
    """Paint a task."""
    styles = [path for path, _ in task.styles]
    options = dict(task.options)
    if len(styles) > 1:
        total = sum(weight for _, weight in task.styles)
        options.setdefault("style_blend", ",".join(f"{weight / total:.6g}" for _, weight in task.styles))
    protect = task.masks.get("protect")
    yield from iter_stylize(
        task.content,
        styles[0] if len(styles) == 1 else styles,
        protect=protect,
        output=task.checkpoint_dir.parent / PAINTED,
        mailbox=mailbox,
        preview_every=1,
        checkpoint_dir=task.checkpoint_dir,
        checkpoint_seconds=CHECKPOINT_SECONDS,
        resume=task.resume,
        shared=_shared_for((task.content, *styles)),
        **options,
    )


def _shared_for(pictures: tuple[Path, ...]) -> Shared:
    """Return what runs on the same pictures share; other pictures' targets are dropped, for they are large."""
    global _shared  # noqa: PLW0603 - one worker, one job at a time
    if _shared is None or _shared[0] != pictures:
        _shared = (pictures, Shared(state=_state))
    return _shared[1]


def _preview(picture: NDArray[np.uint8], path: Path) -> Saved:
    path.write_bytes(images.encode(picture, "JPEG", quality=PREVIEW_QUALITY))
    return Saved("image/jpeg", picture.shape[1], picture.shape[0])


def _result(result: Result, path: Path) -> Saved:
    assert result.path is not None
    result.path.replace(path)
    height, width = result.pixels.shape[:2]
    return Saved("image/png", width, height, result.record)


pens = Pens(_preview, _result)
