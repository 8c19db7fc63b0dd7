"""Order along a dimension, relaxed: `soft_rank`, `soft_sort` and `top_k`, in n log n.

n numbers stand for the distribution of x_J + noise, J uniform, with Laplace noise of standard deviation `softness`. The rank of
x_i is the expected rank of x_i + noise among the others; the k-th value is the quantile of that distribution at (k - 1/2)/n; the
weights of the k-th place are the probabilities that x_j + noise lies between its quantiles at (k - 1)/n and k/n.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from .._checks import is_whole
from .._errors import SpanaxError
from ._native import rows
from ._native.checks import check_dim, check_float, check_positive
from ._native.fast_rows import soft_rank as rank_rows, soft_sort as sort_rows

Softness = float | Float[Tensor, ""]


def soft_rank(x: Float[Tensor, "*s"], softness: Softness, *, dim: int = -1) -> Float[Tensor, "*s"]:
    """The place of each entry, from 1 (the smallest) to n, relaxed: the expected rank of x_i + noise among the others.

    As the softness tends to 0, the ranks tend to the hard ones, and equal entries share the mean. Infinities keep the first or
    last place and have no derivative; a NaN makes its row NaN. Derivatives of every order, also with respect to the softness;
    the first is the fastest, on a CPU in particular.

    **Arguments:**

    - `x`: the numbers; half precision is computed in float32 or more;
    - `softness`: the standard deviation of the noise, in units of x: a positive number, or a tensor of shape [], whose value is
      not checked;
    - `dim`: the dimension.

    **Returns:**

    The ranks, of the shape and dtype of x. Descending ranks are those of -x.

    **Raises:**

    - `SpanaxError`: for what is no tensor of floats, a softness that is not positive, and a `dim` that does not exist.

    Struski et al. 2025 (LapSum, arXiv:2503.06242).

    >>> import torch
    >>> from spanax.torch import soft_rank
    >>> print([f"{rank:.2f}" for rank in soft_rank(torch.tensor([0.3, 0.1, 0.3]), 0.1)])
    ['2.47', '1.06', '2.47']
    """
    x, position = _on_last("soft_rank", x, softness, dim)
    if x.numel() == 0:
        return _back(x, position).clone()
    return _back(rank_rows(x, softness), position)


def soft_sort(
    x: Float[Tensor, "*s"], softness: Softness, *, dim: int = -1, descending: bool = False
) -> Float[Tensor, "*s"]:
    """The entries in ascending order, relaxed: the quantiles at (k - 1/2)/n of the entries with noise.

    As the softness tends to 0 they tend to the sorted entries. Infinities stay where they are and have no derivative; a NaN makes
    its row NaN. Derivatives of every order, also with respect to the softness; the first is the fastest, on a CPU in particular.

    **Arguments:**

    - `x`: the numbers; half precision is computed in float32 or more;
    - `softness`: the standard deviation of the noise, in units of x: a positive number, or a tensor of shape [], whose value is
      not checked;
    - `dim`: the dimension;
    - `descending`: whether the order is reversed.

    **Returns:**

    The values, of the shape and dtype of x.

    **Raises:**

    - `SpanaxError`: for what is no tensor of floats, a softness that is not positive, and a `dim` that does not exist.

    Struski et al. 2025 (LapSum, arXiv:2503.06242).

    >>> import torch
    >>> from spanax.torch import soft_sort
    >>> x = torch.tensor([1.0, 3.0, 2.0], requires_grad=True)
    >>> first = soft_sort(x, 0.5)[0]
    >>> first.backward()
    >>> print(f"{first:.2f}", [f"{g:.2f}" for g in x.grad])
    0.98 ['0.94', '0.00', '0.06']
    """
    x, position = _on_last("soft_sort", x, softness, dim)
    if not isinstance(descending, bool):
        raise SpanaxError(f"soft_sort(descending={descending!r})", "True", "False")
    if x.numel() == 0:
        return _back(x, position).clone()
    return _back(_sorted(x, softness, x.shape[-1], descending), position)


def top_k(
    x: Float[Tensor, "*s"], k: int, softness: Softness, *, dim: int = -1
) -> tuple[Float[Tensor, "*k"], Float[Tensor, "*k n"]]:
    """The k largest values, descending, and the weights of their indices, relaxed.

    The sum of the weights over the k places is the soft top-k mask; each place's weights sum to 1, and no entry has more than 1
    in all. Infinities keep their values and have no derivative; a NaN makes its row NaN. The weights take k n numbers.

    **Arguments:**

    - `x`: the numbers; half precision is computed in float32 or more;
    - `k`: how many;
    - `softness`: the standard deviation of the noise, in units of x: a positive number, or a tensor of shape [], whose value is
      not checked;
    - `dim`: the dimension.

    **Returns:**

    The values, with k in place of n along `dim`, and the weights, with a new last dimension of the n entries.

    **Raises:**

    - `SpanaxError`: for what is no tensor of floats, a softness that is not positive, a `dim` that does not exist, and a k that
      is not in 0 ... n.

    Struski et al. 2025 (LapSum, arXiv:2503.06242).

    >>> import torch
    >>> from spanax.torch import top_k
    >>> values, weights = top_k(torch.tensor([0.1, 0.7, 0.2]), 2, 0.1)
    >>> print([f"{w:.2f}" for w in weights.sum(0)])
    ['0.25', '1.00', '0.75']
    """
    x, position = _on_last("top_k", x, softness, dim)
    n = x.shape[-1]
    if not (is_whole(k, 0) and k <= n):
        raise SpanaxError(f"top_k of k={k!r} among {n} entries", f"k from 0 to {n}")
    if x.numel() == 0 or k == 0:
        values, weights = x[..., :k].clone(), x.new_zeros((*x.shape[:-1], k, n))
    else:
        # The noise is symmetric: the places of -x from the smallest are those of x from the largest.
        values, weights = _sorted(x, softness, k, True), rows.soft_permutation(-x, softness, k)
    return values.movedim(-1, position), weights.movedim(-2, position)


def _sorted(x: Tensor, softness: Any, count: int, descending: bool) -> Tensor:
    return -sort_rows(-x, softness, count) if descending else sort_rows(x, softness, count)


def _on_last(name: str, x: Any, softness: Any, dim: Any) -> tuple[Tensor, int]:
    """x with `dim` moved to the end, and that dimension, not negative."""
    x = check_float(f"{name}(x", x)
    check_positive(f"{name}(softness", softness)
    position = check_dim(f"{name}(dim", dim, x)
    return (x if position == x.dim() - 1 else x.movedim(position, -1)), position


def _back(out: Tensor, position: int) -> Tensor:
    return out if position == out.dim() - 1 else out.movedim(-1, position)
