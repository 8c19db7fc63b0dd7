"""`SurrogateModel`: a network in place of a black box, with what is known of how well it stands for it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._errors import SpanaxError
from .._pytree import PyTree
from ..blackbox import Run, Store
from ._model.arguments import check_settings
from ._model.file import load, save
from ._model.fitted import Fitted
from ._model.outside import check_inside, where_traced
from ._model.refining import refine
from .surrogate_report import SurrogateReport


class SurrogateModel(eqx.Module):
    """A trained network in place of a black box: `model(x)` is a differentiable JAX function. `fit_surrogate` makes it.

    - `report`: what is known of it (`SurrogateReport`); `print(model)` shows it;
    - `outside`: what an x outside its bounds does: see `fit_surrogate`;
    - `min_agreement`: the cosine with fn's probes below which its derivative raises; None: never.

    It is frozen: it holds no arrays that JAX could differentiate, and an optimiser that is given one changes nothing in it.
    `dataclasses.replace(model, outside="ignore")` is the same surrogate with another setting.

    >>> import jax, jax.numpy as jnp, numpy as np, spanax as sx
    >>> def simulator(x):
    ...     return np.sum((x - 0.5) ** 2)
    >>> model = sx.fit_surrogate(simulator, (-np.ones(2), np.ones(2)), key=jax.random.key(0), evaluations=120)
    >>> print(jax.grad(model)(jnp.array([0.0, 0.5])).round(1) + 0.0)
    [-1.  0.]
    """

    fitted: Fitted = eqx.field(static=True)
    report: SurrogateReport = eqx.field(static=True)
    outside: str = eqx.field(static=True, default="raise")
    min_agreement: float | None = eqx.field(static=True, default=0.5)

    def __check_init__(self):
        check_settings(self.outside, self.min_agreement)

    def __call__(self, x: PyTree[Array]) -> PyTree[Array]:
        """What fn would return at x, of its structure, shapes and dtypes (floats).

        Works under jit, grad and vmap, to any order of derivatives, in the precision of x.

        **Arguments:**

        - `x`: of the structure and shapes of the bounds, between them.

        **Returns:** the prediction.

        **Raises:** `SpanaxError` for an x of another structure, or outside the bounds (see `outside` of `fit_surrogate`), and
        when it is differentiated, if its gradient agrees too little with fn's.
        """
        space, form, scale = self.fitted.space, self.fitted.form, self.fitted.scale
        u = space.scaled(space.flatten(x))
        check_inside(space, u, self.outside, self.fitted.name)
        z = _standardised(self, u)
        # Numbers that never change have no derivative either: exactly none.
        gain = jnp.asarray(scale.sd * ~scale.constant, u.dtype)
        flat = jnp.asarray(scale.mean, u.dtype) + gain * z
        dtypes = [jax.dtypes.canonicalize_dtype(dtype) for dtype in form.dtypes]
        leaves = [leaf.astype(dtype) for leaf, dtype in zip(form.split(flat), dtypes, strict=True)]
        return jax.tree.unflatten(form.tree, leaves)

    @property
    def bounds(self) -> tuple[PyTree[Any], PyTree[Any]]:
        """(lower, upper), of x's structure, as they are in its dtype."""
        lower, upper = (self.fitted.space.rows(np.full((1, self.fitted.space.size), s))[0] for s in (-1.0, 1.0))
        return jax.tree.map(lambda leaf: leaf[0], lower), jax.tree.map(lambda leaf: leaf[0], upper)

    def refine(
        self,
        fn: Callable[..., Any],
        around: PyTree[Any] | None = None,
        *,
        key: Key[Array, ""],
        evaluations: int,
        within: float | None = None,
        run: Run | None = None,
        store: Store | None = None,
        noisy: bool = False,
        gradients: Callable[[Any], Any] | None = None,
        name: str | None = None,
        batched: bool = False,
    ) -> SurrogateModel:
        """A surrogate that knows more: about a neighbourhood, and where the ensemble disagrees.

        Half of the new points lie in a box around x, the others where the members of the ensemble differ the most and no point
        is near. What was known is kept. The network is trained on from where it stands, and checked again with new probes, half
        of them near x.

        **Arguments:**

        - `fn`, `run`, `store`, `noisy`, `gradients`, `name`, `batched`: as in `fit_surrogate`. With the store of the fit, nothing
          is evaluated twice.
        - `around`: where the optimiser is, inside the bounds. None: all new points go where the ensemble disagrees.
        - `key`: for the new points, probes and seeds.
        - `evaluations`: in all, 40 or more.
        - `within`: how far the box around x reaches to either side, as a share of the bounds' width; by default 1/4, and half
          as far at each further refinement.

        **Returns:** the new surrogate; this one stays as it is.

        **Raises:** `SpanaxError` as `fit_surrogate` does, and for an x outside the bounds.

        >>> import jax, numpy as np, spanax as sx
        >>> f, bounds = lambda x: np.sin(3 * x), (-1.0, 1.0)
        >>> model = sx.fit_surrogate(f, bounds, key=jax.random.key(0), evaluations=100)
        >>> better = model.refine(f, 0.5, key=jax.random.key(1), evaluations=40)
        >>> better.report.evaluations, better.report.local_cosine > 0.99
        (140, True)
        """
        options = {"run": run, "store": store, "noisy": noisy, "name": name, "batched": batched}
        fitted, report = refine(self.fitted, fn, around, key, evaluations, within, gradients, options)
        return SurrogateModel(fitted, report, self.outside, self.min_agreement)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the network, its points and its report to a file, without pickle; `load_surrogate` reads it.

        **Raises:** `SpanaxError` where the file cannot be written, which then is what it was before, and for an x or a result
        whose structure is more than arrays in dictionaries, lists and tuples.
        """
        save(Path(path), self.fitted, self.report, {"outside": self.outside, "min_agreement": self.min_agreement})

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draws what the report says into a .png, .pdf or .svg (needs matplotlib: `pip install 'spanax[plots]'`).

        Predicted against true values at held-out points; predicted against measured changes; and slices through the middle of
        the box along up to 6 numbers of x, with a band of two standard deviations of the ensemble.
        """
        from ._model.plots import draw

        draw(Path(path), self.fitted, self.report)

    def __repr__(self) -> str:
        return str(self.report)


