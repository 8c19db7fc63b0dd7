"""Model predictive control: a policy that plans with a model of the environment, and can be differentiated."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

from .._checks import check_key, check_whole
from .._errors import SpanaxError
from .._foreign_arrays import refuse_foreign
from .._jaxprs import is_traced
from ._mpc.implicit import solution
from ._mpc.problem import Inputs, Objective, Problem
from ._mpc.search import polish, search
from ._mpc.starts import first_plans, middle_and_half
from ._mpc.value import learn_value
from .env import Box, Discrete, Env, State
from .identify import identify
from .rollout import Trajectory

Cost = Callable[[State], Float[Array, ""]]
Loss = Callable[[State, Array, State], Float[Array, ""]]


class Plan(NamedTuple):
    """What `MPC.plan` found: a local minimum, the best of those that its starts led to.

    - `actions`: one for each step of the horizon; `states`: before each of them, and after the last one (one more);
    - `cost`: the sum of the steps' costs, and the terminal one;
    - `converged`: is it a minimum to the precision of the numbers? If not, the plan is the best so far, and its derivative NaN;
    - `iterations`: that it took.

    >>> from spanax import control
    >>> control.Plan._fields
    ('actions', 'states', 'cost', 'converged', 'iterations')
    """

    actions: Float[Array, "horizon ..."]
    states: State
    cost: Float[Array, ""]
    converged: Bool[Array, ""]
    iterations: Int[Array, ""]


class MPC(eqx.Module):
    """A policy that plans `horizon` steps ahead with a model of the environment, plays the first action, and plans anew.

    A plan minimises the sum of -reward (or `loss`) and of `terminal` at its end, with the actions inside `env.action_space`, by
    damped Newton steps (iterative LQR, then with the motion's own second derivatives) from several first plans; the best
    is taken. It looks `horizon` steps ahead as if no rule ended the episode.

    The derivative of a plan is that of the minimum, by the implicit function theorem, and not of the search: by the fields of
    `env` that are arrays, those of `loss` and `terminal` (Equinox modules, or functions that close over them), and by the state;
    in forward and reverse mode, to any order (in a scan, in reverse mode, to the third, since JAX drops the rule there). Where
    two minima are equally good the best jumps from one to the other, and the derivative is that of the one taken. Where the
    search has not converged, the derivative is NaN under jit, and raises outside.

    **Arguments:**

    - `env`: the model: an environment with a derivative, without draws, and with actions in a `Box`. With `relax=True` actions
      of `Discrete(2)` may be planned as numbers between 0 and 1, if `env.step` takes them, as `CartPole` does; the policy
      returns such a number.
    - `horizon`: steps of a plan;
    - `iterations`: of the search from each first plan, at most;
    - `loss`: `loss(state, action, next_state) -> scalar`, in the place of -reward; it needs second derivatives;
    - `terminal`: `terminal(state) -> scalar`, what the state after the last step still costs; None: nothing. A short horizon
      needs one wherever the reward comes later;
    - `tries`: how many first plans, the middle of the box and random ones (always the same), are played; `starts`: from how
      many of them, the cheapest, the search starts; of more than 8 the best quarter goes on after three steps, and so on. Which
      swing to take is a choice, and the best may be easy to miss: for the first plan of an episode, `starts=256` is well spent.

    **Raises:**

    - `SpanaxError` for environments and numbers that do not fit, and, where a derivative is asked for outside jit, if the
      search has not converged.

    Tassa, Mansard and Todorov 2014, "Control-limited differential dynamic programming" (ICRA, 1168); Amos, Rodriguez, Sacks,
    Boots and Kolter 2018, "Differentiable MPC" (arXiv:1810.13400).

    >>> import jax, jax.numpy as jnp
    >>> from spanax import control
    >>> mpc = control.MPC(control.Pendulum(), horizon=10, starts=1)
    >>> plan = mpc.plan(jnp.array([0.1, 0.0]))
    >>> plan.actions.shape, plan.states.shape, bool(plan.converged)
    ((10, 1), (11, 2), True)
    """

    env: Env
    loss: Loss | None
    terminal: Cost | None
    horizon: int = eqx.field(static=True)
    iterations: int = eqx.field(static=True)
    tries: int = eqx.field(static=True)
    starts: int = eqx.field(static=True)
    relax: bool = eqx.field(static=True)

    def __init__(
        self,
        env: Env,
        horizon: int = 30,
        iterations: int = 60,
        *,
        loss: Loss | None = None,
        terminal: Cost | None = None,
        tries: int = 512,
        starts: int = 4,
        relax: bool = False,
    ):
        refuse_foreign(env, loss, terminal)
        check_whole("MPC(horizon", horizon)
        check_whole("MPC(iterations", iterations)
        check_whole("MPC(tries", tries)
        check_whole("MPC(starts", starts)
        _check_functions(loss, terminal)
        _check_env(env, relax)
        self.env, self.loss, self.terminal = env, loss, terminal
        self.horizon, self.iterations, self.relax = horizon, iterations, relax
        self.tries, self.starts = tries, min(starts, tries)

    def __call__(self, observation: Float[Array, "*shape"]) -> Float[Array, "*action"]:
        """The action at an observation of which `env.state_from` tells the state."""
        return self.act(self.env.state_from(observation))

    def act(self, state: State, *, plan: Plan | None = None) -> Float[Array, "*action"]:
        """The first action of a plan from `state`; see `plan`."""
        return self.plan(state, plan=plan).actions[0]

    def plan(self, state: State, *, plan: Plan | None = None) -> Plan:
        """The best plan from `state`.

        **Arguments:**

        - `state`: one state; `jax.vmap` for several;
        - `plan`: the plan of the step before, which is then improved as well, moved on by one step. Recommended in closed loop: a
          controller that makes up its mind anew at every step may put off what it planned, for ever.
        """
        refuse_foreign(state, plan)
        state = jax.tree.map(jnp.asarray, state)
        self._check_state(state)
        found = _plan(self, state, None if plan is None else plan.actions)
        _refuse_unconverged(found, self)
        return found

    def with_env(self, env: Env) -> MPC:
        """The same controller with another model."""
        return self._with(env=env)

    def refined(
        self,
        data: Trajectory | Sequence[Trajectory],
        *,
        parameters: Sequence[str],
        residual: Any = None,
        key: Key[Array, ""],
    ) -> MPC:
        """The same controller, whose model is fitted to what was observed, between two steps or two episodes.

        The arguments are those of `control.identify`, which also tells how sure it is of what it found.
        """
        return self.with_env(identify(self.env, data, parameters=parameters, residual=residual, key=key).env)

    def with_terminal(self, terminal: Cost | None) -> MPC:
        """The same controller with another terminal cost."""
        return self._with(terminal=terminal)

    def with_learnt_terminal(
        self,
        *,
        key: Key[Array, ""],
        sample: Callable[[Key[Array, ""]], State] | None = None,
        sweeps: int = 6,
        plans: int = 1024,
    ) -> MPC:
        """The same controller with a terminal cost that is learnt from its own plans: what a state still costs.

        In each sweep, plans start from random states, with the terminal cost so far, and a small network (the least of four, so
        that it may have ridges) is fitted to what is still to come at each of their states. After k sweeps it is the cost of
        about k horizons more, without a discount: the cost has to vanish where the motion can stay. Lowrey and others 2019, "Plan
        online, learn offline" (arXiv:1811.01848). What plans miss counts as impossible: `starts=64` is well spent.

        **Arguments:**

        - `key`: for resets, the network's first weights and its training;
        - `sample`: `sample(key) -> state`, from where plans start. Recommended: spread over all states that a plan may come
          to. None: from resets, after random actions for a random time, and half of them where earlier plans came through;
        - `sweeps`, `plans`: how many sweeps, of so many plans.

        **Raises:** `SpanaxError` for numbers that are not positive whole numbers.
        """
        check_key(key)
        check_whole("with_learnt_terminal(sweeps", sweeps)
        check_whole("with_learnt_terminal(plans", plans, 2)
        return self.with_terminal(learn_value(self, key, sample, sweeps, plans))

    def cost(self, state: State, action: Array, next_state: State) -> Float[Array, ""]:
        """What a plan sums up: `loss`, or -reward."""
        if self.loss is None:
            return -self.env.reward(state, action, next_state)
        return self.loss(state, action, next_state)

    def _with(self, **changed: Any) -> MPC:
        # By the constructor, which checks what is new as it did the first.
        return MPC(**{field.name: getattr(self, field.name) for field in dataclasses.fields(self)} | changed)

    @property
    def box(self) -> Box:
        """The actions that are planned: `env.action_space`, or 0 to 1."""
        space = self.env.action_space
        return Box(0.0, 1.0) if isinstance(space, Discrete) else space

    def _objective(self) -> Objective:
        return Objective(self.env, self.loss, self.terminal)

    def _check_state(self, state: State) -> None:
        usual = jax.eval_shape(lambda: self.env.reset(jax.random.key(0)))
        if jax.tree.map(jnp.shape, state) != jax.tree.map(jnp.shape, usual):
            raise SpanaxError(
                f"MPC: the state has the shapes {jax.tree.map(jnp.shape, state)}, those of {type(self.env).__name__} have "
                f"{jax.tree.map(jnp.shape, usual)}",
                "one state, as env.reset gives it; jax.vmap for several",
                "mpc(observation), which takes an observation",
            )
        if not any(jnp.issubdtype(x.dtype, jnp.floating) for x in jax.tree.leaves(state)):
            raise SpanaxError("MPC: the state has no floating-point array", "jnp.array([3.14, 0.0]), a state of floats")
        # By shapes alone: this runs at every action, and must not cost a step.
        action, objective = jnp.zeros(self.box.shape), self._objective()
        cost = jax.eval_shape(objective.step, state, action)[1]
        end = jax.eval_shape(lambda state: jnp.asarray(objective.end(state)), state)
        for name, out in ("the reward" if self.loss is None else "the loss", cost), ("the terminal cost", end):
            if jnp.shape(out) != ():
                raise SpanaxError(f"MPC: {name} has shape {list(jnp.shape(out))}", "one number, of shape []")


@eqx.filter_jit
def _plan(mpc: MPC, state: State, before: Array | None) -> Plan:
    box = mpc.box
    problem = Problem(mpc._objective(), state, box, mpc.horizon)
    inputs = problem.inputs
    # The search is not differentiated: the derivative is that of what it finds.
    given = jax.tree.map(lax.stop_gradient, inputs)
    first = jnp.asarray(first_plans(box, mpc.horizon, mpc.tries), problem.dtype)
    # To play a plan costs one motion, to improve it many: only the cheapest are searched from. NaN comes last.
    order = jnp.argsort(jax.vmap(lambda actions: problem.total(actions, given))(first))
    first = first[order[: mpc.starts]]
    if before is not None:
        before = lax.stop_gradient(before).reshape(mpc.horizon, -1).astype(problem.dtype)
        # A step later that plan lacks an action at its end: the last one is held.
        first = jnp.concatenate([first, jnp.concatenate([before[1:], before[-1:]])[None]])
    chosen = search(problem, given, first, mpc.iterations)
    # What a step of Newton can still be told from rounding by, and what is close enough for derivatives.
    half = middle_and_half(box.low.ravel(), box.high.ravel())[1].max()
    finest = jnp.finfo(problem.dtype).eps
    polished = polish(problem, given, chosen.rolled, finest**0.75 * half)
    converged = polished.distance <= half * finest**0.5
    # From a state that is NaN, or under a model that leaves the numbers whatever is done, no action is better than another.
    found = jnp.where(jnp.isnan(polished.rolled.cost), jnp.nan, polished.rolled.actions)
    actions = solution(problem, inputs, lax.stop_gradient(found), converged)
    return _as_plan(problem, inputs, actions, box, converged, chosen.iterations + polished.iterations)


def _as_plan(problem: Problem, inputs: Inputs, actions: Array, box: Box, converged: Array, iterations: Array) -> Plan:
    # Played anew, from inputs that are differentiated: the states and the cost have a derivative as well.
    rolled = problem.play(inputs, actions)
    before = jax.vmap(problem.state)(rolled.vectors, rolled.rests)
    after = problem.state(rolled.vector, rolled.rest)
    states = jax.tree.map(lambda some, last: jnp.concatenate([some, last[None]]), before, after)
    return Plan(actions.reshape(-1, *box.shape), states, rolled.cost, converged, iterations)


def _refuse_unconverged(plan: Plan, mpc: MPC) -> None:
    # Only derivatives are refused: the actions are a plan, if not the best. Under jit the derivative is NaN.
    if is_traced(plan.actions) and not is_traced(plan.converged) and not plan.converged:
        raise SpanaxError(
            f"the derivative of a plan that has not converged in {mpc.iterations} iterations",
            "MPC(iterations=200)",
            "mpc.plan(state).converged, which says whether it has; under jit the derivative is NaN where it has not",
            "a cost with curvature in every action, such as 1e-3 * jnp.sum(action**2)",
        )


def _check_functions(loss: Any, terminal: Any) -> None:
    if loss is not None and not callable(loss):
        raise SpanaxError(f"MPC(loss={loss!r})", "loss(state, action, next_state) -> scalar")
    if terminal is not None and not callable(terminal):
        raise SpanaxError(f"MPC(terminal={terminal!r})", "terminal(state) -> scalar")


def _check_env(env: Any, relax: bool) -> None:
    if not isinstance(env, Env):
        raise SpanaxError(f"MPC({env!r}), which is not a control.Env", "a subclass of control.Env")
    name = type(env).__name__
    if env.black_box:
        raise SpanaxError(
            f"MPC plans by derivatives, and {name} is a black box",
            "a model of it: a subclass of control.Env",
            "control.train(env, policy, via=control.PolicyGradient(), key=key)",
        )
    if env.stochastic:
        raise SpanaxError(
            f"MPC plans one future, and a step of {name} draws", "a model without the draws, such as the mean motion"
        )
    if not isinstance(env.action_space, Box):
        relaxed = env.action_space == Discrete(2)
        if relaxed and relax:
            return
        remedies = ["MPC(env, relax=True): numbers between 0 and 1, if env.step takes them"] if relaxed else []
        raise SpanaxError(
            f"MPC plans continuous actions, and {name}.action_space is {env.action_space!r}",
            *remedies,
            "an environment whose action_space is a control.Box",
            "a policy with a bridge: control.MLPPolicy(env, key=key, via=sx.StraightThrough(sx.Soft(0.5)))",
        )
