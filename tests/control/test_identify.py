"""`identify`: the true parameters, right standard errors, and a refusal where the data do not tell."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import control

from .springs import Mass, Seen, Spring, noisy, play

KEY = jax.random.key(0)
TRUTH = Mass(Spring(4.0, 0.5), gain=1.5)
NAMES = ["spring.stiffness", "spring.damping", "gain"]
VALUES = np.array([4.0, 0.5, 1.5])


def fit(env, data, parameters=tuple(NAMES), **options):
    return control.identify(env, data, parameters=list(parameters), key=KEY, **options)


def test_exact_data_give_the_true_parameters(dtype):
    found = fit(Mass(), play(TRUTH))
    tolerance = 1e-4 if dtype == jnp.float32 else 1e-9
    np.testing.assert_allclose(list(found.parameters.values()), VALUES, rtol=tolerance)
    assert found.error_after < tolerance
    assert found.error_before > 0.05
    assert list(found.parameters) == NAMES and list(found.standard_errors) == NAMES
    # What was a float stays one, so that spaces and other static uses of it go on working.
    assert isinstance(found.env.gain, float) and found.env.spring.stiffness == found.parameters["spring.stiffness"]
    assert found.env.name == "mass" and type(found.env) is Mass


def test_z_scores_have_mean_0_and_variance_1():
    """60 data sets; one false alarm in 1,600 keys."""
    whole = play(TRUTH, steps=120)
    z = []
    for seed in range(60):
        found = fit(Mass(), noisy(whole, 0.02, seed))
        z.append([(found.parameters[n] - v) / found.standard_errors[n] for n, v in zip(NAMES, VALUES, strict=True)])
    z = np.array(z)
    # One in 10,000 for each of three means, and the same for each variance: chi-square with 59 degrees of freedom. The noise is
    # estimated from about 80 errors, so z is Student's t and its variance 1.03.
    assert np.all(np.abs(z.mean(0)) < 3.9 * np.sqrt(1.03 / 60)), z.mean(0)
    assert np.all((0.42 < z.var(0, ddof=1) / 1.03) & (z.var(0, ddof=1) / 1.03 < 1.94)), z.var(0, ddof=1)


def test_standard_errors_are_those_of_dense_least_squares(x64):
    """An independent reference: all windows' states and parameters as one vector, differences in the place of derivatives."""
    data = noisy(play(Seen(Spring(4.0, 0.5), gain=1.5), steps=24), 0.05, 1)
    found = fit(Seen(), data, window=5)
    rows = np.array_split(np.arange(24), 4)
    held = {2}
    theta = np.array(list(found.parameters.values()))

    def errors(vector):
        out, env = [], Seen(Spring(vector[0], vector[1]), gain=vector[2])
        for i, window in enumerate(rows):
            if i in held:
                continue
            state = vector[3 + 2 * i : 5 + 2 * i]
            for row in window:
                out.append(state - np.asarray(data.observations[row]))
                state = np.asarray(env.step(state, data.actions[row]))
        return np.concatenate(out)

    # States that fit best at these parameters: the problem is linear in them.
    vector = np.concatenate([theta, *(np.asarray(data.observations[window[0]]) for window in rows)])

    def jacobian(vector):
        steps = 1e-6 * np.eye(len(vector))
        return np.stack([(errors(vector + step) - errors(vector - step)) / 2e-6 for step in steps], 1)

    channels = np.tile(1 / found.noise, len(errors(vector)) // 2)
    for _ in range(3):
        slope = jacobian(vector) * channels[:, None]
        vector = vector - np.linalg.lstsq(slope, errors(vector) * channels, rcond=1e-12)[0]
    np.testing.assert_allclose(vector[:3], theta, rtol=1e-4)
    inverse = np.linalg.pinv(slope)
    expected = np.sqrt(np.diag(inverse @ inverse.T))[:3]
    np.testing.assert_allclose(list(found.standard_errors.values()), expected, rtol=1e-3)


def test_one_trajectory_a_list_a_batch_and_only_states():
    truth = Seen(Spring(4.0, 0.5), gain=1.5)
    episodes = [play(truth, 40, seed) for seed in range(3)]
    batch = jax.tree.map(lambda *x: jnp.stack(x), *episodes)
    as_list, as_batch = fit(Seen(), episodes), fit(Seen(), batch)
    assert as_list.parameters == as_batch.parameters and as_list.windows == as_batch.windows
    only_states = fit(Seen(), [episode._replace(observations=None, rewards=None, alive=None) for episode in episodes])
    np.testing.assert_allclose(list(only_states.parameters.values()), VALUES, rtol=1e-4)


def test_what_comes_after_the_end_is_left_out():
    whole = play(TRUTH, 60)
    garbage = jnp.where(jnp.arange(60)[:, None] < 41, whole.observations, 7.0)
    cut = whole._replace(observations=garbage, alive=jnp.arange(60) < 40)
    np.testing.assert_allclose(list(fit(Mass(), cut).parameters.values()), VALUES, rtol=1e-3)


def test_states_are_searched_for_where_an_observation_does_not_tell_them():
    """The velocity is never seen, and there is no `state_from`: windows tell it."""
    found = fit(Mass(), noisy(play(TRUTH, 120), 0.001, 0))
    np.testing.assert_allclose(list(found.parameters.values()), VALUES, rtol=0.03)


def test_a_black_box_of_gymnasium_is_identified_from_its_observations():
    box = control.from_gymnasium("Pendulum-v1", n=1, g=9.0)
    rocking = lambda seen: 2 * jnp.sign(seen[2:])
    seen = control.rollout(box, rocking, box.reset(KEY), 100)
    found = control.identify(control.Pendulum(m=1.2, l=0.9), seen, parameters=["g", "m"], key=KEY)
    # The pendulum's length is taken for 0.9: only g / l and m l^2 can be seen.
    np.testing.assert_allclose(found.parameters["g"], 9.0 * 0.9, rtol=1e-3)
    np.testing.assert_allclose(found.parameters["m"], 1 / 0.81, rtol=1e-3)


def test_fields_that_are_arrays(x64):
    data = play(TRUTH, 60)
    start = Mass(Spring(jnp.array(3.0), np.array(0.2)), gain=jnp.array(1.0))
    found = fit(start, data)
    assert isinstance(found.env.gain, jax.Array) and isinstance(found.env.spring.damping, np.ndarray)
    np.testing.assert_allclose(list(found.parameters.values()), VALUES, rtol=1e-8)


def test_parameters_that_cannot_be_told_apart_are_named():
    with pytest.raises(sx.SpanaxError, match="cannot tell gain and twin apart"):
        fit(Mass(), noisy(play(TRUTH), 0.02, 0), ["gain", "twin", "spring.stiffness"])
    with pytest.raises(sx.SpanaxError, match="say nothing about idle:"):
        fit(Mass(), noisy(play(TRUTH), 0.02, 0), ["gain", "idle"])


def test_a_parameter_at_its_bound_has_no_standard_error():
    found = fit(Mass(), noisy(play(TRUTH), 0.02, 0), bounds={"gain": (0.0, 1.2)})
    assert found.parameters["gain"] == 1.2 and np.isnan(found.standard_errors["gain"])
    assert np.isfinite(found.standard_errors["spring.stiffness"])
    assert "at its bound" in repr(found) and "at its bound" in found._repr_html_()


def test_a_model_that_leaves_something_out_is_warned_of():
    stiff = Mass(Spring(4.0, 0.5), cubic=2.0)
    with pytest.warns(sx.SpanaxWarning, match="successive errors of the fit are correlated"):
        fit(Mass(), noisy(play(stiff, 120), 0.005, 0), ["spring.stiffness"])


MISTAKES = {
    "a field that is missing": (lambda: fit(Mass(), play(TRUTH), ["mass"]), "no field 'mass'"),
    "a static field": (lambda: fit(Mass(), play(TRUTH), ["name"]), "no field 'name'"),
    "a part": (lambda: fit(Mass(), play(TRUTH), ["spring"]), "not a number or an array"),
    "a string": (lambda: control.identify(Mass(), play(TRUTH), parameters="gain", key=KEY), "parameters='gain'"),
    "twice": (lambda: fit(Mass(), play(TRUTH), ["gain", "gain"]), "twice"),
    "nothing": (lambda: fit(Mass(), play(TRUTH), []), "without parameters and without a residual"),
    "not data": (lambda: fit(Mass(), np.zeros((3, 2))), "identify.data=ndarray"),
    "bounds": (lambda: fit(Mass(), play(TRUTH), bounds={"gain": (2.0, 3.0)}), "value between"),
    "bounds of another": (lambda: fit(Mass(), play(TRUTH), ["gain"], bounds={"idle": (0, 3)}), "identify.bounds="),
    "window": (lambda: fit(Mass(), play(TRUTH), window=0), "window=0"),
    "residual": (lambda: fit(Mass(), play(TRUTH), residual=0.5), "residual=0.5"),
    "another environment's data": (lambda: fit(Seen(), play(TRUTH)), "observations have shape"),
    "a NaN": (
        lambda: fit(Mass(), play(TRUTH)._replace(observations=jnp.full((60, 1), jnp.nan))),
        "not finite",
    ),
    "one step": (lambda: fit(Mass(), play(TRUTH, 1)), "no step between"),
    "an environment": (lambda: fit("Pendulum-v1", play(TRUTH)), "not a control.Env"),
    "a black box": (lambda: fit(control.from_gymnasium("Pendulum-v1"), play(TRUTH)), "black box"),
    "traced": (lambda: jax.jit(lambda x: fit(Mass(), x).error_after)(play(TRUTH)), "inside jax.jit"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_refused(name):
    call, match = MISTAKES[name]
    with pytest.raises(sx.SpanaxError, match=match):
        call()