def load_surrogate(path: str | os.PathLike[str], model: Any = None) -> SurrogateModel:
    """The surrogate that `SurrogateModel.save` wrote: the same predictions bit by bit, its points, and its report.

    **Arguments:**

    - `path`: of the file.
    - `model`: for a surrogate of a module of your own, one of the same structure; its arrays are replaced.

    **Returns:** a `SurrogateModel`.

    **Raises:** `SpanaxError` for a file that is missing, damaged, not one of these or of another version, and for a module that
    does not fit.

    >>> import jax, os, numpy as np, spanax as sx, tempfile
    >>> model = sx.fit_surrogate(np.sin, (0.0, 1.0), key=jax.random.key(0), evaluations=100)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(os.path.join(folder, "sine.surrogate"))
    ...     again = sx.load_surrogate(os.path.join(folder, "sine.surrogate"))
    >>> bool(again(0.3) == model(0.3)), str(again.report) == str(model.report)
    (True, True)
    """
    fitted, report, settings = load(Path(path), model)
    return SurrogateModel(fitted, report, **settings)


# The model is static: it has no arrays that JAX sees, and a derivative by them could not be asked for.
@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _standardised(model: SurrogateModel, u: Float[Array, " d"]) -> Float[Array, " m"]:
    return _network(model, u)


@_standardised.defjvp
def _derivative(model: SurrogateModel, primals: Any, tangents: Any) -> Any:
    # Here, because only here it is known that it is differentiated; and x itself is known here outside of compiled programs.
    _check_agreement(model)
    check_inside(model.fitted.space, primals[0], model.outside, model.fitted.name)
    return jax.jvp(functools.partial(_network, model), primals, tangents)


def _network(model: SurrogateModel, u: Float[Array, " d"]) -> Float[Array, " m"]:
    fitted = model.fitted
    return fitted.mean(where_traced(fitted.space, u, model.outside, fitted.name))


def _check_agreement(model: SurrogateModel) -> None:
    least, report = model.min_agreement, model.report
    # NaN, where nothing could be compared, is not an agreement.
    if least and not report.cosine >= least:
        raise SpanaxError(
            f"the gradient of the surrogate of {report.name!r} is not to be trusted: its cosine with fn's probes is "
            f"{report.cosine:.3f} +- {report.cosine_error:.3f}, below min_agreement={least}\n{report}",
            "more evaluations: model.refine(fn, around=x, key=key, evaluations=200)",
            "sx.Surrogate(sigma, pairs, model=model), which corrects it by evaluations of fn",
            "dataclasses.replace(model, min_agreement=None), if a gradient of its smooth values is what you want",
        )
