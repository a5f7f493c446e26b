"""What a run costs, without a clock: forward passes, floating-point operations, and the most bytes alive at once.

In: a network and something to run. Out: counts, the same on every machine of one precision and one version of torch, so
that a test can hold them against recorded figures. The operations are those of matrix products and convolutions, by
torch's own counter. The bytes are those of tensors that operations returned while the count went on and that were still
referred to, by Python or by autograd; what a kernel takes for itself is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """Forward passes of the network, floating-point operations, most bytes alive at once."""

    forwards: int
    flops: int
    peak_bytes: int


class _Nowhere:
    """In place of what tells the counter the module it is in, which stumbles over a gradient for a picture."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


class LiveBytes(TorchDispatchMode):
    """Count the bytes of storages made while the mode is on, each until nothing refers to it any more."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.peak = 0, 0
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in before:
                self._note(leaf.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return

        def gone(_: Any) -> None:
            self._alive.pop(key, None)
            self.now -= size

        self._alive[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


def cost_of(network: nn.Module, run: Callable[[], Any]) -> Cost:
    """Run something and count what it costs.

    Args:
        network: whose forward passes are counted.
        run: what to run.
    """
    calls = 0

    def called(*_: Any) -> None:
        nonlocal calls
        calls += 1

    hook = network.register_forward_pre_hook(called)
    live, flops = LiveBytes(), FlopCounterMode(display=False)
    flops.mod_tracker = _Nowhere()  # type: ignore[assignment]
    try:
        with flops, live:
            run()
    finally:
        hook.remove()
    return Cost(calls, flops.get_total_flops(), live.peak)
