"""Several processes that paint one image: which rows each one owns, and all communication between them.

``join`` reads the environment that ``torchrun`` sets (``RANK``, ``WORLD_SIZE``, the rendezvous address) and returns a
``ProcessGroup``; its ``RowShard`` is the rows of one image size that a process owns. A single process takes the same
path: its shard is the whole image and nothing is sent. Shards begin at multiples of 32 rows, so that tiles (16) and
the preconditioner's five halvings (32) are aligned. An image with fewer than ``MIN_ROWS`` rows per process is not
split; the first process paints it. Numbers are summed in float64. Tensors in main memory are sent with gloo, those on a
GPU with NCCL.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from impasto.errors import MachineError, OptionError
from impasto.events import Command, Mailbox

ROW_ALIGNMENT = 32
MIN_ROWS = 64  # with fewer, a process would compute more for its neighbors than for itself
RESUME_HINT = "continue from the last checkpoint with impasto resume (needs --run-dir), or a training with --resume"
TIMEOUT = timedelta(days=1)  # a paused run waits; the end of another process is noticed immediately


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that paint one image together; a single process unless ``join`` was called under ``torchrun``.

    ``rank`` counts from 0; only the first process prints, writes and reads commands. ``sent`` counts the bytes that
    this process has sent, by purpose.
    """

    rank: int = 0
    world_size: int = 1
    sent: dict[str, int] = field(default_factory=dict, compare=False)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.rank == 0

    def broadcast(self, value: Any = None) -> Any:
        """Return the first process's JSON value on every process; an empty value costs 8 bytes."""
        if self.world_size == 1:
            return value
        data = json.dumps(value).encode() if self.is_first and value else b""
        size = torch.tensor([len(data)])
        with self._together("word"):
            _distributed().broadcast(size, 0)
            self._note("word", 8)
            if not int(size):
                return value if self.is_first else None
            body = (
                torch.frombuffer(bytearray(data), dtype=torch.uint8)
                if data
                else torch.empty(int(size), dtype=torch.uint8)
            )
            _distributed().broadcast(body, 0)
            self._note("word", len(data))
        return value if self.is_first else json.loads(body.numpy().tobytes())

    def broadcast_tensor(self, tensor: Tensor) -> Tensor:
        """Return the first process's tensor on every process; the others pass one of its shape, which is filled."""
        if self.world_size > 1:
            with self._together("image"):
                _distributed().broadcast(tensor, 0)
        return tensor

    def all_reduce_(self, tensor: Tensor, what: str = "summaries") -> Tensor:
        """Sum a tensor over all processes in place and return it."""
        if self.world_size > 1:
            with self._together(what):
                _distributed().all_reduce(tensor)
            self._note(what, tensor.numel() * tensor.element_size())
        return tensor

    def all_reduce_scalars(self, *numbers: float) -> list[float]:
        """Return the sum of each number over all processes, bitwise equal on all of them."""
        if self.world_size == 1:
            return list(numbers)
        summed: list[float] = self.all_reduce_(torch.tensor(numbers, dtype=torch.float64), "scalars").tolist()
        return summed

    def exchange(self, outgoing: Mapping[int, Tensor], incoming: Mapping[int, Tensor], what: str) -> None:
        """Send tensors to other processes and receive into ``incoming``, all at the same time; keys are ranks."""
        if not outgoing and not incoming:
            return
        distributed = _distributed()
        with self._together(what):
            operations = [distributed.P2POp(distributed.isend, tensor, to) for to, tensor in sorted(outgoing.items())]
            operations += [distributed.P2POp(distributed.irecv, tensor, of) for of, tensor in sorted(incoming.items())]
            for work in distributed.batch_isend_irecv(operations):
                work.wait()
        self._note(what, sum(tensor.numel() * tensor.element_size() for tensor in outgoing.values()))

    def shard(self, height: int) -> RowShard:
        """Return the rows that this process owns of an image of ``height`` rows."""
        units = -(-height // ROW_ALIGNMENT)
        if self.world_size == 1 or height < MIN_ROWS * self.world_size or units < self.world_size:
            return RowShard(height)
        starts = [index * units // self.world_size * ROW_ALIGNMENT for index in range(self.world_size)]
        return RowShard(height, tuple(zip(starts, [*starts[1:], height], strict=True)), self)

    def shutdown(self) -> None:
        """Destroy the process group at the end of a successful run."""
        if self.world_size > 1:
            _distributed().destroy_process_group()

    def _note(self, what: str, size: int) -> None:
        self.sent[what] = self.sent.get(what, 0) + size

    @contextmanager
    def _together(self, what: str) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise MachineError(
                f"process {self.rank + 1} of {self.world_size} cannot continue: another process of this run has ended "
                f"({what}); {RESUME_HINT}"
            ) from error


ALONE = ProcessGroup()


@dataclass(frozen=True)
class RowShard:
    """The rows of an image that a process owns; all of them unless ``all_rows`` is set.

    ``all_rows`` has the first and one past the last row of each process.
    """

    height: int
    all_rows: tuple[tuple[int, int], ...] = ()
    group: ProcessGroup = ALONE

    @property
    def is_whole(self) -> bool:
        """Whether the image is not split."""
        return not self.all_rows

    @property
    def rows(self) -> tuple[int, int]:
        """The first and one past the last row that this process owns."""
        return self.all_rows[self.group.rank] if self.all_rows else (0, self.height)

    def cut(self, picture: Tensor) -> Tensor:
        """Return this process's rows of a whole image ``[..., H, W]``."""
        return picture if self.is_whole else picture[..., slice(*self.rows), :].contiguous()

    def window(self, halo: int, index: int | None = None) -> tuple[int, int]:
        """Return the rows of a process (this one by default) extended by ``halo`` rows on either side."""
        first, last = self.rows if index is None else self.all_rows[index]
        return max(0, first - halo), min(self.height, last + halo)

    def with_halo(self, parts: Sequence[Tensor], halo: int, what: str = "canvas") -> list[Tensor]:
        """Return images extended by the neighboring rows of other processes.

        Args:
            parts: this process's rows, ``[..., h, W]``, of equal shape.
            halo: number of rows on either side.
            what: the purpose, for the count of bytes.
        """
        if self.is_whole or not halo:
            return list(parts)
        top, bottom = self.window(halo)
        first, last = self.rows
        like = parts[0]
        whole = like.new_empty(len(parts), *like.shape[:-2], bottom - top, like.shape[-1])
        for place, part in zip(whole, parts, strict=True):
            place[..., first - top : last - top, :] = part
        wanted = self._beyond(halo)
        outgoing = {
            other: torch.stack([part[..., a - first : b - first, :] for part in parts])
            for other, (a, b) in self._of_others(halo).items()
        }
        incoming = {other: whole[..., a - top : b - top, :].contiguous() for other, (a, b) in wanted.items()}
        self.group.exchange(outgoing, incoming, what)
        for other, (a, b) in wanted.items():
            whole[..., a - top : b - top, :] = incoming[other]
        return list(whole)

    def reduce_halo(self, picture: Tensor, halo: int) -> Tensor:
        """Add the halo's values to the rows of their owners; the adjoint of ``with_halo``. Returns ``[..., h, W]``."""
        if self.is_whole or not halo:
            return picture
        top, _ = self.window(halo)
        first, last = self.rows
        own = picture[..., first - top : last - top, :].contiguous()
        back = self._of_others(halo)
        outgoing = {
            other: picture[..., a - top : b - top, :].contiguous() for other, (a, b) in self._beyond(halo).items()
        }
        incoming = {other: torch.empty_like(own[..., a - first : b - first, :]) for other, (a, b) in back.items()}
        incoming = {other: part.contiguous() for other, part in incoming.items()}
        self.group.exchange(outgoing, incoming, "gradient")
        for other, (a, b) in sorted(back.items()):
            own[..., a - first : b - first, :] += incoming[other]
        return own

    def without_halo(self, picture: Tensor, halo: int) -> Tensor:
        """Return this process's rows of an image extended by ``with_halo``."""
        if self.is_whole or not halo:
            return picture
        top, _ = self.window(halo)
        return picture[..., self.rows[0] - top : self.rows[1] - top, :]

    def gather(self, part: Tensor) -> Tensor:
        """Return the whole image on the first process, in main memory; the others get their rows back."""
        if self.is_whole:
            return part
        mine = part.detach().cpu().contiguous()
        if not self.group.is_first:
            self.group.exchange({0: mine}, {}, "image")
            return part
        whole = mine.new_empty(*mine.shape[:-2], self.height, mine.shape[-1])
        whole[..., : self.rows[1], :] = mine
        for other, (a, b) in list(enumerate(self.all_rows))[1:]:  # one at a time, to save memory
            rows = mine.new_empty(*mine.shape[:-2], b - a, mine.shape[-1])
            self.group.exchange({}, {other: rows}, "image")
            whole[..., a:b, :] = rows
        return whole

    def all_gather(self, part: Tensor) -> Tensor:
        """Return the whole image on every process."""
        if self.is_whole:
            return part
        whole = self.gather(part)
        if not self.group.is_first:
            whole = torch.empty(*part.shape[:-2], self.height, part.shape[-1], dtype=part.dtype)
        return self.group.broadcast_tensor(whole).to(part.device)

    def _beyond(self, halo: int) -> dict[int, tuple[int, int]]:
        """Return the rows of this process's halo, by the rank that owns them."""
        return _shared(self.window(halo), self.all_rows, self.group.rank)

    def _of_others(self, halo: int) -> dict[int, tuple[int, int]]:
        """Return this process's rows that are in others' halos, by the rank that reads them."""
        windows = [self.window(halo, index) for index in range(len(self.all_rows))]
        return _shared(self.rows, windows, self.group.rank)


class BroadcastMailbox:
    """A mailbox whose commands reach every process: the first process collects and broadcasts them.

    Args:
        mailbox: the first process's mailbox, if there is one.
        group: the processes.
    """

    def __init__(self, mailbox: Mailbox | None, group: ProcessGroup) -> None:
        self._mailbox, self._group = mailbox, group

    def collect(self) -> list[Command]:
        """Return and remove the first process's pending commands, oldest first."""
        found = self._mailbox.collect() if self._mailbox is not None and self._group.is_first else []
        received = self._group.broadcast([[command.name, dict(command.values)] for command in found]) or []
        return [Command(name, values) for name, values in received]

    def wait(self, seconds: float) -> None:
        """Sleep until a command arrives, at most ``seconds``; the others wait for the first in ``collect``."""
        if self._mailbox is not None and self._group.is_first:
            self._mailbox.wait(seconds)


def expected() -> tuple[int, int]:
    """Return the rank and the number of processes from the environment; 0 and 1 for a single process.

    Raises:
        OptionError: ``RANK`` and ``WORLD_SIZE`` are inconsistent.
    """
    words = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if None in words or words[1] == "1":
        return 0, 1
    try:
        index, count = (int(str(word)) for word in words)
    except ValueError:
        index, count = -1, 0
    if not 0 <= index < count:
        raise OptionError(
            f"RANK is {words[0]!r} and WORLD_SIZE {words[1]!r}: start with torchrun, which sets them, or unset both"
        )
    return index, count


def join() -> ProcessGroup:
    """Return the group of processes that ``torchrun`` started, once all are connected; ``ALONE`` without it.

    Raises:
        OptionError: ``RANK`` and ``WORLD_SIZE`` are inconsistent.
        MachineError: the others cannot be reached, or there are fewer GPUs than processes.
    """
    index, count = expected()
    if count == 1:
        return ALONE
    here, gpus = int(os.environ.get("LOCAL_RANK", index)), torch.cuda.device_count()
    if 0 < gpus <= here:
        raise MachineError(
            f"process {index + 1} of {count} has no GPU; this machine has {gpus}: start as many processes "
            "as GPUs, or hide them with CUDA_VISIBLE_DEVICES= to paint on the CPU"
        )
    if gpus:
        torch.cuda.set_device(here)
    try:
        _distributed().init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        message = f"process {index + 1} of {count} cannot reach the others ({reason}): use torchrun"
        raise MachineError(message) from error
    return ProcessGroup(index, count)


@contextmanager
def as_one(group: ProcessGroup) -> Iterator[None]:
    """Let processes end together: only the first one handles signals, and its stop is broadcast to the others."""
    if group.world_size == 1:
        yield
        return

    ignored = [] if group.is_first else [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    try:
        yield
        group.shutdown()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _shared(rows: tuple[int, int], others: Sequence[tuple[int, int]], index: int) -> dict[int, tuple[int, int]]:
    """Return the rows shared with each other process, if there are any."""
    found = {}
    for other, (first, last) in enumerate(others):
        common = max(rows[0], first), min(rows[1], last)
        if other != index and common[0] < common[1]:
            found[other] = common
    return found


def _distributed() -> Any:
    import torch.distributed

    return torch.distributed
