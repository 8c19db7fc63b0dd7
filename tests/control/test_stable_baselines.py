"""An agent of Stable-Baselines3 learns in an environment of ours, and ends up as one of our policies is judged."""

import jax
import numpy as np
import pytest

from spanax import control


class Match(control.Env):
    """Which of two actions pays depends on the sign that is observed: an episode is 8 independent guesses."""

    def reset(self, key):
        return {"sign": jax.random.rademacher(key, (), float), "key": jax.random.split(key)[1]}

    def step(self, state, action):
        now, later = jax.random.split(state["key"])
        return {"sign": jax.random.rademacher(now, (), float), "key": later}

    def observe(self, state):
        return state["sign"][None]

    def reward(self, state, action, next_state):
        return (state["sign"] * (2 * action.astype(float) - 1) > 0).astype(float)

    action_space = control.Discrete(2)
    observation_space = control.Box([-1.0], [1.0])
    max_steps = 8


@pytest.mark.slow
def test_ppo_learns_in_an_environment_of_ours(key):
    sb3 = pytest.importorskip("stable_baselines3")
    env = control.to_gymnasium(Match(), seed=0)
    agent = sb3.PPO("MlpPolicy", env, n_steps=128, batch_size=64, learning_rate=1e-2, seed=0, device="cpu")
    agent.learn(640)
    earned = []
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            action, _ = agent.predict(observation, deterministic=True)
            observation, reward, terminated, truncated, _ = env.step(action)
            total, over = total + reward, terminated or truncated
        earned.append(total)
    assert np.mean(earned) >= 7  # of 8; by guessing 4
    # And the same agent as a policy of ours, outside of JAX.
    state = Match().reset(key)
    assert agent.predict(np.asarray(Match().observe(state)))[0] in (0, 1)
