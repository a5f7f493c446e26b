"""A training checkpoint: one file with everything needed to resume training with identical results.

The network, its average, Adam's moments and the progress are saved exactly in a safetensors file, written atomically.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto.errors import RecordError
from impasto.feedforward.network import StyleNetwork, current_names
from impasto.files import write_atomically

OLD_PROGRESS = {"worse": "bad_rounds", "checked": "history"}  # keys of files by earlier versions
MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def save(
    path: Path,
    networks: Mapping[str, StyleNetwork],
    adam: torch.optim.Adam,
    signature: str,
    progress: Mapping[str, object],
) -> None:
    """Write a checkpoint.

    Args:
        path: the file.
        networks: networks by name; ``network`` is the one trained by ``adam``.
        adam: the optimizer.
        signature: hash of everything that must be equal to resume.
        progress: the progress, as JSON values.
    """
    from safetensors.torch import save as to_bytes

    tensors = {
        f"{prefix}.{name}": value.detach().cpu().contiguous()
        for prefix, network in networks.items()
        for name, value in network.state_dict().items()
    }
    for index, parameter in enumerate(networks["network"].parameters()):
        for name, value in adam.state.get(parameter, {}).items():
            tensors[f"adam.{index}.{name}"] = value.detach().cpu().clone().contiguous()
    facts = {"signature": signature, "progress": json.dumps(dict(progress))}
    write_atomically(path, to_bytes(tensors, facts))


def restore(path: Path, networks: Mapping[str, StyleNetwork], adam: torch.optim.Adam, signature: str) -> dict[str, Any]:
    """Load a checkpoint into networks and optimizer, and return the progress.

    Args:
        path: the file.
        networks: the same names as in ``save``.
        adam: the optimizer of ``network``.
        signature: the signature of this training.

    Raises:
        RecordError: the file is damaged, or belongs to a different training run.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = path.read_bytes()
    try:
        tensors = load(data)
        facts = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        progress: dict[str, Any] = json.loads(facts["progress"])
    except (SafetensorError, ValueError, KeyError):
        raise RecordError(f"the checkpoint {str(path)!r} is damaged: train without --resume") from None
    if facts["signature"] != signature:
        raise RecordError(
            f"the checkpoint {str(path)!r} belongs to a training run with other options, photographs or styles: "
            "use the same ones, or train without --resume"
        )
    for prefix, network in networks.items():
        network.load_state_dict(current_names(dict(_below(tensors, prefix))))
    for index, parameter in enumerate(networks["network"].parameters()):
        moments = dict(_below(tensors, f"adam.{index}"))
        adam.state[parameter] = {
            name: moments[name] if name == "step" else moments[name].to(parameter)
            for name in MOMENTS
            if name in moments
        }
    return {OLD_PROGRESS.get(name, name): value for name, value in progress.items()}


def _below(tensors: Mapping[str, Tensor], prefix: str) -> Iterator[tuple[str, Tensor]]:
    return ((name.removeprefix(f"{prefix}."), t) for name, t in tensors.items() if name.startswith(f"{prefix}."))
