"""`identify`: the parameters of a simulator, and what it leaves out, from trajectories of the real system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Key

from .._checks import check_key, check_whole, is_whole
from .._errors import SpanaxError, warn
from .._foreign_arrays import refuse_foreign
from ._identify.fit import Fit
from ._identify.parameters import Parameters
from ._identify.residual import Learned, check_enough, learn
from ._identify.solve import Bounds
from .corrected import Corrected
from .env import Env
from .identified import Identified
from .rollout import Trajectory

# Standard errors of a correlation beyond which it is not chance: one false alarm in 30,000.
_CORRELATED = 4.0


def identify(
    env: Env,
    data: Trajectory | Sequence[Trajectory],
    *,
    parameters: Sequence[str],
    residual: Any = None,
    key: Key[Array, ""],
    bounds: Mapping[str, tuple[Any, Any]] | None = None,
    window: int | None = None,
) -> Identified:
    """Fits fields of an environment to trajectories of the real system, and then, if asked, a network for what they leave out.

    Multiple shooting: the data are cut into windows; the simulator runs through each from a first state that is fitted with the
    parameters, so that noise of the observations does not bias them as it does where each step starts from a noisy observation
    (errors in variables). Gauss-Newton steps with Levenberg and Marquardt's damping minimise the sum of squares, each channel
    weighted by its own noise, which is estimated as well: the maximum of the likelihood for independent normal noise. Its bias
    vanishes with the noise's square. The derivatives are those of the simulation, by forward mode.

    Standard errors are the square roots of the diagonal of the inverse information: right where the model is, and the noise is
    independent from measurement to measurement; a `SpanaxWarning` tells where successive errors are correlated.

    **Arguments:**

    - `env`: the simulator, which is deterministic, at the values to start from.
    - `data`: a `Trajectory`, or a list of them, each of one episode or with one more leading axis, of episodes. What is fitted
      are its `observations`, noisy or not, of this environment or of a black box that observes the same; where they are None,
      its `states` (angles not wrapped). First states are guessed from its `states` where they are states of `env`, else by
      `env.state_from`, else by a search among resets. Steps after an episode's end (`alive`) are left out. Only `actions`,
      and `observations` or `states`, are needed: all else may be None.
    - `parameters`: names of fields of `env`, floats or arrays: `["m", "l"]`; of a field inside another, `"machine.sling"`.
      They may be none, `[]`, where a residual is learned.
    - `residual`: None; or the width of a network of two hidden layers; or an Equinox module, which is called with a vector, the
      observation and the action one after the other, and returns what is added to the state (its floating-point numbers, in
      the order of its leaves) after each step. Parameters come first, and then stay. The residual is trained through the
      simulation, over the same windows, with a decay of its weights, and stopped where a quarter of the windows that are
      not fitted by it are predicted best. It is kept if it lowers the held-out error by a standard error, and left out, with a
      `SpanaxWarning`, if not.
    - `key`: for the network's weights, and for a search.
    - `bounds`: by name, (low, high).
    - `window`: steps of a window at most; None: 20, or fewer where there would be less than 5 windows. Longer ones tell more of
      slow effects, and suffer more from what the model does not have.

    **Returns:**

    An `Identified`.

    **Raises:**

    - `SpanaxError`, where the data do not determine a parameter, alone or together with others, which it names; for a residual on
      less than 5 measured numbers for each of its weights, or less than 10 windows; for data that do not fit the environment, a
      black box, a stochastic environment, and fields that it does not have.

    Multiple shooting: Bock 1983 (Recent advances in parameter identification techniques for ODE).

    >>> import jax, jax.numpy as jnp
    >>> from spanax import control
    >>> real = control.Pendulum(m=1.3, l=0.9)
    >>> swing = control.rollout(real, lambda seen: 2 * jnp.sign(seen[2:]), jnp.array([3.0, 0.1]), 100)
    >>> noise = 0.02 * jax.random.normal(jax.random.key(0), swing.observations.shape)
    >>> noisy = swing._replace(observations=swing.observations + noise, states=None)
    >>> found = control.identify(control.Pendulum(), noisy, parameters=["m", "l"], key=jax.random.key(1))
    >>> print({name: round(value, 1) for name, value in found.parameters.items()}, found.standard_errors["l"] < 0.01)
    {'m': 1.3, 'l': 0.9} True
    """
    check_key(key)
    refuse_foreign(env, data, residual)
    _check(env, parameters, residual, window)
    search, train = jax.random.split(key)
    fields = Parameters(env, parameters)
    limits = Bounds(*fields.bounds(bounds))
    fit = Fit(env, data, fields, window, search)
    if residual is not None:
        check_enough(residual, fit)
    found = fit.estimate(limits)
    theta = found.point.theta
    # Both by the noise that was found, so that only the parameters differ.
    before, after = (fit.predict(fit.model, vector, found.noise) for vector in (fields.vector, theta))
    # Correlated errors are what a residual is asked for.
    if residual is None and found.correlation > _CORRELATED:
        _warn_of_correlation(found.correlation)
    learned = Learned(None, after) if residual is None else learn(residual, fit, found, after, train)
    if residual is not None and learned.residual is None:
        warn(
            f"the residual is left out: the held-out error is not lower with it than the parameters' {after.error:.3g}",
            "more data, if the model leaves something out",
            "residual=None",
        )
    fitted = fields.put_alike(theta)
    return Identified(
        env=fitted if learned.residual is None else Corrected(fitted, learned.residual),
        parameters=fields.by_name(theta),
        standard_errors=fields.by_name(np.sqrt(np.diag(found.covariance))),
        error_before=before.error,
        error_after=learned.prediction.error,
        error_without_residual=None if residual is None else after.error,
        noise=found.noise,
        residual=learned.residual,
        windows=int(np.sum(~fit.held)),
        held_out=int(np.sum(fit.held)),
        steps=fit.steps,
        initial=fields.by_name(fields.vector),
    )


def _warn_of_correlation(correlation: float) -> None:
    warn(
        f"successive errors of the fit are correlated, {correlation:.0f} standard errors beyond chance: the model leaves "
        "something out, and the standard errors are too small",
        "another field among `parameters`, if one is wrong",
        "residual=16: a network for what is left out",
        "a shorter `window`, in which it matters less",
    )


def _check(env: Any, parameters: Any, residual: Any, window: Any) -> None:
    _check_env(env)
    if window is not None:
        check_whole("identify(window", window, 1, "steps, 1 or more", "None: chosen")
    if not (residual is None or is_whole(residual, 1) or (isinstance(residual, eqx.Module) and callable(residual))):
        raise SpanaxError(
            f"identify(residual={residual!r})", "None", "residual=16: a width", "an Equinox module, of a vector"
        )
    # What is no sequence of names is refused later, with the names that there are.
    if residual is None and isinstance(parameters, Sequence) and not len(parameters):
        raise SpanaxError("identify without parameters and without a residual", 'parameters=["m"]', "residual=16")


def _check_env(env: Any) -> None:
    """A fit needs the derivative of a simulator that does the same each time."""
    if not isinstance(env, Env):
        raise SpanaxError(f"{env!r} is not a control.Env", "a simulator: a subclass of control.Env")
    name = type(env).__name__
    if env.black_box:
        raise SpanaxError(
            f"{name} is a black box, without a derivative", "a simulator of it, and its trajectories as the data"
        )
    if env.stochastic:
        raise SpanaxError(
            f"{name} draws in its steps, and a fit does not", "a deterministic one: the noise is in the data"
        )
    if env.resets_itself:
        raise SpanaxError(f"{name} begins new episodes in its steps", "the environment inside it, `env.env`")
