"""Train a network to paint: photographs and one painting in, a network for that style out, or for any style.

In: paintings, a folder of photographs, ``Training``. Out: events as a run has them, a sheet of held-out pictures now
and then, and at the end the network's file. After Johnson, Alahi & Fei-Fei, ECCV 2016, with the optimiser's own
objective as the loss (see ``training_objective``). What happens at a step follows from the seed and the step's number
alone, so a run that was interrupted goes on as if it had not been. Several processes (torchrun) each take their own
batch and average gradients. Departures: the first steps learn from smaller crops, see ``Training.small_crops``; what is
judged and saved is the mean of the weights over about the last tenth of the steps, which evens out the noise of small
batches.
"""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from impasto.errors import NumericalError, OptionError
from impasto.events import Event, Finished, Mailbox, Planned, ScaleStarted, Snapshot, Stepped, Warned
from impasto.feedforward import checkpoint as states
from impasto.feedforward import model
from impasto.feedforward.dataset import Pictures, gather
from impasto.feedforward.network import Shape, StyleNetwork
from impasto.feedforward.training_objective import Teacher
from impasto.imaging import contact_sheet, images
from impasto.losses.summaries.protocol import Loss
from impasto.network.encoder import Encoder
from impasto.network.weights import vgg19_state
from impasto.options import recipes
from impasto.options.fields import Options, option
from impasto.options.validation import check
from impasto.regions.region_tensors import tensor
from impasto.runtime import allocator
from impasto.runtime.device import ComputeSettings, resolve_device
from impasto.runtime.distributed import ALONE, ProcessGroup

