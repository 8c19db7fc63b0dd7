"""What the page's toys compute, against the library itself; and what they refuse."""

import json
import math
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import control
from spanax.gallery._throws import aimer
from spanax.gallery.web._toys import ACTIONS, FIRST, STREAMS, bench, make_weights, training, warm_up
from spanax.gallery.web._toys.policies import REACH, WEIGHTS, policy, reach
from spanax.gallery.web.requests import BadRequest


def test_the_weights_are_small_and_portable():
    for name in ("trebuchet", "cartpole", "pendulum"):
        assert (WEIGHTS / f"{name}.policy").stat().st_size < 100_000
        assert isinstance(control.load_policy(WEIGHTS / f"{name}.policy"), control.MLPPolicy)


def test_a_policy_that_is_saved_is_the_aimer_that_was_trained(key):
    env = control.Trebuchet()
    made = aimer.Aimer(env, key)
    saved = make_weights.portable(made, env)
    for observation in jnp.array([[0.0, 60.0], [-7.0, 35.0], [4.0, 101.0]]):
        np.testing.assert_allclose(saved(observation), made(observation), rtol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cartpole", "pendulum"])
def test_the_weights_can_be_made_again(name, tmp_path, monkeypatch):
    monkeypatch.setattr(make_weights, "UPDATES", {name: 2})
    make_weights.main([name], tmp_path)
    made, shipped = control.load_policy(tmp_path / f"{name}.policy"), policy(name)
    assert jax.tree.structure(made) == jax.tree.structure(shipped)
    # The reach is a table, and no training: it is the same again.
    there = json.loads((WEIGHTS / REACH).read_text())
    for field, values in json.loads((tmp_path / REACH).read_text()).items():
        np.testing.assert_allclose(values, there[field], atol=0.02)


def test_every_page_has_its_first_answer_as_plain_json():
    warm_up()
    for name in FIRST:
        answer = json.loads(json.dumps(ACTIONS[name](FIRST[name]), allow_nan=False))
        assert answer and len(json.dumps(answer)) < 20_000, name


class TestTrebuchet:
    @pytest.mark.parametrize(("wind", "target"), [(0.0, 80.0), (-6.5, 33.0), (7.0, 101.0)])
    def test_a_shot_is_the_simulators_with_the_networks_settings(self, wind, target):
        shot = ACTIONS["trebuchet/shoot"]({"wind": wind, "target": target})
        angle, weight = (float(x) for x in policy("trebuchet")(jnp.array([wind, target])))
        there = control.throw(wind, angle, weight)
        assert shot["angle"] == pytest.approx(angle, abs=0.01) and shot["weight"] == pytest.approx(weight, abs=0.1)
        assert shot["distance"] == pytest.approx(float(there.distance), abs=0.01)
        assert shot["error_cm"] == pytest.approx(100 * (shot["distance"] - target), abs=0.1)
        # The film ends where the throw lands, at its time, on the ground.
        film = shot["motion"]
        assert film["projectile"][-2:] == [pytest.approx(100 * shot["distance"], abs=1), 0]
        assert film["time"][-1] == pytest.approx(float(there.event_times[2]), abs=2e-3)
        assert len(film["projectile"]) == 2 * len(film["time"]) and len(film["tip"]) == 2 * film["released"] + 2

    def test_it_aims_within_a_few_decimetres_where_the_machine_can_reach(self):
        shots = [
            ACTIONS["trebuchet/shoot"]({"wind": float(wind), "target": float(target)})
            for wind in np.linspace(-8, 8, 9)
            for target in np.linspace(22.5, 97.5, 11)
        ]
        # Half a metre inside of the reach: its rim is where the network has to give up.
        inside = [abs(s["error_cm"]) for s in shots if s["reach"][0] + 0.5 < s["target"] < s["reach"][1] - 0.5]
        assert len(inside) > 60 and np.median(inside) < 5 and max(inside) < 150
        assert any(not s["in_reach"] and s["error_cm"] < -100 for s in shots)

    @pytest.mark.parametrize("wind", [-8.0, 0.0, 8.0])
    def test_whatever_the_machine_is_set_to_the_throw_lands(self, wind):
        """So that no answer holds a NaN: a network that has learnt nothing may say any of these."""
        space = control.Trebuchet().action_space
        angles, weights = (np.linspace(low, high, 12) for low, high in zip(space.low, space.high, strict=True))
        angle, weight = (jnp.asarray(x.ravel(), jnp.float32) for x in np.meshgrid(angles, weights))
        assert np.isfinite(jax.vmap(control.shoot, (None, 0, 0))(jnp.float32(wind), angle, weight)).all()

    @pytest.mark.slow
    def test_the_reach_is_the_librarys(self):
        nearest, farthest = reach(2.0)
        assert nearest < 1 and farthest == pytest.approx(control.reach(2.0).distance, abs=0.5)


class TestCartPole:
    def test_the_states_are_the_rollouts(self):
        start = {"x": 0.3, "velocity": -0.5, "angle": 0.05, "rate": 0.8}
        played = ACTIONS["cartpole/balance"](start)
        states, pushes = np.asarray(played["states"], np.float32), np.asarray(played["pushes"])
        np.testing.assert_allclose(states[0], list(start.values()), atol=1e-4)
        after = jax.vmap(control.CartPole().step)(states[:-1], (pushes + 1) / np.float32(2))
        np.testing.assert_allclose(states[1:], after, atol=2e-4)
        # Of rounded states a few may lie on the other side of the decision.
        decided = 2 * np.asarray(jax.vmap(policy("cartpole"))(states[:-1])) - 1
        assert np.mean(decided == pushes) > 0.95

    def test_any_state_is_answered_in_numbers(self):
        rng = np.random.default_rng(0)
        for row in rng.choice([-1.0, -0.3, 0.0, 1.0], (20, 4)) * [2.4, 20.0, math.pi / 2, 20.0]:
            played = ACTIONS["cartpole/balance"](
                dict(zip(("x", "velocity", "angle", "rate"), row.tolist(), strict=True))
            )
            assert np.isfinite(played["states"]).all() and len(played["states"]) == len(played["pushes"]) + 1

    @pytest.mark.parametrize("rate", [-2.0, -1.0, 0.0, 1.0, 2.0])
    def test_it_catches_what_is_pushed(self, rate):
        played = ACTIONS["cartpole/balance"]({"x": 0.0, "velocity": 0.0, "angle": 0.0, "rate": rate})
        assert played["ended"] is None and len(played["states"]) == 251
        assert max(abs(row[2]) for row in played["states"][-50:]) < 0.05

    def test_what_is_too_much_falls_and_says_how(self):
        fallen = ACTIONS["cartpole/balance"]({"x": 0.0, "velocity": 0.0, "angle": 1.2, "rate": 3.0})
        assert fallen["ended"] == "pole" and abs(fallen["states"][-1][2]) > math.pi / 2
        # A state that has ended already is answered, too: by nothing but itself.
        over = ACTIONS["cartpole/balance"]({"x": 2.4, "velocity": 9.0, "angle": 0.0, "rate": 0.0})
        assert over["ended"] == "rail" and len(over["states"]) <= 3
        assert len(over["pushes"]) == len(over["states"]) - 1


class TestPendulum:
    @pytest.mark.parametrize("velocity", [-4.0, 0.0, 4.0])
    @pytest.mark.parametrize("angle", [-3.1, -2.0, 0.5, 1.5, 3.1])
    def test_it_swings_up_from_anywhere(self, angle, velocity):
        played = ACTIONS["pendulum/swing"]({"angle": angle, "velocity": velocity})
        assert played["upright_s"] is not None and played["upright_s"] < 6

    def test_the_states_are_the_rollouts(self):
        played = ACTIONS["pendulum/swing"]({"angle": 3.0, "velocity": 1.0})
        env, states = control.Pendulum(), np.asarray(played["states"])
        assert len(states) == 161 and len(played["torques"]) == 160
        for number in (0, 7, 90):
            after = env.step(jnp.asarray(states[number], float), jnp.asarray(played["torques"][number : number + 1]))
            np.testing.assert_allclose(states[number + 1], after, atol=2e-3)


def setting(**changes):
    return {**FIRST["bench/measure"], **changes}


class TestBench:
    @pytest.mark.parametrize("theta", [-2.0, 0.0, 1.5])
    def test_the_truth_is_exact(self, theta):
        p = 1 / (1 + math.exp(-theta))
        assert ACTIONS["bench/measure"](setting(theta=theta))["truth"] == pytest.approx(p * (1 - p) / 2, rel=1e-5)

    @pytest.mark.parametrize("samples", bench.SAMPLES)
    def test_variances_are_those_of_the_formulas(self, samples):
        """False alarms: 5 standard errors of the variance, some 1e-6 each."""
        theta, p = 0.7, 1 / (1 + math.exp(-0.7))
        rows = ACTIONS["bench/measure"](setting(theta=theta, samples=samples, baseline="none"))["rows"]
        score, exact = rows[0], rows[-1]
        # Of one draw: c(z) (z - p), where c is 0.5625 at 1 and 0.0625 at 0.
        values, chances = np.array([0.5625 * (1 - p), -0.0625 * p]), np.array([p, 1 - p])
        variance = (chances @ values**2 - (chances @ values) ** 2) / samples
        assert abs(score["variance"] - variance) < 5 * score["variance_error"] + 1e-9
        assert exact["name"] == "Enumerate" and exact["variance"] < 1e-12 and abs(exact["bias"]) < 1e-6

    def test_only_those_are_biased_that_say_so(self):
        """False alarms: 4.5 standard errors of three means, some 2e-5."""
        rows = {row["name"]: row for row in ACTIONS["bench/measure"](setting(theta=1.5, temperature=1.0))["rows"]}
        unbiased = [row for name, row in rows.items() if name in ("ScoreFunction", "DisARM", "ReinMax")]
        assert all(abs(row["bias"]) < 4.5 * row["bias_error"] for row in unbiased)
        assert all(abs(rows[name]["bias"]) > 10 * rows[name]["bias_error"] for name in ("StraightThrough",))
        assert abs(rows["GumbelSoftmax"]["bias"]) > 5 * rows["GumbelSoftmax"]["bias_error"]

    def test_a_baseline_changes_the_variance_alone(self):
        none, best = (
            ACTIONS["bench/measure"](setting(baseline="constant", constant=c, samples=1))["rows"][0] for c in (0.0, 0.3)
        )
        assert best["variance"] < none["variance"] / 3 and abs(best["bias"]) < 5 * max(best["bias_error"], 1e-6)

    @pytest.mark.slow
    def test_it_agrees_with_compare(self, key):
        """False alarms: variances of 1,000 and of 2,000 gradients, 20% apart."""
        theta = 0.8
        rows = {row["name"]: row for row in ACTIONS["bench/measure"](setting(theta=theta, samples=1))["rows"]}
        vias = [sx.ScoreFunction(), sx.DisARM(), sx.GumbelSoftmax(0.5), sx.StraightThrough(), sx.ReinMax()]
        found = sx.compare(bench.loss, jnp.asarray(theta), key=key, vias={"z": vias}, draws=4000)
        for row in found.rows:
            ours = rows[row.label.removeprefix("z=").partition("(")[0]]
            error = math.hypot(ours["bias_error"], ours["bias_error"] / math.sqrt(2))
            assert row.variance == pytest.approx(ours["variance"], rel=0.2)
            assert (row.verdict == "biased") <= (abs(ours["bias"]) > 2 * error)


class TestTraining:
    def test_it_ends_before_it_has_begun(self):
        asked = {"wind": 1.0, "target": 70.0, "seed": 0}
        assert list(STREAMS["trebuchet/train"](asked, lambda: True)) == [{"stage": "compiling"}]

    @pytest.mark.slow
    def test_it_reports_and_ends_when_it_is_cancelled(self):
        asked, calls = {"wind": 1.0, "target": 70.0, "seed": 0}, iter([False, False, True])
        records = list(training.train(asked, lambda: next(calls), batch=2))
        assert [record.get("stage") for record in records] == ["compiling", None]
        assert records[1]["update"] == 1 and records[1]["throws"] == 2 and not records[1]["done"]
        assert records[1]["shot"]["wind"] == 1.0 and records[1]["miss_m"] > 0

    @pytest.mark.slow
    def test_its_shots_improve(self):
        records = list(STREAMS["trebuchet/train"]({"wind": -3.0, "target": 60.0, "seed": 0}, lambda: False))[1:]
        assert records[-1]["done"] and records[-1]["update"] == records[-1]["of"]
        assert records[-1]["miss_m"] < records[0]["miss_m"] / 4
        assert abs(records[-1]["shot"]["error_cm"]) < 200 < abs(records[0]["shot"]["error_cm"])
        # The page has the network, and aims with it.
        own = {"wind": -3.0, "target": 60.0, "network": records[-1]["network"]}
        shot = ACTIONS["trebuchet/own"](json.loads(json.dumps(own)))
        assert shot["distance"] == pytest.approx(records[-1]["shot"]["distance"], abs=2e-3)
        assert len(json.dumps(own)) < 20_000

    def test_wrong_values_are_refused_before_anything_is_compiled(self):
        with pytest.raises(BadRequest, match="seed"):
            next(STREAMS["trebuchet/train"]({"wind": 0.0, "target": 50.0, "seed": -1}, lambda: False))


WRONG = [None, "3", True, [], {}, math.nan, math.inf, -math.inf, 1e9, -1e9, 10**400]


class TestOwnNetwork:
    SIZE = 2 * 32 + 32 + 32 * 32 + 32 + 32 * 2 + 2

    def test_it_aims_with_the_weights_that_it_is_sent(self):
        # Weights of zero: the middle of what the machine can be set to.
        shot = ACTIONS["trebuchet/own"]({"wind": 1.0, "target": 50.0, "network": [0] * self.SIZE})
        assert (shot["angle"], shot["weight"]) == (47.5, 280.0)
        assert shot["distance"] == pytest.approx(float(control.shoot(1.0, 47.5, 280.0)), abs=0.01)

    @pytest.mark.parametrize(
        "network", [None, [], "weights", [0.0] * (SIZE - 1), [0.0] * (SIZE - 1) + [1e5], [None] * SIZE, [[0.0]] * SIZE]
    )
    def test_others_are_refused(self, network):
        with pytest.raises(BadRequest, match="network"):
            ACTIONS["trebuchet/own"]({"wind": 1.0, "target": 50.0, "network": network})

    def test_the_largest_weights_are_answered(self):
        shot = ACTIONS["trebuchet/own"]({"wind": 1.0, "target": 50.0, "network": [1e4] * self.SIZE})
        assert math.isfinite(shot["distance"])


@pytest.mark.parametrize("name", FIRST)
def test_every_field_is_checked(name):
    for field, first in FIRST[name].items():
        for wrong in WRONG:
            if isinstance(first, str) and isinstance(wrong, str):
                continue
            with pytest.raises(BadRequest, match=field):
                ACTIONS[name]({**FIRST[name], field: wrong})
        with pytest.raises(BadRequest, match=field):
            ACTIONS[name]({key: value for key, value in FIRST[name].items() if key != field})


def test_samples_and_baselines_are_of_a_list():
    for wrong in ({"samples": 3}, {"samples": 1.5}, {"baseline": "best"}, {"baseline": ""}):
        with pytest.raises(BadRequest, match=next(iter(wrong))):
            ACTIONS["bench/measure"](setting(**wrong))


@pytest.mark.slow
def test_toys_work_in_float64_too():
    """The whole process is: JAX does not change its precision half-way."""
    script = "from spanax.gallery.web._toys import warm_up; warm_up()"
    environment = {**os.environ, "JAX_ENABLE_X64": "1", "PYTHONPATH": str(WEIGHTS.parents[4])}
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, env=environment, timeout=300)
