"""Cost of a run without timing: forward passes, floating-point operations and peak bytes of tensors.

In: a network and a function to run. Out: counts that depend only on the precision and the version of torch, so that
tests can compare them with recorded figures. Operations are those of matrix products and convolutions, counted by
torch. Bytes are those of tensors that were returned by operations and are still referenced by Python or autograd; the
workspace of kernels is not counted.
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
    """Forward passes of the network, floating-point operations, peak bytes of live tensors."""

    forwards: int
    flops: int
    peak_bytes: int


class _Nowhere:
    """Replaces the module tracker of the counter, which fails when the gradient of an input is computed."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


class LiveBytes(TorchDispatchMode):
    """Count the bytes of storages created while the mode is active, each until it is no longer referenced."""

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
    """Run a function and return its cost.

    Args:
        network: the network whose forward passes are counted.
        run: the function.
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
