"""Events of other makers' motions and in other programs: a diffrax solution, a lifted program, a training loop's scan."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import SpanaxError, control

G = 9.81


def _difference(f, x, h=1e-5):
    return (f(x + h) - f(x - h)) / (2 * h)


def _solution(drag, adjoint=None):
    """A fall with drag over 3 s by diffrax, as a flow from its start."""
    diffrax = pytest.importorskip("diffrax")

    def slope(t, y, args):
        return jnp.stack([y[1], -G - drag * y[1] * jnp.abs(y[1])])

    return diffrax.diffeqsolve(
        diffrax.ODETerm(slope),
        diffrax.Tsit5(),
        0.0,
        3.0,
        0.1,
        jnp.array([10.0, 0.0]),
        saveat=diffrax.SaveAt(dense=True),
        stepsize_controller=diffrax.PIDController(rtol=1e-10, atol=1e-10),
        adjoint=adjoint or diffrax.RecursiveCheckpointAdjoint(),
    )


def test_the_event_of_a_diffrax_solution(x64):
    """By what the solution depends on, and by what the condition does; in reverse mode, which is diffrax's default."""

    def landing(drag, floor):
        solution = _solution(drag)
        there = control.event(
            lambda _, t: solution.evaluate(t), lambda y: y[0] - floor, jnp.array([10.0, 0.0]), within=3.0
        )
        return there.time + there.state[1]

    got = jax.jit(jax.grad(landing, (0, 1)))(0.05, 1.0)
    value = jax.jit(landing)
    want = _difference(lambda d: value(d, 1.0), 0.05), _difference(lambda f: value(0.05, f), 1.0)
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_a_solver_inside_the_flow_that_has_reverse_mode_only(x64):
    diffrax = pytest.importorskip("diffrax")

    def flow(drag):
        def moved(y, t):
            # Over a time of 1, with the slope times t: at t = 0 diffrax would have no step to make.
            term = diffrax.ODETerm(lambda _, y, t: t * jnp.stack([y[1], -G - drag * y[1] * jnp.abs(y[1])]))
            return diffrax.diffeqsolve(term, diffrax.Tsit5(), 0.0, 1.0, 1 / 32, y, args=t).ys[-1]

        return moved

    def landing(drag):
        there = control.event(flow(drag), lambda y: y[0], jnp.array([10.0, 0.0]), within=3.0, checks=8)
        return there.time + there.state[1]

    got = jax.jit(jax.grad(landing))(0.05)
    np.testing.assert_allclose(got, _difference(jax.jit(landing), 0.05), rtol=1e-6)


def test_after_the_event_the_derivative_goes_on(x64):
    """diffrax#729: the derivative of the state a while after an event that changes the dynamics, by the threshold.

    A tank fills at rate `inflow` to `level`, then drains: y' = -y. At the end it holds level exp(-(end - level / inflow)).
    """

    def content(level, inflow, end=3.0):
        there = control.event(lambda y: jnp.full_like(y, inflow), lambda y: y - level, 0.0, within=10.0, step=0.5)
        return there.state * jnp.exp(-(end - there.time))

    def exact(level, inflow):
        return level * jnp.exp(-(3.0 - level / inflow))

    for derivative in (lambda f: jax.grad(f, (0, 1)), lambda f: jax.hessian(f, (0, 1))):
        got, want = jax.jit(derivative(content))(2.0, 1.5), derivative(exact)(2.0, 1.5)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), got, want)


# -- in a lifted program


def _bounce(height, restitution):
    """Plain Python: the time of the third impact; its own functions are the flow, the condition and the reset."""
    gravity = 9.81

    def flow(state, t):
        return [state[0] + state[1] * t - gravity * t**2 / 2, state[1] - gravity * t]

    def reset(state):
        return [state[0], -restitution * state[1]]

    state, time = [height, 0.0], 0.0
    for _ in range(3):
        there = sx.event(flow, lambda state: state[0], state, within=3.0, reset=reset)
        state, time = there.state, time + there.time
    return time


def test_in_a_lifted_program():
    got = sx.gradient(_bounce, 10.0, 0.8)

    def exact(height, restitution):
        return np.sqrt(2 * height / G) * (1 + 2 * restitution + 2 * restitution**2)

    h = 1e-6
    want = (
        (exact(10 + h, 0.8) - exact(10 - h, 0.8)) / (2 * h),
        (exact(10, 0.8 + h) - exact(10, 0.8 - h)) / (2 * h),
    )
    np.testing.assert_allclose(got, want, rtol=1e-4)


def _fall(state, t):
    return np.array([state[0] + state[1] * t - G * t**2 / 2, state[1] - G * np.sin(np.pi / 2) * t])


def _above(state):
    return np.exp(state[0]) - 1


def _landing(height):
    """NumPy's functions, defined outside of the program, and a branch on the time of the event."""
    there = sx.event(_fall, _above, np.array([height, 0.0]), within=5.0)
    if there.time > 1.0:
        return 2 * there.time
    return there.time


def test_functions_from_outside_of_a_lifted_program():
    np.testing.assert_allclose(sx.gradient(_landing, 10.0), np.sqrt(2 / (G * 10)), rtol=1e-5)
    np.testing.assert_allclose(sx.gradient(_landing, 1.0), np.sqrt(2 / G) / 2, rtol=1e-5)


# -- wrong arguments, before anything is computed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"within": -1.0}, "within=-1.0"),
        ({"within": jnp.ones(())}, "within="),
        ({"checks": 0}, "checks=0"),
        ({"step": 0.0}, "step=0.0"),
        ({"direction": "up"}, "direction='up'(.|\n)*rising"),
        ({"condition": lambda x: x < 0}, "the condition is bool(.|\n)*instead of"),
        ({"condition": lambda x: jnp.stack([x, x])}, r"the condition is float32\[2\]"),
        ({"state": 1}, "no floating-point leaf"),
        ({"state": "ball"}, "not an array"),
        ({"flow": lambda x, t: (x, t)}, "flow.* returns .*, and the state is"),
        ({"flow": lambda x, t: jnp.stack([x, t])}, r"returns float32\[2\] for state, which is float32\[\]"),
        ({"flow": lambda x: x.astype(jnp.float16), "step": 0.1}, "slope.* returns float16"),
        ({"reset": lambda x: (x, x), "required": False}, "reset.* returns"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    right = {"flow": lambda x, t: x - t, "condition": lambda x: x, "state": 1.0, "within": 3.0}
    given = {**right, **change}
    with pytest.raises(SpanaxError, match=message):
        control.event(given.pop("flow"), given.pop("condition"), given.pop("state"), **given)
