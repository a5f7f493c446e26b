"""Tasks whose files travel with them: to nodes that do not see the folders of the batch.

``pack`` marks the paths in a task and lists the files; ``Store`` writes them on the other side. The folders there are
those of the batch below a temporary folder, because the record of a result has names and relative paths. Paintings and
masks are kept, photographs are deleted when they are painted.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from impasto.batch.executor import Task
from impasto.imaging.images import split_crop
from impasto.options.fields import names_with

CONTENT = "content"
_MARK = "<file {}>"
_CROP = "\n"  # between the path of a photograph and its crop


def pack(task: Task) -> tuple[Task, dict[str, Path]]:
    """Return a task with marks instead of paths, and the files by mark.

    Args:
        task: with paths of this machine.
    """
    files: dict[str, Path] = {}

    def packed(text: Any) -> Any:
        if not isinstance(text, str):
            return text
        parts = [text] if Path(text).is_file() else re.split(r"([#@,])", text)
        for index, part in enumerate(parts):
            if Path(part).is_file():
                stat = Path(part).stat()
                parts[index] = _MARK.format(f"{stat.st_mtime_ns}-{stat.st_size}:{Path(part).absolute()}")
                files[parts[index]] = Path(part)
        return "".join(parts)

    content, crop = split_crop(task.content)
    options = {**task.options, **{name: packed(task.options.get(name)) for name in names_with("file")}}
    sent = replace(
        task,
        content=str(content.absolute()) + ("" if crop is None else f"{_CROP}#{crop}"),
        styles=tuple(packed(style) for style in task.styles),
        protect=packed(task.protect),
        style_only=packed(task.style_only),
        options=options,
    )
    return replace(sent, output=str(Path(task.output).absolute())), {**files, CONTENT: content}


class Store:
    """The files of tasks on a node, in a temporary folder."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._known: dict[str, Path] = {}

    @contextmanager
    def unpacked(self, task: Task, contents: Mapping[str, bytes]) -> Iterator[Task]:
        """Write the files of a task and return it with paths of this machine; the photograph is deleted at the end.

        Args:
            task: as ``pack`` returned it.
            contents: the bytes of the files by mark.
        """
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="impasto-"))
        for mark, data in contents.items():
            if mark != CONTENT and mark not in self._known:
                self._known[mark] = self._place(mark.partition(":")[2].removesuffix(">"), data)
        path, _, crop = task.content.partition(_CROP)
        is_kept = self._below(path) in self._known.values()
        photo, output = self._place(path, contents[CONTENT]), self._below(task.output)
        try:
            yield self._with_paths(replace(task, content=f"{photo}{crop}"), output)
        finally:
            for left in [output, *([] if is_kept else [photo])]:
                left.unlink(missing_ok=True)

    def _below(self, path: str) -> Path:
        """Return the place of a file, whose absolute path on the other machine is given."""
        assert self._folder is not None
        return self._folder / path.lstrip("/")

    def _place(self, path: str, data: bytes) -> Path:
        place = self._below(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        return place

    def _with_paths(self, task: Task, output: Path) -> Task:
        def found(text: Any) -> Any:
            if isinstance(text, str):
                for mark, path in self._known.items():
                    text = text.replace(mark, str(path))
            return text

        return replace(
            task,
            styles=tuple(found(style) for style in task.styles),
            protect=found(task.protect),
            style_only=found(task.style_only),
            options={key: found(value) for key, value in task.options.items()},
            output=str(output),
        )
