"""Small questions to tensors that no mode may hear."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

_MOST = 10_000  # elements of a list that are looked at: a longer one holds numbers


def tensors_in(tree: Any, depth: int = 6) -> Iterator[torch.Tensor]:
    """The tensors in nested lists, tuples, mappings and records."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif depth and isinstance(tree, list | tuple | set | frozenset):
        for element in itertools.islice(tree, _MOST):
            yield from tensors_in(element, depth - 1)
    elif depth and isinstance(tree, Mapping):
        yield from tensors_in(list(tree.values()), depth - 1)
    elif depth and hasattr(tree, "__dataclass_fields__"):
        yield from tensors_in([getattr(tree, name, None) for name in tree.__dataclass_fields__], depth - 1)


def is_live(tensor: torch.Tensor) -> bool:
    """Does autograd follow it? Inside of `torch.func` transformations too, where tensors are wrapped."""
    if tensor.requires_grad:
        return True
    inner = unwrapped(tensor)
    return inner is not tensor and inner.requires_grad


def is_followed(tensor: torch.Tensor) -> bool:
    """Does autograd follow it to what it was made of? A leaf, such as a new `nn.Parameter`, is where that ends."""
    if not is_live(tensor):
        return False
    inner = unwrapped(tensor)
    return inner.grad_fn is not None or tensor.grad_fn is not None


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


def is_zero(tensors: Iterable[torch.Tensor | None]) -> bool:
    """Are all of them missing or 0? NaN is not 0."""
    return all(tensor is None or tensor.numel() == 0 or not bool(dense(tensor).ne(0).any()) for tensor in tensors)


def dense(tensor: torch.Tensor) -> torch.Tensor:
    """A sparse tensor, as of an embedding's gradient, written out: few questions have an answer for its layout."""
    return tensor if tensor.layout == torch.strided else tensor.detach().to_dense()
