"""Steps of simulators, as people write them: twelve with a derivative that is wrong near the given arguments, twelve with a right one."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import spanax as sx


class Case(NamedTuple):
    step: object
    args: tuple
    wrong: frozenset = frozenset()  # the names of the outputs with a wrong derivative
    sigma: float = 0.1


# -- wrong


def wall_bounce(position, velocity):
    """The velocity is reversed behind the wall: the time of impact is fixed to the grid of steps."""
    position = position + 0.05 * velocity
    return position, jnp.where(position > 1.0, -0.9 * velocity, velocity)


def falling_ball(height):
    """A ball that bounces elastically in fixed steps: the height at the end (Hu et al. 2020)."""

    def one(state, _):
        h, v = state
        v = v - 9.81 * 0.01
        h = h + 0.01 * v
        return (h, jnp.where(h < 0, jnp.abs(v), v)), None

    (h, _), _ = lax.scan(one, (height, jnp.zeros(())), None, 60)
    return h


def clipped_spring(x):
    """A contact force that is cut off at its strength, and drops to 0 where the contact tears."""
    force = jnp.clip(200.0 * x, 0.0, 20.0)
    return {"force": jnp.where(x > 0.15, 0.0, force), "position": x + 0.01 * force}


def coulomb_friction(state):
    """A sliding block: friction by the sign of its velocity."""
    x, v = state
    v = v - 0.3 * jnp.sign(v)
    return jnp.stack([x + 0.1 * v, v])


def block_push(finger, block, push):
    """A finger that moves a block where it touches it, by the whole of its own motion."""
    finger = finger + push
    touches = finger > block - 0.5
    return {"finger": finger, "block": jnp.where(touches, block + push, block)}


def terrain(position):
    """The height below a wheel, from a table of cells."""
    heights = jnp.array([0.0, 0.3, 0.1, 0.5, 0.2, 0.4])
    return heights[jnp.floor(position / 0.25).astype(int) % 6]


def broad_phase(a, b):
    """Two balls repel each other if they lie in the same cell of a grid."""
    same = jnp.floor(a) == jnp.floor(b)
    force = jnp.where(same, jnp.sign(b - a) * 2.0, 0.0)
    return a - 0.1 * force, b + 0.1 * force


def stopped_solver(forces):
    """Contact impulses by projected Gauss-Seidel, whose iterations are not differentiated but for the last."""
    A = jnp.array([[2.0, 0.9], [0.9, 2.0]])

    def sweep(x):
        for i in range(2):
            x = x.at[i].set(jnp.maximum(0.0, x[i] - (A[i] @ x - forces[i]) / A[i, i]))
        return x

    x = jnp.zeros(2)
    for _ in range(20):
        x = lax.stop_gradient(sweep(x))
    return sweep(x)


@jax.custom_jvp
def lift_force(angle):
    return jnp.sin(2 * angle)


@lift_force.defjvp
def _(primals, tangents):
    return lift_force(primals[0]), -2 * jnp.cos(2 * primals[0]) * tangents[0]


def wrong_rule(state):
    """A glider, with a rule of the wrong sign for its lift."""
    angle, rate = state
    return jnp.stack([angle + 0.1 * rate, rate + 0.1 * rate + lift_force(angle)])


def held_mass(speed, mass):
    """A thrust whose dependence on the mass was stopped."""
    return speed + 3.0 / lax.stop_gradient(mass), mass - 0.1 * speed


def rounded_sensor(angle):
    """What a sensor with 8 bits reads."""
    return jnp.round(angle * 128) / 128


def wrapped_angle(angle, rate):
    """A heading between -pi and pi, and what a controller makes of it."""
    angle = angle + 0.1 * rate
    angle = jnp.mod(angle + jnp.pi, 2 * jnp.pi) - jnp.pi
    return angle, -2.0 * angle


def straight_through(x):
    """A valve that opens at a threshold, with the derivative of the identity far away from it."""
    return sx.hard.greater(x, 0.5, via=sx.StraightThrough()) * 1.5


FIRST, SECOND = "[0]", "[1]"
WRONG = {
    "wall bounce": Case(wall_bounce, (0.98, 0.5), frozenset({SECOND})),
    "ball in fixed steps": Case(falling_ball, (1.0,), frozenset({"the result"})),
    "spring that tears": Case(clipped_spring, (0.12,), frozenset({"['force']"})),
    "friction by sign": Case(
        coulomb_friction, (jnp.array([0.0, 0.05]),), frozenset({"the result[0]", "the result[1]"})
    ),
    "block push": Case(block_push, (0.4, 1.0, 0.1), frozenset({"['block']"})),
    "cells of a table": Case(terrain, (0.8,), frozenset({"the result"})),
    "collision by floor": Case(broad_phase, (0.9, 0.95), frozenset({FIRST, SECOND})),
    "stopped solver": Case(stopped_solver, (jnp.array([1.0, 1.5]),), frozenset({"the result[0]", "the result[1]"})),
    "custom rule": Case(wrong_rule, (jnp.array([0.3, 0.1]),), frozenset({"the result[1]"})),
    "stop_gradient": Case(held_mass, (1.0, 2.0), frozenset({FIRST})),
    "rounded sensor": Case(rounded_sensor, (0.3,), frozenset({"the result"})),
    "wrapped angle": Case(wrapped_angle, (3.1, 0.5), frozenset({FIRST, SECOND})),
}
# Beyond the twelve: a bridge whose bias is known.
BIASED = Case(straight_through, (0.8,), frozenset({"the result"}))


# -- right


def pendulum(state, torque):
    theta, rate = state
    rate = rate + 0.05 * (15.0 * jnp.sin(theta) + 3.0 * torque)
    return jnp.stack([theta + 0.05 * rate, rate])


def soft_contact(height, velocity):
    """A stiff spring and a damper that act below the ground: a kink, and no jump."""
    force = jnp.maximum(-height, 0.0) * 5e3
    velocity = velocity + 0.01 * (force - 9.81)
    return height + 0.01 * velocity, velocity


def relu_network(x):
    w = jnp.asarray(np.random.default_rng(0).normal(size=(16, 3)), x.dtype)
    return jnp.sum(jax.nn.relu(w @ x)), jax.nn.relu(w[:4] @ x)


def mirrored_ball(height, speed):
    """An elastic bounce whose height is mirrored: continuous, by its absolute value."""
    return jnp.abs(height + 0.1 * speed)


def clipped_torque(torque, rate):
    return rate + 0.1 * jnp.clip(torque, -2.0, 2.0)


def ranked(x):
    """Sorted distances: each is continuous, although the order jumps."""
    return jnp.sort(jnp.abs(x - 0.5))


def drag(velocity):
    """Quadratic drag, by the norm of the velocity, near 0."""
    return velocity - 0.3 * velocity * jnp.linalg.norm(velocity)


def stiff_spring(x):
    """A contact so stiff that its derivative is huge: right all the same."""
    return {"force": 1e6 * jnp.maximum(x - 1.0, 0.0), "energy": 5e5 * jnp.maximum(x - 1.0, 0.0) ** 2}


def solved_event(height, speed):
    """When and how fast a ball reaches the ground, in closed form: an event that is solved for."""
    impact = (speed + jnp.sqrt(speed**2 + 2 * 9.81 * height)) / 9.81
    after = 0.8 * (9.81 * impact - speed)
    left = 1.0 - impact
    return after * left - 4.905 * left**2, after - 9.81 * left


def thin_layer(x):
    """A contact that sets in over a hundredth of what is perturbed: steep, and continuous."""
    return jnp.clip((x - 1.0) / 1e-3, 0.0, 1.0)


def smooth_bodies(q, v):
    """Two joints with a coupled mass matrix, as a simulator of rigid bodies solves them."""
    c = jnp.cos(q[1])
    M = jnp.array([[3.0, 1.0], [1.0, 1.0]]) + c * jnp.array([[2.0, 1.0], [1.0, 0.0]])
    bias = jnp.sin(q[1]) * jnp.stack([-v[1] * (2 * v[0] + v[1]), v[0] ** 2]) + 9.81 * jnp.sin(q)
    v = v - 0.02 * jnp.linalg.solve(M, bias)
    return {"qpos": q + 0.02 * v, "qvel": v}


def gauss_seidel(forces):
    """Contact impulses by a fixed number of sweeps, all of them differentiated."""
    A = jnp.array([[2.0, 0.9], [0.9, 2.0]])

    def sweep(_, x):
        for i in range(2):
            x = x.at[i].set(jnp.maximum(0.0, x[i] - (A[i] @ x - forces[i]) / A[i, i]))
        return x

    return lax.fori_loop(0, 10, sweep, jnp.zeros(2))


RIGHT = {
    "pendulum": Case(pendulum, (jnp.array([0.5, 0.1]), 0.3)),
    "soft contact": Case(soft_contact, (0.02, -1.0)),
    "relu network": Case(relu_network, (jnp.array([0.1, -0.2, 0.3]),)),
    "mirror": Case(mirrored_ball, (0.1, -1.0)),
    "clipped torque": Case(clipped_torque, (1.95, 0.3)),
    "sort": Case(ranked, (jnp.array([0.4, 0.55, 0.9]),)),
    "drag": Case(drag, (jnp.array([0.01, -0.02]),)),
    "stiff spring": Case(stiff_spring, (1.02,)),
    "solved event": Case(solved_event, (1.0, 0.5)),
    "thin layer": Case(thin_layer, (1.02,)),
    "coupled bodies": Case(smooth_bodies, (jnp.array([0.3, -0.2]), jnp.array([0.5, 1.0]))),
    "solver": Case(gauss_seidel, (jnp.array([0.05, 1.5]),)),
}
