"""Code to paste for a gap in a PyTorch program."""

from __future__ import annotations

import torch

_SOFT = "softness=0.1"
_STE = "y = spanax.torch.straight_through(hard, soft)  # the value of hard, the derivative of soft"
_SCORE = "loss = spanax.torch.surrogate_loss(cost, log_probs)  # cost and log_probs of several samples: [S] and [S, T]"
_GUMBEL = "z = spanax.torch.gumbel_softmax(logits, temperature=0.5)  # weights over the choices: biased, little noise"
_REINMAX = "z = spanax.torch.reinmax(logits)  # a one-hot draw; little bias"
_KEEP = "leave it out: compute with the tensor itself"
_SMOOTH = "spanax.torch.smooth(f, sigma=0.1, pairs=16)(x)  # a gradient from values alone"
_CUSTOM = (
    "return from backward a derivative for every tensor argument of forward",
    "torch.autograd.gradcheck(Function.apply, inputs)  # in float64: compares it with differences",
)
_UNUSED = ("use it in what the loss is computed from, or remove it", "parameter.requires_grad_(False)")
_RELAXED = {"round": "round", "sign": "sign", "sgn": "sign", "heaviside": "step"}
# Near enough to what goes in that its slope is 1: what is pasted keeps the value that the program has.
_NEAR = frozenset("floor ceil trunc fix hardshrink".split())
_CHOICES = frozenset(
    "argmax argmin argsort topk sort max min kthvalue mode one_hot searchsorted bucketize multinomial".split()
)
_COUNTS = frozenset("histc bincount unique count_nonzero histogram".split())
_HOST = frozenset("item tolist numpy float int index bool tensor as_tensor complex equal allclose dlpack".split())


def remedies(operation: str, kind: str, route: str, custom: bool = False) -> tuple[str, ...]:
    """For one gap; what they name is there after `import spanax.torch`. `custom`: the operation is an autograd.Function."""
    if kind in ("intended", "piecewise"):
        return ()
    if custom or kind == "unused":
        return _CUSTOM if custom else _UNUSED
    if kind == "saturated":
        return _of_saturation(operation)
    if operation.endswith(" draw"):
        return _of_a_draw(operation.removesuffix(" draw"))
    if operation in _NEAR or operation in _RELAXED:
        return _of_a_step(operation)
    return _BY_OPERATION.get(operation) or _of_use(operation, route)


def _of_a_step(operation: str) -> tuple[str, ...]:
    if operation in _NEAR:
        call = f"torch.nn.functional.{operation}" if operation == "hardshrink" else f"torch.{operation}"
        return f"y = spanax.torch.straight_through({call}(x), x)  # the exact value, with the slope 1", _SMOOTH
    name = _RELAXED[operation]
    return (
        f"y = spanax.torch.{name}(x, via=spanax.StraightThrough(spanax.Soft(0.1)))  # the exact value, a relaxed derivative",
        _STE,
    )


def _of_a_draw(family: str) -> tuple[str, ...]:
    """By what the distribution has: categories, or a derivative of its own."""
    if family in ("Categorical", "OneHotCategorical", "multinomial"):
        return _SCORE, _GUMBEL, _REINMAX
    kind = getattr(torch.distributions, family, None)
    if kind is not None and kind.has_rsample:
        return "z = distribution.rsample()  # the draw's own derivative", _SCORE
    return (_SCORE,)


_BY_OPERATION = {
    "detach": ("remove .detach()", _STE),
    ".data": ("remove .data", _STE),
    "torch.no_grad block": (
        "take the computation out of the block",
        "model.requires_grad_(False) freezes parameters and lets the derivative pass",
    ),
    "torch.inference_mode block": (
        "take the computation out of the block",
        "model.requires_grad_(False) freezes parameters and lets the derivative pass",
    ),
    "requires_grad_(False)": ("remove it, or leave the parameter out of the optimizer",),
    "requires_grad = False": ("remove it, or leave the parameter out of the optimizer",),
    "left out of the optimizer": (
        "optimizer.add_param_group({'params': module.parameters()})",
        "module.requires_grad_(False), if it is to stay as it is",
    ),
    "comparison": (
        "y = spanax.torch.step(x - threshold, via=spanax.StraightThrough(spanax.Soft(0.1)))  # 0 or 1, with a relaxed derivative",
        "torch.sigmoid((x - threshold) / 0.1)  # relaxed",
    ),
}


def _of_use(operation: str, route: str) -> tuple[str, ...]:
    if operation in _CHOICES or route == "index":
        return _GUMBEL, _REINMAX, f"weights, indices = spanax.torch.top_k(x, k, {_SOFT})", _SCORE
    if operation in _COUNTS:
        return "counts = torch.sigmoid((edges[:, None] - x) / 0.1).sum(-1).diff()  # relaxed", _SMOOTH
    if operation in _HOST:
        return "stay in torch: the same computation on tensors", _SMOOTH
    if operation.startswith("cast to"):
        return "leave the number a float: drop the cast", _STE
    if route == "branch":
        return _BY_OPERATION["comparison"]
    return _KEEP, _STE, _SMOOTH


def _of_saturation(operation: str) -> tuple[str, ...]:
    if "softmax" in operation:
        return (
            "torch.softmax(logits / temperature, -1), or normalise the logits",
            "smaller initial weights in the layer before",
        )
    if operation in ("relu", "relu_", "clamp", "hardtanh", "relu6", "threshold"):
        return "torch.nn.functional.leaky_relu(x)", "check the bias and the scale of the layer before"
    return "normalise what goes in (torch.nn.LayerNorm)", "smaller initial weights in the layer before"


def not_finite(of: str, makes: str) -> tuple[str, ...]:
    if of == "derivative":
        return (
            "keep the argument away from the point: torch.where on the ARGUMENT, not on the result",
            "torch.sqrt(x + 1e-12), torch.log(x + 1e-12)",
        )
    return (
        "clamp the argument: x.clamp(min=1e-12)",
        "torch.logsumexp, log_softmax, log1p, expm1, softplus in the place of their definitions",
    )
