"""The physics of Gymnasium's own classes, as they are installed."""

import numpy as np
from gymnasium.envs.classic_control.acrobot import AcrobotEnv
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.envs.classic_control.continuous_mountain_car import Continuous_MountainCarEnv
from gymnasium.envs.classic_control.pendulum import PendulumEnv

from ._program import Program

ENV = CartPoleEnv()
ENV.reset(seed=0)


def cartpole(state, force_mag):
    """The angle and the place after 20 steps of a fixed plan."""
    ENV.state = state
    ENV.force_mag = force_mag
    for step in range(20):
        ENV.step(step % 2)
    x, x_dot, theta, theta_dot = ENV.state
    return float(theta**2 + 0.1 * x**2 + 0.01 * (x_dot**2 + theta_dot**2))


def cartpole_made_inside(state, pole_length, n):
    """The class is called inside the program, and integrates the other way."""
    env = CartPoleEnv()
    env.reset(seed=3)
    env.kinematics_integrator = "semi-implicit euler"
    env.state = state
    env.length = pole_length
    for step in range(n):
        observation, reward, terminated, truncated, info = env.step(int(step < n // 2))
    return env.state[2] * reward


def cartpole_that_falls(state, force_mag):
    """Pushed to one side until it falls: the time is cut where `terminated` says so."""
    env = CartPoleEnv()
    env.reset(seed=0)
    env.state = state
    env.force_mag = force_mag
    total = 0.0
    for _ in range(60):
        _, reward, terminated, _, _ = env.step(1)
        total += reward * env.state[2] ** 2
        if terminated:
            break
    return total


GAINS = np.array([0.1, 0.2, 1.0, 0.5])


def cartpole_with_a_policy(state):
    """The action is a comparison: the derivative is that of the path taken."""
    env = CartPoleEnv()
    env.reset(seed=0)
    env.state = state
    cost = 0.0
    for _ in range(30):
        action = 1 if np.dot(GAINS, env.state) > 0 else 0
        env.step(action)
        cost += env.state[2] ** 2 + 0.01 * env.state[0] ** 2
    return cost


def pendulum(state, gains):
    """A proportional-derivative controller that swings, with torque and speed clipped and the angle wrapped."""
    env = PendulumEnv()
    env.reset(seed=1)
    env.state = state
    total = 0.0
    for _ in range(40):
        th, thdot = env.state
        _, reward, _, _, _ = env.step(np.array([gains[0] * np.sin(th) + gains[1] * thdot]))
        total += reward
    return total


def acrobot(state):
    """Runge-Kutta steps that Gymnasium wrote itself, with angles wrapped by `while` loops."""
    env = AcrobotEnv()
    env.reset(seed=2)
    env.state = state
    height = 0.0
    for step in range(4):
        env.step(step % 3)
        s = env.state
        height += -np.cos(s[0]) - np.cos(s[1] + s[0])
    return height


def mountain_car(force, velocity):
    """Its state is float32, and so is what moves it."""
    env = Continuous_MountainCarEnv()
    env.reset(seed=4)
    env.state = np.array([-0.5, velocity])
    total = 0.0
    for _ in range(3):
        state, reward, terminated, _, _ = env.step(np.array([force]))
        total += reward + state[0]
    return float(total)


PROGRAMS = [
    Program(cartpole, (np.array([0.01, -0.02, 0.03, 0.04]), 10.0)),
    Program(cartpole_made_inside, (np.array([0.0, 0.1, -0.02, 0.03]), 0.5, 10)),
    Program(cartpole_that_falls, (np.array([0.01, 0.02, 0.03, 0.04]), 10.0), step=1e-4),
    Program(cartpole_with_a_policy, (np.array([0.01, -0.02, 0.03, 0.04]),), step=1e-5),
    Program(pendulum, (np.array([2.0, 0.5]), np.array([-3.0, -0.4])), step=1e-4),
    Program(acrobot, (np.array([3.0, 0.3, 1.0, -0.5]),), step=1e-4),
    # float32: differences hold four digits
    Program(mountain_car, (0.5, 0.02), value=1e-6, gradient=1e-3, step=1e-2),
]
