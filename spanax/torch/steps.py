"""Steps of one number, and clip: `round`, `sign`, `step`, `clip`.

`via` is one of the bridges of `spanax.bridges`, as for `spanax.hard`: `Soft(0.1)` has the relaxed value, what the operation is in
expectation with noise of standard deviation .1 on its input; `StraightThrough(Soft(0.1))` the exact value with the relaxed
derivative; `StraightThrough()` the exact value with the derivative of the identity.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from .._checks import is_number, is_whole
from .._errors import SpanaxError
from ..bridges import Soft, StraightThrough
from ._native.checks import check_float
from ._native.hard import crossed
from ._native.kernels import units

Via = Soft | StraightThrough | None
Bound = float | Float[Tensor, "*b"] | None


def round(x: Float[Tensor, "*s"], decimals: int = 0, *, via: Via = None) -> Float[Tensor, "*s"]:
    """The nearest multiple of 10^-decimals, halves to even, like `torch.round`. Relaxed: E round(x + noise).

    **Arguments:**

    - `x`: the numbers;
    - `decimals`: how many decimals stay; negative for tens, hundreds, ...;
    - `via`: the bridge, `Soft` or `StraightThrough`; None for the exact value, whose derivative raises.

    **Returns:**

    A tensor of the shape and dtype of x.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated; for another bridge; for what is no tensor of floats.

    >>> import torch
    >>> from spanax.bridges import StraightThrough
    >>> from spanax.torch import round
    >>> x = torch.tensor(2.6, requires_grad=True)
    >>> (round(x, via=StraightThrough()) ** 2).backward()
    >>> x.grad
    tensor(6.)
    """
    x = check_float("round(x", x)
    if not is_whole(decimals, -300):
        raise SpanaxError(f"round(decimals={decimals!r})", "an integer")
    unit = 10.0**decimals

    # Halves have the probability 0 under noise: rounding is a floor that is half a unit away.
    def soft(kernel, x, softness):
        return kernel.floor(x * unit + 0.5, softness * unit) / unit

    return crossed("round", x, via, lambda x: torch.round(x, decimals=decimals), soft)


def sign(x: Float[Tensor, "*s"], *, via: Via = None) -> Float[Tensor, "*s"]:
    """-1, 0 or 1, like `torch.sign`; NaN stays NaN. Relaxed: the expectation, 2 P(x + noise > 0) - 1.

    **Arguments:**

    - `x`: the numbers;
    - `via`: the bridge, `Soft` or `StraightThrough`; None for the exact value, whose derivative raises.

    **Returns:**

    A tensor of the shape and dtype of x.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated; for another bridge; for what is no tensor of floats.

    >>> import torch
    >>> from spanax.bridges import Soft
    >>> from spanax.torch import sign
    >>> sign(torch.tensor([-2.0, 0.0, 0.5])).tolist()
    [-1.0, 0.0, 1.0]
    >>> print(f"{sign(torch.tensor(0.0), via=Soft(0.1)):.3f}")
    0.000
    """
    x = check_float("sign(x", x)

    # torch's sign of NaN is 0.
    def hard(x):
        return torch.where(torch.isnan(x), x, torch.sign(x))

    return crossed("sign", x, via, hard, lambda kernel, x, softness: 2 * kernel.cdf(units(x, softness)) - 1)


def step(x: Float[Tensor, "*s"], h0: float = 0.5, *, via: Via = None) -> Float[Tensor, "*s"]:
    """0 where x < 0, 1 where x > 0 and `h0` where x is 0, like `torch.heaviside`. Relaxed: P(x + noise > 0), for any `h0`.

    `step(x - 0.5, via=...)` is x > 0.5 with a derivative.

    **Arguments:**

    - `x`: the numbers;
    - `h0`: the value at 0;
    - `via`: the bridge, `Soft` or `StraightThrough`; None for the exact value, whose derivative raises.

    **Returns:**

    A tensor of the shape and dtype of x.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated; for another bridge; for what is no tensor of floats, or an
      `h0` that is no number.

    >>> import torch
    >>> from spanax.bridges import Soft, StraightThrough
    >>> from spanax.torch import step
    >>> x = torch.zeros(2, requires_grad=True)
    >>> z = step(x, via=StraightThrough(Soft(0.5)))
    >>> z.sum().backward()
    >>> z.tolist(), [float(f"{g:.3f}") for g in x.grad.tolist()]
    ([0.5, 0.5], [0.907, 0.907])
    """
    x = check_float("step(x", x)
    if not is_number(h0):
        raise SpanaxError(f"step(h0={h0!r})", "a number: the value at 0")

    def hard(x):
        # NaN stays NaN.
        return torch.where(torch.isnan(x), x, torch.where(x == 0, float(h0), (x > 0).to(x.dtype)))

    # Under noise x is 0 with probability 0, so that h0 is in the hard value only.
    return crossed("step", x, via, hard, lambda kernel, x, softness: kernel.cdf(units(x, softness)))


def clip(x: Float[Tensor, "*s"], min: Bound = None, max: Bound = None, *, via: Via = None) -> Float[Tensor, "*s"]:
    """min(max(x, min), max), like `torch.clip`. Relaxed: E clip(x + noise, min, max), for min <= max.

    The derivative with respect to the bounds is also that of the relaxed operation; with `StraightThrough()` it is 0.

    **Arguments:**

    - `x`: the numbers;
    - `min`: the lower bound, a number or a tensor of the dtype of x; None for none;
    - `max`: the upper bound, as well;
    - `via`: the bridge, `Soft` or `StraightThrough`; None for the exact value with torch's derivative.

    **Returns:**

    A tensor of the broadcast shape.

    **Raises:**

    - `SpanaxError`: for another bridge, what is no tensor of floats, and bounds that do not fit x.

    >>> import torch
    >>> from spanax.bridges import StraightThrough
    >>> from spanax.torch import clip
    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> clip(x, 0.0, 1.0, via=StraightThrough()).backward()
    >>> x.grad
    tensor(1.)
    """
    x = check_float("clip(x", x)
    # No bound is an infinite one: one formula for all.
    low, high = _bound("min", min, x, -torch.inf), _bound("max", max, x, torch.inf)
    try:
        x, low, high = torch.broadcast_tensors(x, low, high)
    except RuntimeError as error:
        shapes = ", ".join(str(list(t.shape)) for t in (x, low, high))
        raise SpanaxError(
            f"clip: x, min and max of shapes {shapes} do not broadcast", "bounds of the shape of x"
        ) from error

    # clip = its hard value, plus what noise lifts above `low`, less what noise cuts off at `high`.
    def soft(kernel, x, softness):
        at_least, at_most = low.to(x.dtype), high.to(x.dtype)
        below, above = x < at_least, x > at_most
        # The distances to the bounds, negative inside; an infinite bound is out of reach of any noise.
        short = torch.where(at_least == -torch.inf, -torch.inf, at_least - x)
        over = torch.where(at_most == torch.inf, -torch.inf, x - at_most)
        clipped = torch.where(above, at_most, torch.where(below, at_least, x))
        lifted = kernel.tail(torch.where(below, -short, short), softness)
        return clipped + lifted - kernel.tail(torch.where(above, -over, over), softness)

    return crossed("clip", x, via, lambda x: torch.clamp(x, low, high), soft, has_derivative=True)


def _bound(name: str, bound: Bound, x: Tensor, none: float) -> Tensor:
    if bound is None or (isinstance(bound, int | float) and not isinstance(bound, bool)):
        return torch.as_tensor(none if bound is None else bound, dtype=x.dtype, device=x.device)
    if not isinstance(bound, Tensor) or bound.dtype != x.dtype or bound.device != x.device:
        got = f"{bound.dtype} on {bound.device}" if isinstance(bound, Tensor) else repr(bound)
        raise SpanaxError(f"clip({name}={got}), and x is {x.dtype} on {x.device}", "a number", f"{name}.to(x)")
    return bound
