"""Train a feed-forward network on photographs, for the style of one painting or for arbitrary styles.

Training yields the events of a run, a contact sheet of held-out images at each validation, and writes the network's
file at the end. After Johnson, Alahi & Fei-Fei, ECCV 2016, with the optimizer's own objective as the loss (see
``training_objective``). Each step depends on the seed and the step's number, so an interrupted training run continues
as if it had not been interrupted. Several processes (torchrun) each draw their own batch and average the gradients.
Differences from the paper: the first steps use smaller crops, see ``Training.small_crops``; validated and saved is the
mean of the weights over about the last tenth of the steps, which averages out the noise of small batches.
"""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from impasto.errors import NumericalError, OptionError
from impasto.events import Event, Finished, Mailbox, Planned, ScaleStarted, Snapshot, Stepped, Warned
from impasto.feedforward import checkpoint, model
from impasto.feedforward.dataset import Pictures, load_folder
from impasto.feedforward.network import Shape, StyleNetwork
from impasto.feedforward.training_objective import TrainingObjective
from impasto.files import write_atomically
from impasto.imaging import contact_sheet, images
from impasto.imaging.images import PictureLike
from impasto.losses.summaries.protocol import Loss
from impasto.network.encoder import Encoder
from impasto.network.weights import vgg19_state
from impasto.options import recipes
from impasto.options.fields import Options
from impasto.options.option_fields import OptionFields
from impasto.options.renamed import RENAMED, RENAMED_TRAINING, former_names
from impasto.options.training import Training
from impasto.regions.region_tensors import tensor
from impasto.runtime import allocator
from impasto.runtime.device import ComputeSettings, resolve_device
from impasto.runtime.distributed import ALONE, ProcessGroup

SHOWN = 3
FITTED_ON = 4
MIN_IMPROVEMENT = 0.002  # of the loss; less counts as no progress
MIN_CROP = 64  # px; a smaller crop has very few positions at relu5_1


@dataclass
class Progress:
    """The progress of a training, as its checkpoint stores it."""

    step: int = 0
    best: float = float("inf")
    bad_rounds: int = 0
    history: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Trained:
    """A finished training: the network's file, the validation loss by step, and why it ended."""

    path: Path
    steps: int
    history: list[tuple[int, float]]
    stop_reason: str


