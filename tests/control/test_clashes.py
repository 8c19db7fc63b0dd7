"""A class of the user's that takes a name of `Env` for something else is refused when it is made, before anything calls it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from spanax import SpanaxError, control
from spanax.control.env import most_at_once

from .envs import Line

METHODS = ["loss", "done", "truncated", "terminated", "state_from", "render", "frames", "own_errors", "step", "reward"]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("body", [{}, {"value": 0.5}, {"value": None}], ids=["field", "field=0.5", "None"])
def test_a_field_in_the_place_of_a_method(name, body):
    """A field without a default would take the method for its default, and a gradient, or a scan, fail far from here."""
    made = {"__annotations__": {} if body.get("value", 0) is None else {name: float}, "__module__": __name__}
    with pytest.raises(SpanaxError, match=rf"Beam.{name} is a field(.|\n)*another name(.|\n)*def {name}\(self"):
        type(Line)("Beam", (Line,), made | ({name: body["value"]} if body else {}))


@pytest.mark.parametrize("name", ["mirror", "render_fps", "stochastic", "max_steps", "action_space"])
def test_a_property_s_name(name):
    with pytest.raises(SpanaxError, match=rf"Beam.{name} is a field without a default(.|\n)*{name} = \.\.\."):
        type(Line)("Beam", (Line,), {"__annotations__": {name: object}, "__module__": __name__})
    with pytest.raises(SpanaxError, match=rf"Beam.{name} is a method(.|\n)*@property"):
        type(Line)("Beam", (Line,), {name: lambda self: 5, "__module__": __name__})


def test_a_property_in_the_place_of_a_method():
    with pytest.raises(SpanaxError, match=r"Beam.done is a property(.|\n)*def done\(self, state"):
        type(Line)("Beam", (Line,), {"done": property(lambda self: jnp.zeros((), bool)), "__module__": __name__})


def test_what_is_allowed():
    class Beam(Line):
        max_steps: int = 7
        render_fps = 10.0
        black_box = False
        step = eqx.filter_jit(Line.step)
        reward = jax.jit(Line.reward)

        @staticmethod
        def observe(state):
            return state[None]

    beam = Beam()
    assert (beam.max_steps, beam.render_fps) == (7, 10.0)
    assert control.rollout(beam, lambda x: 0 * x, jnp.ones(()), 2).final == pytest.approx(0.81)


def test_a_field_n_is_the_user_s_own():
    """Of Gymnasium's environments it is the number of copies, which bounds a batch; inside of a time limit as well."""

    class Chain(Line):
        n: object = 2.5

    key = jax.random.key(0)
    assert control.evaluate(Chain(), lambda x: 0 * x, 3, key=key).shape == (3,)
    result = control.train(
        Chain(),
        control.MLPPolicy(Chain(), key=key, width=2, depth=1),
        via=control.BPTT(horizon=1),
        key=key,
        updates=1,
        progress=False,
    )
    assert result.env_steps == control.BPTT.batch
    assert most_at_once(control.TimeLimit(control.from_gymnasium("CartPole-v1", n=2), 5), 32) == 2
