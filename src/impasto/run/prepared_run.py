"""Prepare a run: load and check the images, plan sizes and memory, choose the device.

``prepare`` returns an immutable ``PreparedRun``. All errors in the inputs are raised here, before the network is
loaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto.errors import ImageError, MachineError, OptionError, RecordError, suggest
from impasto.files import disk_shortfall
from impasto.imaging import images
from impasto.imaging.images import PictureLike
from impasto.objective.loss_factory import default_content_layers, default_style_layers
from impasto.objective.region_terms import PROTECTED
from impasto.options import validation
from impasto.options.choices import INIT_NAMES
from impasto.options.fields import Options
from impasto.options.layer_names import SMALLEST_SIDE, block, check_layers
from impasto.options.validation import parse_weights
from impasto.planning import memory
from impasto.planning.schedule import Scale, scales_for
from impasto.regions.region_tensors import RegionTensors, build_region_tensors, without_hidden_colors
from impasto.regions.segmentation.draw import draw_masks
from impasto.regions.spec import RegionSpec, StyleLike, parse_regions
from impasto.run.live_weights import LiveWeights
from impasto.run.record import Decisions
from impasto.runtime import allocator
from impasto.runtime.device import ComputeSettings, devices, resolve_device
from impasto.runtime.distributed import ALONE, ProcessGroup

STATES = 3  # checkpoints that are on the disk at once: two complete ones and the one being written


@dataclass(frozen=True, eq=False)
class PreparedRun:
    """The immutable inputs of a run.

    ``tensors`` holds the content and the regions at the content's own size, on the device of the run. ``start`` is the
    image ``[1, 3, H, W]`` that initializes the canvas, if one was passed; ``is_proof`` says that the composition is
    also kept close to it. ``size`` is the size of the result, ``(height, width)``; ``memory_model`` predicts the memory
    at that size.
    """

    options: Options
    tensors: RegionTensors
    region_spec: RegionSpec
    start: Tensor | None
    files: Mapping[str, images.Picture]
    output: Path | None
    compute: ComputeSettings
    scales: Sequence[Scale]
    style_layers: Mapping[str, float]
    content_layers: Mapping[str, float]
    size: tuple[int, int]
    memory_plans: Mapping[tuple[int, int], memory.MemoryPlan]
    memory_model: memory.MemoryModel
    notes: Sequence[str] = field(default_factory=tuple)
    group: ProcessGroup = ALONE
    is_proof: bool = False

    @property
    def proof(self) -> Tensor | None:
        """The image whose composition is kept, if there is one."""
        return self.start if self.is_proof else None

    @property
    def decisions(self) -> Decisions:
        """Settings that depend on the machine, as a record stores them and ``prepare`` reuses them."""
        placed: Decisions = {} if self.region_spec.is_plain else {"placement": self.region_spec.as_data()}
        if self.options.machine.tile is None and not all(plan.is_plain for plan in self.memory_plans.values()):
            placed["plans"] = self._planned_sizes
        if self.group.world_size > 1:
            placed["ranks"] = self.group.world_size
        if self.is_proof:
            placed["proof"] = True
        resolved: Decisions = {
            "device": str(self.compute.device),
            "precision": self.compute.precision,
            "threads": self.compute.threads,
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "tile": self.options.machine.tile,
            "scales": [scale.as_data() for scale in self.scales],
            "style_layers": dict(self.style_layers),
            "content_layers": dict(self.content_layers),
        }
        return placed | resolved

    @property
    def all_decisions(self) -> Decisions:
        """The decisions with the memory plan of every size, including default ones: for checkpoints and other
        processes."""
        return {**self.decisions, "plans": self._planned_sizes}

    @property
    def _planned_sizes(self) -> list[list[Any]]:
        return [[*size, *plan.as_data()] for size, plan in self.memory_plans.items()]

    def initial_weights(self) -> LiveWeights:
        """Return the initial weights of the run."""
        return LiveWeights.of(self.options, {**self.tensors.strengths(), PROTECTED: 0.0})

    def check_disk_space(self, folder: Path) -> None:
        """Raise MachineError if a disk lacks space for the run's checkpoints in a folder and its output file."""
        states = [self.memory_model.at(*size).state(plan) for size, plan in self.memory_plans.items()]
        there = sum(path.stat().st_size for path in folder.glob("checkpoint-*"))
        wants = [(folder, max(0, STATES * max(states, default=0) - there), "its checkpoints")]
        if self.output is not None:
            channels = 3 if self.files["content"].alpha is None else 4
            size = images.estimated_bytes(self.output, self.size, self.options.output.bits, channels)
            wants.append((self.output.parent, size, "the image"))
        if (short := disk_shortfall(wants)) is not None:
            raise MachineError(short)

    def memory_plan_at(self, height: int, width: int) -> memory.MemoryPlan:
        """Return the memory plan of a scale."""
        return self.memory_plans.get((height, width), memory.MemoryPlan(self.options.machine.tile))

    def allocator_at(self, scale: Scale) -> AbstractContextManager[None]:
        """Return a context that controls what the allocator does with freed memory at a scale.

        Freed memory is retained unless some scale of the run has to release it: what one scale retains, the next would
        reuse and never return to the system.
        """
        if any(plan.releases_memory for plan in self.memory_plans.values()):
            return allocator.release_freed_memory()
        return allocator.retain_freed_memory(2 * self.memory_model.at(scale.height, scale.width).block)

    def options_at(self, scale: Scale) -> Options:
        """Return the options with the tile size of a scale."""
        tile = self.memory_plan_at(scale.height, scale.width).tile
        return replace(self.options, machine=replace(self.options.machine, tile=tile))