def iter_train(
    style: PictureLike | None,
    photos: str | Path,
    out: str | Path,
    *,
    paintings: str | Path | None = None,
    training: Training | None = None,
    resume: bool = False,
    mailbox: Mailbox | None = None,
    state: Mapping[str, Tensor] | None = None,
    group: ProcessGroup = ALONE,
    **options: Unpack[OptionFields],
) -> Iterator[Event[Trained]]:
    """Train a network and yield its events.

    Args:
        style: the painting to learn, as ``images.load`` takes it; None with ``paintings``.
        photos: folder of photographs.
        out: the network's file, a ``.safetensors``; the checkpoint is written next to it.
        paintings: folder of paintings, for an arbitrary-style network.
        training: sizes, steps, seed and other settings.
        resume: continue from the checkpoint next to ``out``, if there is one.
        mailbox: a ``stop`` in it ends the training after the step, with its file written.
        state: VGG-19 weights instead of the installed ones.
        group: the processes that train together, each on its own batch; the first one decides when to stop, and writes.
        options: strength, losses, layers, device and so on, as for ``stylize``.

    Yields:
        ``Planned``, ``ScaleStarted``, a ``Stepped`` for each step, a ``Snapshot`` with a contact sheet at each
        validation, and ``Finished`` with a ``Trained``.

    Raises:
        InputError: an image, folder or option cannot be used, or the checkpoint belongs to a different training run.
        NumericalError: the loss became NaN or infinite.
    """
    out = Path(out)
    if out.suffix.lower() != ".safetensors":
        raise OptionError(f"--output is {str(out)!r}; a network is saved as .safetensors", "output")
    if (style is None) == (paintings is None):
        raise OptionError("pass one painting to learn, or --paintings DIR for an arbitrary-style network", "paintings")
    training = training or Training()
    chosen = recipes.resolve(**options)
    place = resolve_device(chosen.machine)
    precision = group.broadcast(place.precision)  # every process uses the first one's
    place = replace(place, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    run = _Run(style, photos, out, paintings, training, chosen, place, state, group)
    yield from run.notes()
    if resume and run.checkpoint_file.exists():
        run.restore()
    with allocator.retain_freed_memory():
        yield from run.go(mailbox)


class _Run:
    """One training from its first step, or from a checkpoint, to the network's file."""

    def __init__(
        self,
        style: PictureLike | None,
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
        self.checkpoint_file = out.with_suffix(".training")
        self.group = group
        painting = None if style is None else images.load(style)
        everything = load_folder(photos, training.crop_size, color=True).hold_out(training.hold_out)
        self.skipped = list(everything.skipped)
        self.photos, self.held_out = everything.split()
        self.paintings: Pictures | None = None
        if paintings is not None:
            self.paintings = load_folder(paintings, training.crop_size, color=False)
            self.skipped += self.paintings.skipped
        self.objective = TrainingObjective(
            Encoder(state or vgg19_state(), dtype=place.dtype, device=place.device), options, training.crop_size
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
            "strength": options.loss_weights.strength,
            "style_scale": options.features.style_scale,
        }
        torch.manual_seed(training.seed)
        shape = Shape(training.width, training.blocks, any_style=painting is None)
        self.network = StyleNetwork(shape).to(place.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.adam = torch.optim.Adam(self.network.parameters(), training.learning_rate)
        self.progress = Progress()
        self._fixed: dict[int, Loss] = {}

    def notes(self) -> Iterator[Event[Trained]]:
        """Write the list of unreadable images and warn about them; warn if bfloat16 is not used."""
        if self.place.note and self.group.is_first:
            yield Warned(self.place.note)
        if self.skipped and self.group.is_first:
            listing = self.out.with_suffix(".skipped.txt")
            write_atomically(listing, ("\n".join(self.skipped) + "\n").encode())
            yield Warned(f"{len(self.skipped)} unreadable images were skipped; {listing} lists them")

    def go(self, mailbox: Mailbox | None) -> Iterator[Event[Trained]]:
        """Run the remaining steps."""
        training, progress, began = self.training, self.progress, time.monotonic()
        side = training.crop_size
        yield Planned(({"height": side, "width": side, "steps": training.steps},), training.steps, {})
        self._fit_weights()
        yield ScaleStarted(0, 1, side, side, training.steps)
        reason = "all steps done"
        while progress.step < training.steps:
            losses = self._step()
            yield Stepped(progress.step, 0, progress.step, sum(losses.values()), losses)
            over = training.minutes is not None and time.monotonic() - began >= 60 * training.minutes
            stopped = mailbox is not None and any(command.name == "stop" for command in mailbox.collect())
            end = self.group.broadcast("time limit reached" if over else "stopped on request" if stopped else "")
            if progress.step % training.validate_every == 0 or end or progress.step == training.steps:
                yield Snapshot(progress.step, 0, self._validate())
                if self.group.is_first:
                    checkpoint.save(
                        self.checkpoint_file, self._networks(), self.adam, self._signature(), asdict(progress)
                    )
            if end:
                reason = end
                break
            if training.patience and progress.bad_rounds >= training.patience:
                reason = f"no progress in {progress.bad_rounds} validations"
                break
        if self.group.is_first:
            model.save(self.out, self.averaged, self._facts())
        trained = Trained(self.out, progress.step, list(progress.history), reason)
        yield Finished(progress.step, reason == "stopped on request", trained)

    def _side(self) -> int:
        """Return the side in px of the next step's crops."""
        half = self.training.crop_size // 2
        small = self.progress.step < self.training.small_crops * self.training.steps
        return half if small and half >= MIN_CROP else self.training.crop_size

    def _step(self) -> dict[str, float]:
        training, progress = self.training, self.progress
        share, side = progress.step / training.steps, self._side()
        for group in self.adam.param_groups:
            group["lr"] = training.learning_rate * (1.0 if share < 0.6 else 0.1 ** ((share - 0.6) / 0.4))
        seed = _seed(training.seed, progress.step, self.group.rank)
        generator = torch.Generator().manual_seed(seed)
        pictures = self.photos.draw(training.batch_size, generator, side).to(self.place.device)
        style, painting = self._style(generator, side)
        self.network.train()
        painted = self._paint(self.network, pictures, painting)
        losses, gradient = self.objective.loss_and_gradient(painted, pictures, style, seed)
        broken = not all(np.isfinite(value) for value in losses.values())
        if any(self.group.all_reduce_scalars(broken)):  # every process stops, and the first one reports it
            raise NumericalError(
                f"the loss is NaN or infinite at step {progress.step + 1}: try a smaller --learning-rate, or "
                "--precision fp32"
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
        """Return the style loss for images of a side, and the painting if the network takes one."""
        if self.painting is not None:
            if side not in self._fixed:
                self._fixed[side] = self.objective.style_loss(self.painting, side)
            return self._fixed[side], None
        assert self.paintings is not None
        painting = self.paintings.draw(1, generator).to(self.place.device)
        return self.objective.style_loss(painting, side), painting

    def _fit_weights(self) -> None:
        generator = torch.Generator().manual_seed(_seed(self.training.seed, -1, 0))
        pairs = []
        for _ in range(FITTED_ON):
            photograph = self.photos.draw(1, generator).to(self.place.device)
            painting = self.painting if self.paintings is None else self.paintings.draw(1, generator)
            assert painting is not None
            pairs.append((photograph, painting.to(self.place.device)))
        self.objective.fit_weights(pairs)

    def _validate(self) -> Any:
        """Compute the loss on held-out photographs, update the progress, and return a contact sheet of some."""
        progress, total, shown = self.progress, 0.0, []
        generator = torch.Generator().manual_seed(_seed(self.training.seed, -2, 0))
        for index in range(len(self.held_out.paths[:6])):
            picture = self.held_out.center_crop(index).to(self.place.device)
            style, painting = self._style(generator, self.training.crop_size)
            with torch.no_grad():
                painted = self._paint(self.averaged, picture, painting)
            losses, _ = self.objective.loss_and_gradient(painted, picture, style)
            total += sum(losses.values()) / len(self.held_out.paths[:6])
            if index < SHOWN:
                shown.append((picture, painted))
        (total,) = self.group.broadcast([total])  # every process must agree on whether there was progress
        progress.history.append((progress.step, total))
        progress.bad_rounds = 0 if total < progress.best * (1 - MIN_IMPROVEMENT) else progress.bad_rounds + 1
        progress.best = min(progress.best, total)
        rows = [[_pixels(pair[k]) for pair in shown] for k in (0, 1)]
        return contact_sheet.draw(rows, ["photograph", f"step {progress.step}"], [""] * len(shown))

    def _average(self) -> None:
        """Average the gradients over all processes."""
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
        return signature(self.about, self.options.flat())

    def _networks(self) -> dict[str, StyleNetwork]:
        return {"network": self.network, "averaged": self.averaged}

    def restore(self) -> None:
        """Load the checkpoint next to the network's file.

        Raises:
            RecordError: it is damaged, or belongs to a different training run.
        """
        progress = checkpoint.restore(self.checkpoint_file, self._networks(), self.adam, self._signature())
        progress["history"] = [(int(step), float(loss)) for step, loss in progress["history"]]
        self.progress = Progress(**progress)


def signature(about: Mapping[str, Any], options: Mapping[str, object]) -> str:
    """Return a hash of everything that must be equal to resume, which is all but the device and the time limit.

    The hash is over the names that the first version used, so that checkpoints of earlier versions can be resumed.

    Args:
        about: the facts of the network's file, with the ``training`` options.
        options: the options of the objective, by flat name.
    """
    training = former_names({**about["training"], "minutes": None}, RENAMED_TRAINING)
    compared = former_names(options, RENAMED)
    compared = {key: value for key, value in compared.items() if key not in ("threads", "device")}
    return hashlib.sha256(json.dumps([{**about, "training": training}, compared], sort_keys=True).encode()).hexdigest()


def _seed(seed: int, step: int, rank: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{step}/{rank}".encode()).digest()[:7], "big")


def _pixels(picture: Tensor) -> Any:
    return picture[0].float().permute(1, 2, 0).cpu().numpy().clip(0, 1)


def styles_out(out: str | Path, styles: Sequence[str]) -> list[Path]:
    """Return the file of each style's network: ``out`` for one style, ``out`` plus the style's name for several."""
    out = Path(out)
    if len(styles) < 2:
        return [out]
    return [out.with_name(f"{out.stem}-{Path(style).stem}{out.suffix}") for style in styles]
