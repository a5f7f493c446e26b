"""An executor without processes: it paints in ``wait`` and can be told to lose workers."""

from __future__ import annotations

from collections.abc import Callable, Collection

from impasto.batch.executor import Done, Failed, Lost, Painter, Reply, Task, failure


class FakeExecutor:
    """Paints with a function, one task per ``wait``.

    Args:
        painter: paints a task.
        size: number of tasks at a time.
        lose: called with each task; the node whose worker dies over it, or None.
    """

    def __init__(self, painter: Painter, size: int = 2, lose: Callable[[Task], str | None] = lambda _: None) -> None:
        self.size, self._painter, self._lose = size, painter, lose
        self.tasks: list[Task] = []
        self.avoided: list[set[str]] = []
        self.started: list[Task] = []
        self.canceled = False

    def start(self, task: Task, avoid: Collection[str] = ()) -> str | None:
        self.tasks.append(task)
        self.started.append(task)
        self.avoided.append(set(avoid))
        return "1"

    def wait(self, seconds: float) -> list[Reply]:
        if not self.tasks:
            return []
        task = self.tasks.pop(0)
        node = self._lose(task)
        if node is not None:
            return [Lost(task.number, "1", node, "its worker died")]
        try:
            reply: Done | Failed = Done(task.number, "1", 1.5, self._painter(task, lambda fraction: None))
        except Exception as error:
            reply = failure(task.number, "1", error)
        return [reply]

    def cancel(self) -> None:
        self.canceled = True
        self.tasks.clear()

    def close(self) -> None:
        pass