def prepare(
    content: PictureLike,
    style: StyleLike | RegionSpec,
    options: Options,
    output: str | os.PathLike[str] | None = None,
    *,
    start: PictureLike | None = None,
    decisions: Decisions | None = None,
    group: ProcessGroup = ALONE,
) -> PreparedRun:
    """Load and check everything that a run needs.

    Args:
        content: path, PIL image, array or tensor.
        style: the same, or a ``RegionSpec`` of styles.
        options: all options, resolved.
        output: output file.
        start: image that initializes the canvas, instead of ``init``.
        decisions: decisions of an earlier run, to be reused.
        group: the processes that share the work.

    Raises:
        InputError: an image or an option cannot be used.
        MachineError: the device or precision is not available.
    """
    decided: Decisions = decisions or {}
    machine = _compute_settings(options, decided, group)
    style_layers, content_layers = _layers(options, decided)
    limits = images.DecodeLimits.of(options.output)
    region_spec = style if isinstance(style, RegionSpec) else parse_regions(style, limits=limits)
    files = _load_files(content, region_spec, start, options, limits)
    region_spec, mask_notes = draw_masks(region_spec, files["content"])
    size = images.canvas_size(files["content"].size, options.output.size, options.output.dpi)
    target = None if output is None else _target(output, files, size, options.output.bits)
    tensors = build_region_tensors(region_spec, files["content"], options, machine.device)
    scales = _scales(size, options, decided)
    if not tensors.regions:  # nothing is left to paint
        scales = [replace(scales[-1], steps=0)]
    memory_model = _memory_model(size, (*style_layers, *content_layers), options, machine, tensors, files, group)
    plans = _plans(scales, options, machine, memory_model, decided)
    notes = [*_notes(files, size, options), *mask_notes, *tensors.notes, *_memory_notes(plans[size])]
    return PreparedRun(
        options=options,
        tensors=tensors,
        region_spec=region_spec,
        start=without_hidden_colors(files["init"], machine.device) if "init" in files else None,
        files=files,
        output=target,
        compute=machine,
        scales=scales,
        style_layers=style_layers,
        content_layers=content_layers,
        size=size,
        memory_plans=plans,
        memory_model=memory_model,
        notes=[*notes, machine.note] if machine.note else notes,
        group=group,
        is_proof=bool(decided.get("proof")) and "init" in files and options.loss_weights.units == "unitless",
    )