SHOWN = 3
CALIBRATED_ON = 4
BETTER = 0.002  # of the loss; less is no progress
LEAST_CROP = 64  # px; smaller ones leave relu5_1 hardly a position


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a network is trained."""

    side: int = option(256, "side of the crops in px", low=32, high=2048)
    batch: int = option(4, "pictures a step, in each process", low=1, high=256)
    steps: int = option(4000, "steps at most", low=1, high=10_000_000)
    minutes: float | None = option(None, "stop after so many minutes", low=0.0)
    rate: float = option(1e-3, "Adam's step size; it falls to a tenth over the last two fifths", low=1e-6, high=1.0)
    small_crops: float = option(0.4, "share of the steps, the first ones, on crops of half the side", low=0.0, high=1.0)
    leave_out: int = option(0, "photographs at the folder's end that are never looked at", low=0, high=1_000_000)
    width: int = option(32, "channels of the widest map; 16 is small and fast", low=4, high=128)
    blocks: int = option(5, "residual blocks", low=1, high=5)
    check_every: int = option(100, "steps between two looks at held-out photographs", low=1)
    patience: int = option(10, "looks without progress before it stops early; 0 never stops early", low=0)
    seed: int = option(0, "repeats a training", low=0, high=2**31)

    def __post_init__(self) -> None:
        check(self)


@dataclass
class Progress:
    """Where a training stands, as its state file keeps it."""

    step: int = 0
    best: float = float("inf")
    worse: int = 0
    checked: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Trained:
    """A finished training: the file, and the mean loss of held-out photographs by step."""

    path: Path
    steps: int
    checked: list[tuple[int, float]]
    why: str


def iter_train(
    style: Any,
    photos: str | Path,
    out: str | Path,
    *,
    paintings: str | Path | None = None,
    training: Training | None = None,
    resume: bool = False,
    mailbox: Mailbox | None = None,
    state: Mapping[str, Tensor] | None = None,
    group: ProcessGroup = ALONE,
    **options: Any,
) -> Iterator[Event]:
    """Train a network, telling what happens.

    Args:
        style: the painting to learn, as ``images.load`` takes it; None with ``paintings``.
        photos: folder of photographs.
        out: the network's file, a ``.safetensors``; the state to resume from lies beside it.
        paintings: folder of paintings, for a network of any style.
        training: sizes, steps and the like.
        resume: go on from the state beside ``out``, if there is one.
        mailbox: a ``stop`` in it ends the training after the step, with its file written.
        state: VGG-19 weights instead of the installed ones.
        group: the processes that train it together, each on pictures of its own; the first one decides when to end,
            and writes.
        options: strength, losses, layers, device and so on, as for ``stylize``.

    Yields:
        ``Planned``, ``ScaleStarted``, a ``Stepped`` a step, a ``Snapshot`` with a sheet at every look, ``Finished``
        with a ``Trained``.

    Raises:
        InputError: a picture, folder or option cannot be used, or the state belongs to another training.
        NumericalError: the loss became not-a-number.
    """
    out = Path(out)
    if out.suffix.lower() != ".safetensors":
        raise OptionError(f"--out is {str(out)!r}; a network is saved as .safetensors", "out")
    if (style is None) == (paintings is None):
        raise OptionError("give one painting to learn, or --paintings DIR for a network of any style", "paintings")
    training = training or Training()
    chosen = recipes.resolve(**options)
    place = resolve_device(chosen.machine)
    precision = group.broadcast(place.precision)  # all take the first process's
    place = replace(place, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    run = _Run(style, photos, out, paintings, training, chosen, place, state, group)
    yield from run.notes()
    if resume and run.state_file.exists():
        run.restore()
    with allocator.retain_freed_memory():
        yield from run.go(mailbox)


class _Run:
    """One training from its first step, or from a state, to its file."""

    def __init__(
        self,
        style: Any,
        photos: str | Path,
        out: Path,
        paintings: str | Path | None,
        training: Training,
        options: Options,
        place: ComputeSettings,
        state: Mapping[str, Tensor] | None,
        group: ProcessGroup,
    ) -> None:
        self.training, self.options, self.place, self.out = training, options, place, out
        self.state_file = out.with_suffix(".training")
        self.group = group
        painting = None if style is None else images.load(style)
        everything = gather(photos, training.side, colour=True).leave_out(training.leave_out)
        self.skipped = list(everything.skipped)
        self.photos, self.held = everything.split()
        self.paintings: Pictures | None = None
        if paintings is not None:
            self.paintings = gather(paintings, training.side, colour=False)
            self.skipped += self.paintings.skipped
        self.teacher = Teacher(
            Encoder(state or vgg19_state(), dtype=place.dtype, device=place.device), options, training.side
        )
        self.painting = None if painting is None else tensor(painting.pixels).to(place.device)
        self.about: dict[str, Any] = {
            "style": painting.name if painting is not None else "any",
            "style_sha256": "" if painting is None else painting.sha256,
            "thumbnail": model.thumbnail(
                np.full((32, 32, 3), 0.5, np.float32) if painting is None else painting.pixels
            ),
            "photographs": len(everything.paths),
            "training": asdict(training),
            "strength": options.tradeoff.strength,
            "style_scale": options.features.style_scale,
        }
        torch.manual_seed(training.seed)
        shape = Shape(training.width, training.blocks, any_style=painting is None)
        self.network = StyleNetwork(shape).to(place.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.adam = torch.optim.Adam(self.network.parameters(), training.rate)
        self.progress = Progress()
        self._fixed: dict[int, Loss] = {}

    def notes(self) -> Iterator[Event]:
        """Write the list of pictures that were skipped, and say so; say why the precision is not bfloat16."""
        if self.place.note and self.group.is_first:
            yield Warned(self.place.note)
        if self.skipped and self.group.is_first:
            listing = self.out.with_suffix(".skipped.txt")
            images.write_atomically(listing, ("\n".join(self.skipped) + "\n").encode())
            yield Warned(f"{len(self.skipped)} pictures cannot be read and were skipped; {listing} lists them")

    def go(self, mailbox: Mailbox | None) -> Iterator[Event]:
        """Take the steps that are left."""
        training, progress, began = self.training, self.progress, time.monotonic()
        side = training.side
        yield Planned(({"height": side, "width": side, "steps": training.steps},), training.steps, {})
        self._calibrate()
        yield ScaleStarted(0, 1, side, side, training.steps)
        why = "all steps are done"
        while progress.step < training.steps:
            losses = self._step()
            yield Stepped(progress.step, 0, progress.step, sum(losses.values()), losses)
            over = training.minutes is not None and time.monotonic() - began >= 60 * training.minutes
            told = mailbox is not None and any(command.name == "stop" for command in mailbox.collect())
            end = self.group.broadcast("its time is over" if over else "it was stopped" if told else "")
            if progress.step % training.check_every == 0 or end or progress.step == training.steps:
                yield Snapshot(progress.step, 0, self._look())
                if self.group.is_first:
                    self._keep()
            if end:
                why = end
                break
            if training.patience and progress.worse >= training.patience:
                why = f"{progress.worse} looks without progress"
                break
        if self.group.is_first:
            model.save(self.out, self.averaged, self._facts())
        yield Finished(progress.step, why == "it was stopped", self._trained(why))

    def _side(self) -> int:
        """Return the side of the crops of the step to come."""
        half = self.training.side // 2
        small = self.progress.step < self.training.small_crops * self.training.steps
        return half if small and half >= LEAST_CROP else self.training.side

    def _step(self) -> dict[str, float]:
        training, progress = self.training, self.progress
        share, side = progress.step / training.steps, self._side()
        for group in self.adam.param_groups:
            group["lr"] = training.rate * (1.0 if share < 0.6 else 0.1 ** ((share - 0.6) / 0.4))
        seed = _seed(training.seed, progress.step, self.group.rank)
        generator = torch.Generator().manual_seed(seed)
        pictures = self.photos.draw(training.batch, generator, side).to(self.place.device)
        style, painting = self._style(generator, side)
        self.network.train()
        painted = self._paint(self.network, pictures, painting)
        losses, gradient = self.teacher.mark(painted, pictures, style, seed)
        broken = not all(np.isfinite(value) for value in losses.values())
        if any(self.group.all_reduce_scalars(broken)):  # all end, and the first says why
            raise NumericalError(
                f"the loss is not a number at step {progress.step + 1}: try a smaller --rate, or --precision fp32"
            )
        self.adam.zero_grad(set_to_none=True)
        painted.backward(gradient)  # type: ignore[no-untyped-call]
        self._average()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.adam.step()
        progress.step += 1
        with torch.no_grad():
            for mean, value in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(value, 9 / (9 + progress.step))
        return losses

    def _paint(self, network: StyleNetwork, pictures: Tensor, painting: Tensor | None) -> Tensor:
        low = self.place.dtype != torch.float32
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.place.device.type, self.place.dtype, enabled=low):
            painted: Tensor = network(pictures, painting)
            return painted

    def _style(self, generator: torch.Generator, side: int) -> tuple[Loss, Tensor | None]:
        """Return the style term of pictures of a side, and the painting where the network is to read it."""
        if self.painting is not None:
            if side not in self._fixed:
                self._fixed[side] = self.teacher.style(self.painting, side)
            return self._fixed[side], None
        assert self.paintings is not None
        painting = self.paintings.draw(1, generator).to(self.place.device)
        return self.teacher.style(painting, side), painting

    def _calibrate(self) -> None:
        generator = torch.Generator().manual_seed(_seed(self.training.seed, -1, 0))
        pairs = []
        for _ in range(CALIBRATED_ON):
            photograph = self.photos.draw(1, generator).to(self.place.device)
            painting = self.painting if self.paintings is None else self.paintings.draw(1, generator)
            assert painting is not None
            pairs.append((photograph, painting.to(self.place.device)))
        self.teacher.calibrate(pairs)

    def _look(self) -> Any:
        """Measure held-out photographs, note whether there was progress, and return a sheet of some."""
        progress, total, shown = self.progress, 0.0, []
        generator = torch.Generator().manual_seed(_seed(self.training.seed, -2, 0))
        for index in range(len(self.held.paths[:6])):
            picture = self.held.middle(index).to(self.place.device)
            style, painting = self._style(generator, self.training.side)
            with torch.no_grad():
                painted = self._paint(self.averaged, picture, painting)
            losses, _ = self.teacher.mark(painted, picture, style)
            total += sum(losses.values()) / len(self.held.paths[:6])
            if index < SHOWN:
                shown.append((picture, painted))
        (total,) = self.group.broadcast([total])  # so that all see progress, or none does
        progress.checked.append((progress.step, total))
        progress.worse = 0 if total < progress.best * (1 - BETTER) else progress.worse + 1
        progress.best = min(progress.best, total)
        rows = [[_pixels(pair[k]) for pair in shown] for k in (0, 1)]
        return contact_sheet.draw(rows, ["photograph", f"step {progress.step}"], [""] * len(shown))

    def _average(self) -> None:
        """Take the mean of the gradients of all processes."""
        if self.group.world_size == 1:
            return
        slopes = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
        mean = (
            self.group.all_reduce_(torch.cat([slope.flatten() for slope in slopes]), "gradients")
            / self.group.world_size
        )
        for slope, part in zip(slopes, torch.split(mean, [slope.numel() for slope in slopes]), strict=True):
            slope.copy_(part.view_as(slope))

    def _facts(self) -> dict[str, Any]:
        from impasto import __version__

        return {**self.about, "steps": self.progress.step, "impasto": __version__}

    def _signature(self) -> str:
        """Return what must be alike for a state to go on: everything but how long it runs."""
        same = {**self.about, "training": {**self.about["training"], "minutes": None}}
        options = {key: value for key, value in self.options.flat().items() if key not in ("threads", "device")}
        return hashlib.sha256(json.dumps([same, options], sort_keys=True).encode()).hexdigest()

    def _networks(self) -> dict[str, StyleNetwork]:
        return {"network": self.network, "averaged": self.averaged}

    def _keep(self) -> None:
        states.keep(self.state_file, self._networks(), self.adam, self._signature(), asdict(self.progress))

    def restore(self) -> None:
        """Take back the state beside the network's file.

        Raises:
            RecordError: it is damaged, or of another training.
        """
        progress = states.restore(self.state_file, self._networks(), self.adam, self._signature())
        progress["checked"] = [(int(step), float(loss)) for step, loss in progress["checked"]]
        self.progress = Progress(**progress)

    def _trained(self, why: str) -> Trained:
        return Trained(self.out, self.progress.step, list(self.progress.checked), why)


def _seed(seed: int, step: int, rank: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{step}/{rank}".encode()).digest()[:7], "big")


def _pixels(picture: Tensor) -> Any:
    return picture[0].float().permute(1, 2, 0).cpu().numpy().clip(0, 1)


def styles_out(out: str | Path, styles: Sequence[str]) -> list[Path]:
    """Return the file of each style's network: ``out`` for one, ``out`` with the style's name for several."""
    out = Path(out)
    if len(styles) < 2:
        return [out]
    return [out.with_name(f"{out.stem}-{Path(style).stem}{out.suffix}") for style in styles]
