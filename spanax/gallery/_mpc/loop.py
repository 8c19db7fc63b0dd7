"""A planner in closed loop: one step of its plan is taken, and the rest of it is where the next plan starts."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
from jax import lax

from ... import control

STEPS = 200
# First plans of an episode, and starts that are played at once.
FIRST, BATCH = 256, 20


class Played(NamedTuple):
    """A swing: states and torques, and the angles of the plan at each of its steps."""

    states: Any
    torques: Any
    plans: Any
    rewards: Any


@eqx.filter_jit
def play(controller: control.MPC, state: Any, steps: int = STEPS) -> Played:
    """The closed loop, each plan from the one before, and the first from many: the best swing may be easy to miss."""
    env = controller.env
    wide = control.MPC(
        env, controller.horizon, controller.iterations, terminal=controller.terminal, tries=FIRST, starts=FIRST
    )

    def one(carry, _):
        state, plan = carry
        torque = plan.actions[0]
        after = env.step(state, torque)
        played = Played(state, torque, plan.states[:, 0], env.reward(state, torque, after))
        return (after, controller.plan(after, plan=plan)), played

    return lax.scan(one, (state, wide.plan(state)), None, steps)[1]


@eqx.filter_jit
def returns(controller: control.MPC, starts: Any) -> Any:
    """Of the closed loop from each start; some at a time, for many first plans take memory."""
    return lax.map(lambda start: play(controller, start).rewards.sum(), starts, batch_size=BATCH)