def _load_files(
    content: PictureLike,
    region_spec: RegionSpec,
    start: PictureLike | None,
    options: Options,
    limits: images.DecodeLimits,
) -> dict[str, images.Picture]:
    """Return the input images by role."""
    files = {"content": images.load(content, limits=limits), **region_spec.pictures}
    start = _start_file(options.optimization.init) if start is None else start
    if start is not None:
        files["init"] = images.load(start, limits=limits)
    _check_sides(files)
    return files


def in_float32(prepared: PreparedRun, note: str) -> PreparedRun:
    """Return a run in float32, with new memory plans, since features then take twice the memory.

    Args:
        prepared: the run in bfloat16.
        note: the reason, for the user.
    """
    compute = replace(prepared.compute, dtype=torch.float32)
    model = replace(prepared.memory_model, bf16_features=False)
    plans = _plans(prepared.scales, prepared.options, compute, model, {})
    changed = replace(prepared, compute=compute, memory_model=model, memory_plans=plans)
    first: Decisions = {"plans": changed.all_decisions["plans"]}
    decided: Decisions | None = prepared.group.broadcast(first)  # that of the first process
    plans = _plans(prepared.scales, prepared.options, compute, model, decided or {})
    new = [line for line in _memory_notes(plans[prepared.size]) if line not in prepared.notes]
    return replace(changed, memory_plans=plans, notes=[*prepared.notes, note, *new])


def check_together(options: Options, group: ProcessGroup, *, decided: bool = False) -> None:
    """Raise OptionError for options that several processes do not support; a time limit is allowed if the steps are
    decided."""
    if group.world_size == 1:
        return
    alone = {
        "fast": (options.feed_forward.enabled, "a feed-forward pass is not split"),
        "time": (
            options.optimization.time is not None and not decided,
            "--time measures one process; use --steps or --quality",
        ),
        "seamless": (options.control.seamless, "opposite edges are neighbors; omit --seamless"),
        "optimizer": (
            options.optimization.optimizer == "pyramid",
            "the pyramid is not split; --optimizer lbfgs or adam is",
        ),
    }
    for option, (given, why) in alone.items():
        if given:
            raise OptionError(
                f"{option} is not supported with {group.world_size} processes: {why}, or run without torchrun",
                option,
            )


