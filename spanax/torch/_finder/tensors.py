"""Small questions to tensors that no mode may hear."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import torch

_FEW = 256
_MOST = 10_000  # elements of a list that are looked at: a longer one holds numbers


_PLAIN = frozenset((int, float, bool, str, type(None), torch.dtype, torch.device, torch.Size, slice))


def tensors_in(tree: Any, depth: int = 6) -> list[torch.Tensor]:
    """The tensors in nested lists, tuples, mappings and records."""
    found: list[torch.Tensor] = []
    _gather(tree, depth, found)
    return found


def _gather(tree: Any, depth: int, found: list[torch.Tensor]) -> None:
    if isinstance(tree, torch.Tensor):
        found.append(tree)
    elif depth and type(tree) not in _PLAIN:
        for element in _elements(tree):
            if type(element) not in _PLAIN:
                _gather(element, depth - 1, found)


def _elements(tree: Any) -> Iterable[Any]:
    if isinstance(tree, list | tuple | set | frozenset):
        return tree if len(tree) <= _MOST else itertools.islice(tree, _MOST)
    if isinstance(tree, Mapping):
        return list(tree.values())
    return [getattr(tree, name, None) for name in getattr(tree, "__dataclass_fields__", ())]


def is_live(tensor: torch.Tensor) -> bool:
    """Does autograd follow it? Inside of `torch.func` transformations too, where tensors are wrapped."""
    return tensor.requires_grad or unwrapped(tensor).requires_grad


def is_followed(tensor: torch.Tensor) -> bool:
    """Does autograd follow it to what it was made of? A leaf, such as a new `nn.Parameter`, is where that ends."""
    return is_live(tensor) and (tensor.grad_fn is not None or unwrapped(tensor).grad_fn is not None)


def unwrapped(tensor: torch.Tensor) -> torch.Tensor:
    wrappers: Any = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]
    while wrappers.is_functorch_wrapped_tensor(tensor):
        tensor = wrappers.get_unwrapped(tensor)
    return tensor


def version(tensor: torch.Tensor) -> int:
    """How often it was written to; tensors of inference mode do not count."""
    return -1 if tensor.is_inference() else tensor._version


def storage_key(tensor: torch.Tensor) -> int:
    """Which memory it lies in; 0 where that cannot be known."""
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):  # a wrapper, or a layout without one memory
        return 0


def is_float(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def floats(tree: Any) -> list[torch.Tensor]:
    return [tensor for tensor in tensors_in(tree) if is_float(tensor)]


def numbers(tensor: torch.Tensor) -> torch.Tensor:
    """All that it holds, in a dense tensor: of a sparse one, what it stores."""
    if tensor.layout is torch.strided:
        return tensor
    # Few operations take sparse tensors, and of one that is not coalesced an element is a sum.
    return tensor.coalesce().values() if tensor.layout is torch.sparse_coo else tensor.to_dense()


def is_finite(tensor: torch.Tensor) -> bool:
    return bool(torch.isfinite(numbers(tensor)).all())


def largest(tensor: torch.Tensor) -> float:
    stored = numbers(tensor)
    return float(stored.abs().max()) if stored.numel() else 0.0


def is_zero(tensors: Iterable[torch.Tensor | None]) -> bool:
    """Are all of them missing or 0? NaN is not 0."""
    return not any(tensor is not None and tensor.numel() and _has_some(numbers(tensor)) for tensor in tensors)


def _has_some(tensor: torch.Tensor) -> bool:
    # A large derivative that is not 0 shows it at once.
    large = tensor.numel() > _FEW and tensor.layout == torch.strided and tensor.is_contiguous()
    return (large and bool(tensor.view(-1)[:_FEW].ne(0).any())) or bool(tensor.ne(0).any())
