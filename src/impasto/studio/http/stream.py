"""The events of a job as server-sent events, resumable by number.

Workers in other processes write the events to the store. A single poll of SQLite's ``data_version`` serves all
listeners, so fifty cost little more than one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from impasto.studio.store.database import Store
from impasto.studio.store.records import NotFoundError

BATCH = 500
RETRY_MS = 1000  # after which a browser reconnects


class EventTail:
    """Wakes the listeners when any process has written to the store.

    Args:
        store: polled through the connection of the event loop's thread.
        poll_seconds: interval of the polls.
        keep_alive_seconds: a comment is sent after that time without events, so that no proxy closes the connection.
    """

    def __init__(self, store: Store, poll_seconds: float = 0.05, keep_alive_seconds: float = 15.0) -> None:
        self.store = store
        self.poll_seconds = poll_seconds
        self.keep_alive_seconds = keep_alive_seconds
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start polling."""
        self._task = asyncio.create_task(self._poll())

    async def stop(self) -> None:
        """Stop polling."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _poll(self) -> None:
        connection = self.store.connection()
        version = None
        while True:
            # data_version does not count this connection's own commits, and it makes none.
            now = connection.execute("PRAGMA data_version").fetchone()[0]
            if now != version:
                version = now
                changed, self._changed = self._changed, asyncio.Event()
                changed.set()
            await asyncio.sleep(self.poll_seconds)

    async def follow(self, job_id: str, after: int) -> AsyncIterator[bytes]:
        """Yield the encoded events of a job after number ``after``, until the job has ended and all are sent."""
        yield format_sse_event(retry=RETRY_MS)
        while True:
            changed = self._changed  # taken before reading, so that no change is missed
            try:
                job = self.store.job(job_id)
            except NotFoundError:
                yield format_sse_event(event="deleted", data_str="{}")
                return
            events = self.store.events(job_id, after, BATCH)
            for event in events:
                after = event.number
                yield format_sse_event(id=str(event.number), event=event.kind, data_str=event.data)
            if events:
                continue
            if job.over and job.last_event <= after:
                return
            try:
                await asyncio.wait_for(changed.wait(), self.keep_alive_seconds)
            except TimeoutError:
                yield KEEPALIVE_COMMENT
