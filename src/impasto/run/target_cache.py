"""A cache of networks and targets, which several runs on the same images share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from impasto.losses.summaries.protocol import Refreshing
from impasto.network.encoder import Encoder, Padding
from impasto.network.weights import stored, vgg16_state, vgg19_state
from impasto.objective.scale_objective import ScaleObjective, build_scale_objective
from impasto.options.fields import names_with
from impasto.planning.schedule import Scale
from impasto.run import record
from impasto.run.prepared_run import PreparedRun


@dataclass
class TargetCache:
    """Networks and the targets of scales, shared by several runs on the same images.

    Args:
        state: weights of the network, as ``weights.vgg19_state`` returns them, instead of those that the options
            select.
        retain: keep targets for later runs; a single run does not need those of finished scales.
    """

    state: Mapping[str, Tensor] | None = None
    retain: bool = False
    _encoders: dict[tuple[Any, ...], Encoder] = field(default_factory=dict)
    _scale_objectives: dict[tuple[Any, ...], ScaleObjective] = field(default_factory=dict)
    bf16_cosine: dict[Encoder, float] = field(default_factory=dict)
    feed_forward: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    """The networks that paint in one pass, by what they were loaded from."""

    def encoder(self, prepared: PreparedRun) -> Encoder:
        """Return the encoder of a prepared run."""
        asked, place, file = prepared.options.features, prepared.compute, prepared.options.machine.weights
        padding: Padding = "circular" if prepared.options.control.seamless else "replicate"
        key = (asked.network, asked.pooling, padding, place.dtype, place.device, file)
        if key not in self._encoders:
            state = self.state
            if state is None:
                state = vgg16_state() if asked.network == "vgg16" else vgg19_state(_weights_file(file))
            self._encoders[key] = Encoder(
                state,
                network=asked.network,
                pooling=asked.pooling,
                padding=padding,
                dtype=place.dtype,
                device=place.device,
            )
        return self._encoders[key]

    def scale_objective(self, prepared: PreparedRun, scale: Scale) -> ScaleObjective:
        """Return the objective of one scale of a prepared run."""
        irrelevant = names_with("same_targets")
        flat = prepared.options.flat()
        settings = {name: value for name, value in flat.items() if name not in irrelevant}
        read = {part: file for part, file in prepared.files.items() if part != "init" or prepared.is_proof}
        pictures = [(part, file.sha256, file.crop) for part, file in read.items()]
        placed = record.text(prepared.region_spec.as_data())
        key = (record.text(settings), placed, tuple(pictures), scale.height, scale.width, prepared.compute.dtype)
        if key in self._scale_objectives:
            return self._scale_objectives[key]
        kept_tiles = prepared.memory_plan_at(scale.height, scale.width).kept_tiles
        scale_objective = build_scale_objective(
            self.encoder(prepared),
            prepared.tensors,
            scale,
            prepared.options_at(scale),
            prepared.style_layers,
            prepared.content_layers,
            kept_tiles,
            prepared.group.shard(scale.height),
            prepared.proof,
        )
        # The samples and matches of a loss belong to a single run.
        if self.retain and not any(isinstance(loss, Refreshing) for loss in scale_objective.objective.terms.values()):
            self._scale_objectives[key] = scale_objective
        return scale_objective


def _weights_file(wanted: str | None) -> str | Path | None:
    """Return the weights file for a name or a path."""
    return stored("vgg19-fp32") if wanted == "vgg19-fp32" else wanted
