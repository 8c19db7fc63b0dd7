"""MPC: regret of the swing-up, its gradient beside differences, and its speed beside an unrolled search and mpc.pytorch.

Peers: the same search in a `scan` of fixed length that reverse mode goes back through (what one writes without an implicit
derivative), with as many steps as it needs for the same accuracy; and mpc.pytorch (`pip install mpc`), where it is installed,
with the pendulum's equations in PyTorch.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks import _timing
from benchmarks._pendulum_optimum import OPTIMUM, STARTS
from spanax import control
from spanax.control._mpc.problem import Problem
from spanax.control._mpc.search import begin, improve
from spanax.gallery.mpc import Settings, learn, returns

HORIZON, STATE, MASS = 30, (0.3, -0.2), 1.0
TARGET_REGRET, TARGET_ERROR, TARGET_RATIO = 3.0, 1e-4, 3.0


def regret(seed: int, sweeps: int, plans: int, starts: int) -> float:
    """The optimum's mean return over the fixed starts, less the controller's, in float64."""
    controller = learn(Settings(sweeps, plans, len(STARTS), 0, HORIZON, seed))
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64) if eqx.is_inexact_array(x) else x, controller)
        found = np.asarray(returns(exact, jnp.asarray(STARTS[:starts])))
    return OPTIMUM - float(found.mean())


def model(mass: Any) -> control.Pendulum:
    return eqx.tree_at(lambda env: env.m, control.Pendulum(), mass)


def action_implicit(mass: Any) -> Any:
    """The sum of a plan's torques, by the mass of the model; from one first plan, as the peers."""
    return control.MPC(model(mass), HORIZON, tries=1, starts=1, loss=_loss).plan(jnp.array(STATE)).actions.sum()


def action_unrolled(mass: Any, steps: int) -> Any:
    """The same, by a fixed number of steps of the same search, all of which the derivative goes back through."""
    objective = control.MPC(model(mass), HORIZON, loss=_loss)._objective()
    problem = Problem(objective, jnp.array(STATE), control.Pendulum().action_space, HORIZON)
    inputs = problem.inputs
    first = begin(problem, inputs, jnp.zeros((HORIZON, 1)))
    last = lax.scan(lambda at, _: (improve(problem, inputs, at), None), first, None, steps)[0]
    return last.rolled.actions.sum()


def _loss(state: Any, action: Any, after: Any) -> Any:
    return after[0] ** 2 + 0.1 * after[1] ** 2 + 0.05 * action[0] ** 2


def differences(h: float = 1e-5) -> float:
    value = jax.jit(action_implicit)
    return float((value(MASS + h) - value(MASS - h)) / (2 * h))


def torch_action() -> Any:
    """mpc.pytorch's gradient of the same number, as a call without arguments."""
    import torch
    from mpc import mpc as peer  # pyright: ignore[reportAttributeAccessIssue]

    class Motion(torch.nn.Module):
        def __init__(self, mass):
            super().__init__()
            self.mass = mass

        def forward(self, x, u):
            angle, velocity, torque = x[:, 0], x[:, 1], u[:, 0]
            velocity = velocity + 0.05 * (15 * torch.sin(angle) + 3 / self.mass * torque)
            return torch.stack([angle + 0.05 * velocity, velocity], 1)

    class Cost(torch.nn.Module):
        # Of state and action before a step: the same sum but for its first and last terms.
        def forward(self, tau):
            return tau[..., 0] ** 2 + 0.1 * tau[..., 1] ** 2 + 0.05 * tau[..., 2] ** 2

    def call():
        mass = torch.tensor(MASS, dtype=torch.float64, requires_grad=True)
        solver = peer.MPC(
            2, 1, HORIZON, u_lower=-2.0, u_upper=2.0, lqr_iter=20, verbose=-1, backprop=True, exit_unconverged=False,
            grad_method=peer.GradMethods.AUTO_DIFF, eps=1e-9, n_batch=1,
        )  # fmt: skip
        quadratic = peer.QuadCost(
            torch.diag(torch.tensor([2.0, 0.2, 0.1], dtype=torch.float64)).expand(HORIZON, 1, 3, 3),
            torch.zeros(HORIZON, 1, 3, dtype=torch.float64),
        )
        start = torch.tensor([STATE], dtype=torch.float64)
        _, actions, _ = solver(start, quadratic, Motion(mass))
        (slope,) = torch.autograd.grad(actions.sum(), mass)
        return float(slope)

    return call


def speed(repeats: int) -> None:
    with jax.enable_x64(True):
        truth = differences()
        implicit = jax.jit(jax.grad(action_implicit))
        ours = abs(float(implicit(MASS)) / truth - 1)
        # As many steps as come as close as ours, or to where differences end.
        for steps in (5, 6, 7, 8, 10, 12, 14, 17, 20):
            unrolled = jax.jit(jax.grad(functools.partial(action_unrolled, steps=steps)))
            error = abs(float(unrolled(MASS)) / truth - 1)
            _timing.stage(f"unrolled, {steps} steps: relative error {error:.1e}")
            if error < max(2 * ours, 1e-7):
                break
        print(f"gradient {truth:.6g}; relative error {ours:.1e}; unrolled, {steps} steps: {error:.1e}")
        calls: dict[str, Any] = {
            "MPC": lambda: implicit(MASS).block_until_ready(),
            "unrolled": lambda: unrolled(MASS).block_until_ready(),
        }
        if importlib.util.find_spec("mpc") is not None and importlib.util.find_spec("torch") is not None:
            # mpc 0.0.6 indexes with masks of bytes, which new versions of PyTorch refuse.
            try:
                peer = torch_action()
                print(f"mpc.pytorch's gradient: {peer():.6g} (of a sum that differs in its first and last term)")
                calls["mpc.pytorch"] = peer
            except RuntimeError as error:
                print(f"mpc.pytorch does not run: {error}")
        seconds = _timing.interleaved(calls, repeats=repeats)
        rows = [[name, *_timing.times(seconds, name, "MPC", 1e-3)] for name in calls]
        _timing.table(["gradient by the mass", *_timing.times_head("ms")], rows)
        _timing.verdict("gradient against differences", ours, TARGET_ERROR)
        for name in list(calls)[1:]:
            _timing.verdict(f"{name} / MPC", _timing.ratio(seconds, name, "MPC"), TARGET_RATIO, at_least=True)


def main():
    options = _timing.parser(__doc__, repeats=15)
    options.add_argument("--sweeps", type=int, default=6, help="of the terminal cost (default: %(default)s)")
    options.add_argument("--plans", type=int, default=768, help="of each sweep (default: %(default)s)")
    options.add_argument("--seeds", type=int, default=3, help="of the terminal cost (default: %(default)s)")
    options.add_argument("--starts", type=int, default=100, help="that are judged (default: %(default)s)")
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("spanax", "jax", "equinox", "torch", "mpc")
    speed(args.repeats)
    regrets = [regret(seed, args.sweeps, args.plans, args.starts) for seed in range(args.seeds)]
    if regrets:
        print(f"regret from {args.starts} starts, by seed: {', '.join(f'{x:.2f}' for x in regrets)}")
        _timing.verdict("regret, median", float(np.median(regrets)), TARGET_REGRET)


if __name__ == "__main__":
    main()
