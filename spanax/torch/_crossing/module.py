"""A torch module as a pure function of its weights and inputs: on a copy, so that the user's module stays what it is."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import torch

from ..._errors import SpanaxError


class Module:
    """A copy of a module: mode, buffers and frozen weights as they were when it was copied; the trainable weights are arguments.

    - `names`, `shapes`: of the trainable weights;
    - `device`: where they are, and where it runs.
    """

    def __init__(self, module: torch.nn.Module):
        self.title = type(module).__name__
        weights = dict(module.named_parameters())
        trained = {name: w for name, w in weights.items() if w.requires_grad}
        self.names = list(trained)
        self.shapes = {name: tuple(w.shape) for name, w in trained.items()}
        self.device = _device([*weights.values(), *module.buffers()])
        # Weights that come as arguments take no memory in the copy. It is its own, because a compiled program may call it
        # while the caller's thread goes on and uses the module.
        empty = {id(w): torch.nn.Parameter(torch.empty_like(w, device="meta")) for w in trained.values()}
        with modes_of_its_own(self.device):
            self._module = _copied(module, empty)
        self._lock = threading.RLock()

    def __call__(self, weights: Sequence[torch.Tensor], args: tuple, kwargs: dict) -> Any:
        """Its result. Raises if it updated one of its buffers: then it is no function of its arguments."""
        with self._lock:
            # In-place updates reach clones, never the copy's own buffers.
            buffers = {name: b.clone() for name, b in self._module.named_buffers()}
            given = {**buffers, **dict(zip(self.names, weights, strict=True))}
            before = dict(given)
            out = torch.func.functional_call(self._module, given, args, kwargs)
        changed = [name for name, b in buffers.items() if given[name] is not before[name] or b._version]
        if changed:
            raise SpanaxError(
                f"the torch module {self.title} updates its buffers when it is called ({', '.join(changed[:3])}): it is no "
                "function of its arguments, and what it learns there would be lost",
                "module.eval(), before from_torch",
                "BatchNorm(track_running_stats=False), or GroupNorm or LayerNorm in its place",
            )
        return out


def _device(tensors: Sequence[torch.Tensor]) -> torch.device:
    devices = sorted({str(t.device) for t in tensors})
    if len(devices) > 1:
        raise SpanaxError(f"from_torch of a module on several devices: {', '.join(devices)}", "module.to(device)")
    return torch.device(devices[0] if devices else "cpu")


def _copied(module: torch.nn.Module, memo: dict[int, Any]) -> torch.nn.Module:
    try:
        return copy.deepcopy(module, dict(memo))
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise SpanaxError(
            f"from_torch cannot copy the module: {str(error).splitlines()[0]}",
            "a module without tensors that were computed outside of its forward",
            "torch.nn.utils.parametrizations in the place of the older weight_norm and spectral_norm",
        ) from error


class Look(NamedTuple):
    """What one run of the module shows for these shapes: structure and shapes of its result, whether it draws random numbers, and
    which results are differentiable.
    """

    tree: Any
    outs: tuple[torch.Tensor, ...]
    is_random: bool
    alive: tuple[bool, ...]


def look(module: Module, weights: Sequence[torch.Tensor], args: tuple, kwargs: dict) -> Look:
    """Runs the module once, on numbers that do not matter."""
    moving = [x for x in (*weights, *_tensors(args), *_tensors(kwargs)) if x.is_floating_point()]
    versions = [w._version for w in weights]
    with torch.enable_grad(), unchanged_generators(module.device) as drawn:
        # A leaf that requires a gradient cannot be overwritten, and a module may do that to its inputs.
        copies = {id(x): x.requires_grad_().clone() for x in moving}
        out = module(weights, *(jax.tree.map(lambda x: copies.get(id(x), x), tree) for tree in (args, kwargs)))
        is_random = drawn()
    # Weights are read where JAX has them: a module that overwrote them would change what JAX takes for constant.
    if [w._version for w in weights] != versions:
        raise SpanaxError(
            f"the torch module {module.title} overwrites its weights when it is called", "a module that does not"
        )
    leaves, tree = jax.tree.flatten(plain(out))
    _check_results(leaves, module)
    return Look(tree, tuple(y.detach() for y in leaves), is_random, tuple(y.requires_grad for y in leaves))


def _check_results(leaves: Sequence[Any], module: Module) -> None:
    for leaf in leaves:
        if not isinstance(leaf, torch.Tensor):
            problem = f"the torch module {module.title} returns a {type(leaf).__name__}"
            raise SpanaxError(problem, "tensors, in tuples, lists and dicts")


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [x for x in jax.tree.leaves(tree) if isinstance(x, torch.Tensor)]


def plain(out: Any) -> Any:
    """A result with dicts in the place of other mappings, such as the outputs of transformers, which JAX does not look into."""
    if isinstance(out, Mapping):
        return {name: plain(x) for name, x in out.items() if x is not None}
    if isinstance(out, tuple | list) and not hasattr(out, "_fields"):
        return type(out)(map(plain, out)) if type(out) in (tuple, list) else tuple(map(plain, out))
    return out


# -- what surrounds a call


@contextlib.contextmanager
def modes_of_its_own(device: torch.device) -> Iterator[None]:
    """The caller's modes are no argument of the function."""
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


@contextlib.contextmanager
def unchanged_generators(device: torch.device, words: torch.Tensor | None = None) -> Iterator[Any]:
    """PyTorch's default generators stay as they are. With `words`, they are seeded for the length of the block.

    Yields a function that tells whether anything has been drawn so far.
    """
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=[d.index or 0 for d in cuda]):
        if words is not None:
            low, high = (int(word) & 0xFFFFFFFF for word in words)
            torch.manual_seed(low | (high >> 1) << 32)
        states = _states(cuda)
        yield lambda: not all(map(torch.equal, states, _states(cuda)))


def _states(cuda: Sequence[torch.device]) -> list[torch.Tensor]:
    return [torch.get_rng_state(), *map(torch.cuda.get_rng_state, cuda)]
