"""The state of a training between two steps, as one file: what it takes to go on as if nothing had happened.

In: the network, its average, Adam's moments and where the training stands. Out: a safetensors file, written whole or
not at all, and all of it back, exactly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto.errors import RecordError
from impasto.feedforward.network import StyleNetwork
from impasto.imaging import images

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def keep(
    path: Path,
    networks: Mapping[str, StyleNetwork],
    adam: torch.optim.Adam,
    signature: str,
    progress: Mapping[str, Any],
) -> None:
    """Write a state.

    Args:
        path: of the file.
        networks: by name; the one called ``network`` is the one that Adam trains.
        adam: its optimiser.
        signature: what must be the same for the training to go on.
        progress: where it stands, as JSON takes it.
    """
    from safetensors.torch import save

    tensors = {
        f"{prefix}.{name}": value.detach().cpu().contiguous()
        for prefix, network in networks.items()
        for name, value in network.state_dict().items()
    }
    for index, parameter in enumerate(networks["network"].parameters()):
        for name, value in adam.state.get(parameter, {}).items():
            tensors[f"adam.{index}.{name}"] = value.detach().cpu().clone().contiguous()
    facts = {"signature": signature, "progress": json.dumps(dict(progress))}
    images.write_atomically(path, save(tensors, facts))


def restore(path: Path, networks: Mapping[str, StyleNetwork], adam: torch.optim.Adam, signature: str) -> dict[str, Any]:
    """Take a state back into networks and optimiser, and return where the training stands.

    Args:
        path: of the file.
        networks: as they were given to ``keep``.
        adam: the optimiser of the one called ``network``.
        signature: of this training.

    Raises:
        RecordError: the file is damaged, or of another training.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = path.read_bytes()
    try:
        tensors = load(data)
        facts = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        progress: dict[str, Any] = json.loads(facts["progress"])
    except (SafetensorError, ValueError, KeyError):
        raise RecordError(f"the state {str(path)!r} is damaged: train without --resume") from None
    if facts["signature"] != signature:
        raise RecordError(
            f"the state {str(path)!r} is of a training with other options, photographs or styles: "
            "give the same ones, or train without --resume"
        )
    for prefix, network in networks.items():
        network.load_state_dict(dict(_below(tensors, prefix)))
    for index, parameter in enumerate(networks["network"].parameters()):
        moments = dict(_below(tensors, f"adam.{index}"))
        adam.state[parameter] = {
            name: moments[name] if name == "step" else moments[name].to(parameter)
            for name in MOMENTS
            if name in moments
        }
    return progress


def _below(tensors: Mapping[str, Tensor], prefix: str) -> Iterator[tuple[str, Tensor]]:
    return ((name.removeprefix(f"{prefix}."), t) for name, t in tensors.items() if name.startswith(f"{prefix}."))
