"""`smooth`: a function with jumps, averaged over Gaussian noise on its argument; its derivative comes from values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import torch
from jaxtyping import Float
from torch import Tensor

from .._checks import check_positive, check_whole, is_number
from .._errors import SpanaxError
from ._native.checks import check_float, check_generator
from ._native.directions import orthogonal
from ._native.first_order import along

# The smallest sigma in units of the spacing of floats at x: below it, rounding moves the points from where they should be.
_RESOLUTION = 16


def smooth(
    f: Callable[..., Any],
    sigma: Any = 0.1,
    pairs: int = 32,
    *,
    batched: bool = False,
    generator: torch.Generator | None = None,
) -> Callable[..., Float[Tensor, ""]]:
    """The Gaussian average of a function with jumps: g(x, *args, **kwargs) estimates E[f(x + sigma u)], u standard normal.

    The value is the mean of f at 2 `pairs` points x + sigma u_k and x - sigma u_k. The derivative with respect to x is unbiased
    for that of the SMOOTHED function, from values of f alone: f may use NumPy, print, or call a program. For f itself it is
    biased, by O(sigma^2) where f is smooth. Directions are orthogonal to each other within blocks, and each is standard normal.
    First derivatives only: a second one raises. If f is flat at all points the derivative is exactly 0: sigma is to be about as
    wide as the way to the next jump. A NaN value of f makes value and derivative NaN.

    Values at other x say nothing of the derivative with respect to anything but x: a result of f that requires a gradient, by
    the parameters of a network for instance, is an error.

    **Arguments:**

    - `f`: f(x, *args, **kwargs) takes a tensor of floats, or a list, tuple or dictionary of them, and returns one number: of
      Python, NumPy, or a tensor of shape [];
    - `sigma`: the standard deviation of the noise in units of x: a positive number, or the structure of x with one for each
      tensor;
    - `pairs`: how many pairs of points;
    - `batched`: whether f takes all points at once, on a new first dimension, and returns as many numbers;
    - `generator`: of the directions; None for torch's global one.

    **Returns:**

    A function with f's signature that returns a tensor of shape [].

    **Raises:**

    - `SpanaxError`: for options that do not fit; and where the result is called or differentiated: an x that holds anything
      but finite floats, a sigma below 16 times the spacing of floats at x, a result of f that is not one number or requires a
      gradient, an argument besides x that requires one, and a second derivative.

    Nesterov and Spokoiny 2017 (Found. Comput. Math. 17, 527), section 2; orthogonal directions: Choromanski et al. 2018
    (arXiv:1804.02395), section 3.

    >>> import torch
    >>> from spanax.torch import smooth
    >>> x = torch.zeros(2, requires_grad=True)
    >>> def f(x):
    ...     return (x > 0).sum(-1)
    >>> g = smooth(f, sigma=0.5, pairs=4096, batched=True, generator=torch.Generator().manual_seed(0))
    >>> g(x).backward()
    >>> print([f"{slope:.1f}" for slope in x.grad])  # 1/(sigma sqrt(2 pi))
    ['0.8', '0.8']
    """
    if not callable(f):
        raise SpanaxError(f"smooth(f={f!r})", "a function of x")
    check_whole("smooth(pairs", pairs)
    for number in jax.tree.leaves(sigma):
        check_positive("smooth(sigma", number)
    if not isinstance(batched, bool):
        raise SpanaxError(f"smooth(batched={batched!r})", "True", "False")
    check_generator("smooth(generator", generator, None)

    @functools.wraps(f)
    def smoothed(x, *args, **kwargs):
        leaves, tree = jax.tree.flatten(x)
        sigmas = _check(leaves, tree, sigma, (args, kwargs))
        dtype = torch.float64 if any(leaf.dtype == torch.float64 for leaf in leaves) else torch.float32
        points = _points([leaf.detach() for leaf in leaves], sigmas, pairs, dtype, generator)
        call = functools.partial(_values, f, lambda at: jax.tree.unflatten(tree, at), args, kwargs, batched)
        values = call(points).to(leaves[0].device)
        value = values.mean().to(dtype)
        change = ((values[:pairs] - values[pairs:]) / 2).to(torch.promote_types(values.dtype, dtype))
        for leaf, at, s in zip(leaves, points, sigmas, strict=True):
            # The direction is read off the points: rounding moved them, and the one that f was evaluated along counts.
            u = ((at[:pairs] - at[pairs:]) / 2).to(change.dtype) / s
            value = along(value, (torch.tensordot(change, u, 1) / (pairs * s)).to(leaf.dtype), leaf, "smooth(f)")
        return value

    return smoothed


def _points(
    leaves: Sequence[Tensor], sigmas: Sequence[float], pairs: int, dtype: torch.dtype, generator: torch.Generator | None
) -> list[Tensor]:
    """For each leaf x: x + sigma u_k, then x - sigma u_k, on a new first dimension."""
    sizes = [leaf.numel() for leaf in leaves]
    u = orthogonal(pairs, sum(sizes), dtype, leaves[0].device, generator)
    found = []
    for leaf, sigma, part in zip(leaves, sigmas, u.split(sizes, 1), strict=True):
        step = (sigma * part).reshape(pairs, *leaf.shape).to(leaf.dtype)
        found.append(torch.cat([leaf + step, leaf - step]))
    return found


def _values(f: Callable, as_x: Callable, args: tuple, kwargs: dict, batched: bool, points: Sequence[Tensor]) -> Tensor:
    """f at all points, as one tensor of floats."""
    if batched:
        count, value = len(points[0]), f(as_x(points), *args, **kwargs)
        _check_value(value, (count,))
        return _as_floats(value)
    # One after the other: f may be any program. A result that requires a gradient is seen at each of them.
    values = []
    for at in zip(*points, strict=True):
        value = f(as_x(at), *args, **kwargs)
        _check_value(value, ())
        values.append(_as_floats(value))
    return torch.stack(values)


def _as_floats(value: Any) -> Tensor:
    # Python's numbers have the digits of float64; of half precision the difference of two values has few.
    value = value if isinstance(value, Tensor) else torch.as_tensor(value, dtype=torch.float64)
    return value.float() if value.dtype in (torch.float16, torch.bfloat16, torch.float32) else value.double()


def _check_value(value: Any, shape: tuple[int, ...]) -> None:
    if isinstance(value, Tensor) and value.requires_grad:
        raise SpanaxError(
            "smooth(f): the result of f requires a gradient by something else than x, and its values do not tell that one",
            "torch.no_grad() around what f does",
            "requires_grad_(False) for the parameters that f uses",
        )
    found = getattr(value, "shape", () if is_number(value) or isinstance(value, float | bool) else None)
    if found is None or tuple(found) != shape or _is_complex(value):
        got = type(value).__name__ if found is None else f"shape {list(found)}"
        wanted = "one real number" if shape == () else f"{shape[0]} real numbers, one for each point"
        raise SpanaxError(f"smooth(f): f returned {got}", f"{wanted}, as a tensor of shape {list(shape)}")


def _is_complex(value: Any) -> bool:
    return "complex" in str(getattr(value, "dtype", ""))


def _check(leaves: Sequence[Any], tree: Any, sigma: Any, others: Any) -> list[float]:
    """The sigma of each leaf."""
    for leaf in leaves:
        check_float("smooth(f)(x", leaf)
    if not sum(leaf.numel() for leaf in leaves):
        raise SpanaxError("smooth(f)(x) of an x without numbers", "a tensor that holds numbers")
    _check_others(others)
    sigmas, of = jax.tree.flatten(sigma)
    if of.num_leaves == 1 and of != tree:
        sigmas = sigmas * len(leaves)
    elif of != tree:
        raise SpanaxError(f"smooth(sigma={sigma!r}) for an x of another structure", "one number", "the structure of x")
    for leaf, s in zip(leaves, sigmas, strict=True):
        _check_resolution(leaf.detach(), s)
    return sigmas


def _check_others(others: Any) -> None:
    if any(isinstance(other, Tensor) and other.requires_grad for other in jax.tree.leaves(others)):
        raise SpanaxError(
            "smooth(f)(x, other): values at other x do not tell the derivative with respect to `other`",
            "other.detach()",
            "x = (x, other), if it is to be moved as well",
        )


def _check_resolution(x: Tensor, sigma: float) -> None:
    if not x.numel():
        return
    size = x.abs().max().item()
    # False for NaN too.
    if not sigma >= _RESOLUTION * torch.finfo(x.dtype).eps * size:
        raise SpanaxError(
            f"smooth(sigma={sigma}) at an x as large as {size:.3g} in {x.dtype}: the points are not where they should be",
            f"sigma of {_RESOLUTION * torch.finfo(x.dtype).eps * size:.2g} or more",
            "x in float64",
        )
