"""`compare`: bridges of one torch program, measured side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .._checks import check_positive, check_whole, is_whole
from .._errors import SpanaxError
from ..bridges import Bridge
from ..judge.comparison import Comparison
from ..judge.host import OnHost, compare_gradients

LEAST = 100  # draws


def compare(
    loss: Callable[[Any], Float[Tensor, ""]],
    vias: Mapping[str, Any] | Sequence[Bridge],
    *,
    parameters: torch.nn.Module | Mapping[str, Tensor] | Iterable[Tensor],
    draws: int = 1000,
    truth: str | Mapping[str, Tensor] | Sequence[Tensor] | Callable[[], Float[Tensor, ""]] = "auto",
    accuracy: float = 0.1,
    seed: int = 0,
) -> Comparison:
    """Measures bias, variance and cost of several gradients of one torch program.

    `loss(via)` computes the scalar loss anew by one of the `vias`, which may be anything that tells `loss` what to do: a bridge
    for `sample(..., via=via)`, a number of samples, a name. The rows are ranked by the time until the mean of independent
    gradients has a root mean square error of `accuracy` times the truth's norm. A verdict "biased" is at level 1%; "no bias
    found" does not prove that there is none: what could be there is below `bias.high`. What happens in fewer than about one in
    `draws` gradients is not seen. See `spanax.compare` for how the tests work.

    Each gradient is drawn with torch's global generators seeded anew, in the same way for all candidates; afterwards these are as
    they were. A loss that draws from a generator of its own is not reseeded. No `.grad` is touched. Buffers that the loss
    updates, such as running means, are not put back. A candidate that raises is left out with a warning.

    **Arguments:**

    - `loss`: takes one of the vias and returns a floating-point tensor of shape [];
    - `vias`: what is compared, by label; or a list of bridges, each labelled by how it is written;
    - `parameters`: what is differentiated: a module, a dictionary of tensors, or several tensors, all of which require a gradient
      (those of a module that do not are left out). One the loss does not use has a gradient of 0;
    - `draws`: gradients of each candidate, 100 or more;
    - `truth`: what the bias is measured against.

        - "auto": the mean of 4 `draws` gradients of the first via that is a bridge which is unbiased by its own facts;
        - another label: the same of that one, which is then taken to be unbiased;
        - a gradient: tensors by the names in `parameters`, or in the order of several tensors;
        - a function without arguments that returns the exact loss, such as a sum over all draws by their probabilities: it is
          differentiated, and the mean of 4 `draws` gradients taken if it is random;

    - `accuracy`: the root mean square error that the time is to, as a share of the truth's norm;
    - `seed`: of all draws.

    **Returns:**

    A `spanax.judge.Comparison`, whose truth is a dictionary of float64 tensors. It prints as a table, and has `plot`, `to_html`
    and `to_json`.

    **Raises:**

    - `SpanaxError`: arguments that do not fit; no candidate runs; no truth can be found.

    >>> import torch
    >>> from spanax.bridges import LeaveOneOut, StraightThrough
    >>> from spanax.torch import compare, sample, surrogate_loss
    >>> logit = torch.tensor(0.5, requires_grad=True)
    >>> def loss(via):
    ...     z, log_prob = sample(torch.distributions.Bernoulli(logits=logit), via=via, samples=4)
    ...     return surrogate_loss((z - 0.25) ** 3, log_prob)
    >>> found = compare(loss, [LeaveOneOut(4), StraightThrough()], parameters=[logit], draws=200)
    >>> for row in found.rows:
    ...     print(f"{row.label}: {row.verdict}")
    LeaveOneOut(samples=4): no bias found
    StraightThrough(): biased
    """
    check_whole("compare(draws", draws, LEAST)
    check_positive("compare(accuracy", accuracy)
    if not is_whole(seed, 0):
        raise SpanaxError(f"compare(seed={seed!r})", "an integer, 0 or more")
    named, by_label = _in_order_of_tree(_parameters(parameters)), _vias(vias)
    leaves = list(named.values())

    def run_of(via: Any) -> Callable[[int], list[np.ndarray]]:
        return lambda seed: _gradient(lambda: loss(via), leaves, seed)

    ways = {
        label: OnHost(run_of(via), f"loss({via!r})", via.facts.unbiased if isinstance(via, Bridge) else None)
        for label, via in by_label.items()
    }
    reference, how = _truth(truth, ways, named)
    # Seeding reaches the generators of all devices: those of every GPU are kept, where one is in use.
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=list(gpus)):
        found = compare_gradients(
            ways,
            _nested({name: np.zeros(x.shape, _dtype(x)) for name, x in named.items()}),
            draws=draws,
            truth=reference,
            accuracy=accuracy,
            seed=seed,
        )
    gradient = {name: torch.from_numpy(np.array(x, np.float64)) for name, x in _flat(found.truth.gradient).items()}
    told = dataclasses.replace(found.truth, gradient=gradient)
    if how:
        of_draws = f" (the mean of {4 * draws:,} draws)" if told.standard_error else ""
        told = dataclasses.replace(told, kind="unbiased bridge", how=f"{how}{of_draws}")
    return dataclasses.replace(found, truth=told)


def _gradient(loss: Callable[[], Any], leaves: Sequence[Tensor], seed: int) -> list[np.ndarray]:
    """The leaves of one gradient; zeros of what the loss does not depend on."""
    torch.manual_seed(seed)
    with torch.enable_grad():
        value = loss()
        if not isinstance(value, Tensor) or value.shape != () or not value.is_floating_point():
            got = f"{value.dtype}{list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise SpanaxError(f"compare: loss(via) returned {got}", "a floating-point tensor of shape []: loss.mean()")
        # A loss that is cut off from all parameters is a silent zero, which the table is to show, and not an exception.
        none = [None] * len(leaves)
        found = torch.autograd.grad(value, leaves, allow_unused=True) if value.requires_grad else none
    return [_array(x if g is None else g, g is None) for x, g in zip(leaves, found, strict=True)]


def _array(x: Tensor, zero: bool) -> np.ndarray:
    if zero:
        return np.zeros(x.shape, np.float32)
    x = x.detach().to_dense() if x.is_sparse else x.detach()
    return x.to("cpu", torch.float64 if x.dtype == torch.float64 else torch.float32).numpy()


def _dtype(x: Tensor) -> Any:
    return np.float64 if x.dtype == torch.float64 else np.float32


# -- what the arguments mean


def _parameters(parameters: Any) -> dict[str, Tensor]:
    """Tensors by name, such as "layer.weight"."""
    named = _named(parameters)
    for name, p in named.items():
        if not (isinstance(p, Tensor) and p.requires_grad and p.is_floating_point()):
            got = f"{p.dtype}, requires_grad={p.requires_grad}" if isinstance(p, Tensor) else type(p).__name__
            raise SpanaxError(f"compare(parameters=...): {name!r} is {got}", "tensors of floats with requires_grad_()")
    if not sum(p.numel() for p in named.values()):
        raise SpanaxError("compare(parameters=...): there is none that requires a gradient", "model.parameters()")
    return named


def _named(parameters: Any) -> dict[str, Any]:
    if isinstance(parameters, torch.nn.Module):
        return {name: p for name, p in parameters.named_parameters() if p.requires_grad}
    if isinstance(parameters, Mapping):
        return {str(name): p for name, p in parameters.items()}
    return {str(i): p for i, p in enumerate([parameters] if isinstance(parameters, Tensor) else parameters)}


def _vias(vias: Any) -> dict[str, Any]:
    if isinstance(vias, Mapping) and vias:
        return {str(label): via for label, via in vias.items()}
    if isinstance(vias, Sequence) and not isinstance(vias, str) and vias:
        by_label = {repr(via): via for via in vias}
        if len(by_label) == len(vias):
            return by_label
    raise SpanaxError(
        f"compare(vias={vias!r})", '{"score": ScoreFunction(), "relaxed": GumbelSoftmax(0.5)}', "a list of bridges"
    )


def _truth(truth: Any, ways: Mapping[str, OnHost], named: Mapping[str, Tensor]) -> tuple[Any, str]:
    """For `compare_gradients`, and what to call it where that is known better here."""
    if isinstance(truth, str):
        label = truth if truth != "auto" else next((name for name, way in ways.items() if way.unbiased), None)
        if label is None or label not in ways:
            raise SpanaxError(
                f"compare(truth={truth!r}): none of the vias {'has that label' if label else 'is known to be unbiased'}",
                "truth= a gradient, or a function that returns the exact loss",
                "truth= the label of one that is unbiased",
            )
        return ways[label].run, f"{label}, {'unbiased by its facts' if truth == 'auto' else 'taken to be unbiased'}"
    if callable(truth):
        leaves = list(named.values())

        def run(seed: int) -> list[np.ndarray]:
            return _gradient(truth, leaves, seed)

        run.__name__ = getattr(truth, "__name__", "the function given")
        return run, ""
    return _nested(_given(truth, named)), ""


def _given(truth: Any, named: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    tensors = dict(truth) if isinstance(truth, Mapping) else {str(i): x for i, x in enumerate(truth)}
    if set(tensors) != set(named) or any(tuple(np.shape(tensors[name])) != tuple(x.shape) for name, x in named.items()):
        raise SpanaxError(
            "compare(truth=...): a gradient of other names or shapes than the parameters",
            ", ".join(f"{name} {list(x.shape)}" for name, x in named.items()),
        )
    return {name: np.asarray(torch.as_tensor(tensors[name]).detach().cpu().double()) for name in named}


def _nested(named: Mapping[str, Any]) -> dict[str, Any]:
    """By the names' first component, so that the parts of a model are judged by themselves."""
    found: dict[str, Any] = {}
    for name, x in named.items():
        top, _, rest = name.partition(".")
        if rest:
            found.setdefault(top, {})[rest] = x
        else:
            found[top] = x
    return found


def _in_order_of_tree(named: dict[str, Tensor]) -> dict[str, Tensor]:
    # Leaves of dictionaries come in the order of their keys, as the judge's vectors have them.
    return {name: named[name] for name in jax.tree.leaves(_nested({name: name for name in named}))}


def _flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: x
        for top, part in nested.items()
        for name, x in (
            {f"{top}.{rest}": x for rest, x in part.items()} if isinstance(part, dict) else {top: part}
        ).items()
    }
