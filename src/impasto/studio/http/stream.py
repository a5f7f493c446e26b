"""A job's events as server-sent events, resumable by number.

In: the store, which workers in other processes write to. Out: text/event-stream. One look at SQLite's ``data_version``
tells all listeners whether anything has changed, so that fifty of them cost little more than one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from impasto.studio.store.database import Store
from impasto.studio.store.records import NotFoundError, StoredEvent

BATCH = 500


class EventTail:
    """Wakes whoever waits when any process has written to the store.

    Args:
        store: its event loop thread's connection is used to look.
        look_seconds: how often.
        keep_alive_seconds: a comment is sent after so much silence, so that nothing between here and there hangs up.
    """

    def __init__(self, store: Store, look_seconds: float = 0.05, keep_alive_seconds: float = 15.0) -> None:
        self.store = store
        self.look_seconds = look_seconds
        self.keep_alive_seconds = keep_alive_seconds
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look(self) -> None:
        connection = self.store.connection()
        version = None
        while True:
            # data_version does not count this connection's own commits, and it makes none.
            now = connection.execute("PRAGMA data_version").fetchone()[0]
            if now != version:
                version = now
                changed, self._changed = self._changed, asyncio.Event()
                changed.set()
            await asyncio.sleep(self.look_seconds)

    async def follow(self, job_id: str, after: int) -> AsyncIterator[str]:
        """Yield a job's events above ``after`` as text, until it is over and all is told."""
        yield "retry: 1000\n\n"
        while True:
            changed = self._changed  # taken before reading, so that nothing falls between
            try:
                job = self.store.job(job_id)
            except NotFoundError:
                yield "event: deleted\ndata: {}\n\n"
                return
            events = self.store.events(job_id, after, BATCH)
            for event in events:
                after = event.number
                yield text_of(event)
            if events:
                continue
            if job.over and job.last_event <= after:
                return
            try:
                await asyncio.wait_for(changed.wait(), self.keep_alive_seconds)
            except TimeoutError:
                yield ": still here\n\n"


def text_of(event: StoredEvent) -> str:
    """Write one event as the standard wants it; the data is JSON on one line."""
    return f"id: {event.number}\nevent: {event.kind}\ndata: {event.data}\n\n"
