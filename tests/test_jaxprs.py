"""The views of loops and branches, against the loops and branches of JAX run by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from spanax._jaxprs import P, cond_branches, fixed_point, operations, scan_parts, while_parts


def the(primitive, f, *args):
    """The one equation of that primitive in a function, traced at these arguments."""
    (eqn,) = [e for e in operations(jax.make_jaxpr(f)(*args).jaxpr) if e.primitive is primitive]
    return eqn


def call(program, *ins):
    return jax.core.eval_jaxpr(program.jaxpr, program.consts, *ins)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_run_by_its_parts(reverse):
    def loop(a, b, s, t, x):
        return lax.scan(lambda c, y: ((a * c[0] + y, c[1] * b), c[0] - c[1]), (s, t), x, reverse=reverse, unroll=2)

    args = (0.5, 2.0, 1.0, 3.0, jnp.arange(4.0))
    scan = scan_parts(the(P.scan_p, loop, *args))
    assert (scan.num_consts, scan.num_carry) == (2, 2)
    assert scan.options == {"length": 4, "reverse": reverse, "unroll": 2}
    consts, carry, (xs,) = scan.split(args)
    ys = {}
    for i in reversed(range(4)) if reverse else range(4):
        carry, (ys[i],) = scan.split_outs(call(scan.body, *consts, *carry, xs[i]))
    (s, t), expected = loop(*args)
    np.testing.assert_allclose([*carry, *(ys[i] for i in range(4))], [s, t, *expected], rtol=1e-6)


def test_a_while_loop_run_by_its_parts():
    def loop(limit, last, a, s, k):
        return lax.while_loop(lambda c: (c[0] < limit) & (c[1] < last), lambda c: (a * c[0], c[1] + 1), (s, k))

    args = (100.0, 5, 2.0, 3.0, 0)
    parts = while_parts(the(P.while_p, loop, *args))
    tested, consts, carry = parts.split(args)
    assert (tested, consts, carry) == ([100.0, 5], [2.0], [3.0, 0])
    assert parts.split_test([*tested, *carry]) == (tested, carry)
    assert parts.split_body([*consts, *carry]) == (consts, carry)
    while call(parts.test, *tested, *carry)[0]:
        carry = call(parts.body, *consts, *carry)
    assert list(map(float, carry)) == list(map(float, loop(*args))) == [96.0, 5.0]


def test_the_branches_of_a_cond_by_index():
    eqn = the(P.cond_p, lambda k, x: lax.switch(k, [lambda x: x, lambda x: 2 * x, lambda x: x - 1], x), 0, 5.0)
    assert [float(call(branch, 5.0)[0]) for branch in cond_branches(eqn)] == [5.0, 10.0, 4.0]


def test_a_fixed_point_returns_what_the_last_step_saw():
    seen = []

    def step(carry):
        seen.append(carry)
        a, b, c = carry
        return [a, b | a, c | b], len(seen)

    carry, result = fixed_point(step, ({1}, set(), set()))
    assert carry == [{1}, {1}, {1}] == seen[-1]
    assert result == len(seen) == 3