def _layers(options: Options, decided: Decisions) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return the style layers and the content layers with their weights."""
    style = decided.get("style_layers") or parse_weights(
        options.features.style_layers or default_style_layers(options), "style_layers"
    )
    content = decided.get("content_layers") or parse_weights(
        options.features.content_layers or default_content_layers(options), "content_layers"
    )
    for name, layers in (("style_layers", style), ("content_layers", content)):
        check_layers(layers, options.features.network, option=name)
    return style, content


def _memory_model(
    size: tuple[int, int],
    layers: Sequence[str],
    options: Options,
    machine: ComputeSettings,
    tensors: RegionTensors,
    files: Mapping[str, images.Picture],
    group: ProcessGroup,
) -> memory.MemoryModel:
    """Return the memory model of the largest scale."""
    return memory.MemoryModel(
        *size,
        depth=max(map(block, layers), default=0),
        bf16_features=machine.dtype is torch.bfloat16,
        optimizer=options.optimization.optimizer,
        masks=tensors.maps,
        inputs=sum(file.height * file.width for file in files.values()),
        recolor=options.control.final_recolor > 0,
        ranks=group.world_size,
        can_release=machine.device.type == "cpu" and allocator.can_release(),
    )


def _check_sides(files: Mapping[str, images.Picture]) -> None:
    for part, file in files.items():
        if part.split()[0] in ("content", "style") and min(file.size) < SMALLEST_SIDE:
            raise ImageError(
                f"the {part} {file.name!r} is {file.width}x{file.height} px, too small for the layers: "
                f"use an image with at least {SMALLEST_SIDE} px per side"
            )


def _compute_settings(options: Options, decided: Decisions, group: ProcessGroup) -> ComputeSettings:
    """Return the device, precision and threads, those of an earlier run if this machine has them and the number of
    processes is the same."""
    wanted = options.machine
    if "device" in decided and decided["device"] in devices():
        wanted = replace(wanted, device=decided["device"], precision=decided["precision"])
        if decided.get("ranks", 1) == group.world_size:
            wanted = replace(wanted, threads=decided["threads"])
    return resolve_device(wanted)


def _start_file(init: str) -> str | None:
    """Return the image file that ``init`` names, None for a keyword; a misspelled keyword is an error."""
    if init in INIT_NAMES:
        return None
    if not images.split_crop(init)[0].suffix and not Path(init).exists():
        raise OptionError(f"init is {init!r}; {suggest(init, INIT_NAMES)}, or pass an image file", "init")
    return init


def _target(
    output: str | os.PathLike[str], files: Mapping[str, images.Picture], size: tuple[int, int], bits: int
) -> Path:
    """Return the output file, after checking that it can be written."""
    sources = [file.source for file in files.values() if file.source is not None]
    nbytes = images.estimated_bytes(output, size, bits, 3 if files["content"].alpha is None else 4)
    return images.check_output(output, inputs=sources, size=size, bits=bits, nbytes=nbytes)


def _scales(size: tuple[int, int], options: Options, decided: Decisions) -> list[Scale]:
    if "scales" in decided:
        scales = [Scale.from_data(data) for data in decided["scales"]]
        if (scales[-1].height, scales[-1].width) != size:
            raise RecordError(
                f"the record's plan ends at {scales[-1].width}x{scales[-1].height} px and its options at "
                f"{size[1]}x{size[0]}: the record was altered"
            )
        return scales
    return scales_for(options, *size)


def _plans(
    scales: Sequence[Scale],
    options: Options,
    machine: ComputeSettings,
    memory_model: memory.MemoryModel,
    decided: Decisions,
) -> dict[tuple[int, int], memory.MemoryPlan]:
    """Return the memory plan of each scale by size; the plans of an earlier run are reused."""
    if "plans" in decided:
        return {(entry[0], entry[1]): memory.MemoryPlan.from_data(entry[2:]) for entry in decided["plans"]}
    wanted = options.machine
    if wanted.memory is not None:
        limit: int | None = validation.parse_bytes(wanted.memory)
    elif machine.device.type == "cuda":
        limit = int(memory.FREE_SHARE * torch.cuda.mem_get_info(machine.device)[0])
    else:
        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if memory_model.ranks > 1 else 1
        limit = int(memory.FREE_SHARE * memory.free_bytes()) // here
    if wanted.tile is not None:  # chosen by hand
        return {(scale.height, scale.width): memory.MemoryPlan(wanted.tile) for scale in scales}
    plans = {}
    for scale in scales:
        split = not ProcessGroup(0, memory_model.ranks).shard(scale.height).is_whole
        asked = replace(memory_model.at(scale.height, scale.width), ranks=memory_model.ranks if split else 1)
        if options.control.seamless:  # only possible without tiles, so it is tried even if it does not seem to fit
            found = memory.fitting(asked, limit, whole=True)
            plans[scale.height, scale.width] = found or memory.MemoryPlan(release_eagerly=asked.can_release)
        else:
            plans[scale.height, scale.width] = memory.plan_memory(asked, limit)
    return plans


def _memory_notes(plan: memory.MemoryPlan) -> list[str]:
    """Return warnings about the memory plan of the last scale."""
    if plan.first_order:
        return ["memory is short: a first-order method replaces L-BFGS at the largest size"]
    if plan.pairs < memory.PAIRS:
        return [f"memory is short: L-BFGS remembers {plan.pairs} steps instead of {memory.PAIRS} at the largest size"]
    return []


def _notes(files: Mapping[str, images.Picture], size: tuple[int, int], options: Options) -> list[str]:
    notes = [note for file in files.values() for note in file.notes]
    has_strokes = options.feed_forward.model is None  # a trained network brings its own, and a thumbnail of the style
    if has_strokes and max(files["style"].size) < 0.9 * max(size) * options.features.style_scale:
        notes.append(
            "the style is smaller than the output requires: its strokes are painted at its own size, not enlarged"
        )
    return notes
