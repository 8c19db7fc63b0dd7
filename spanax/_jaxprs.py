"""Reading traced programs: sub-programs of an equation, evaluating one equation, the user's file:line.

With `_primitives.py` the only file that knows JAX's own representation of programs: what a new version changes is mended here.
"""

import contextlib
import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.core
import jax.sharding
import numpy as np
from jax import lax
from jax.extend import source_info_util
from jax.extend.core import (
    ClosedJaxpr as ClosedJaxpr,
    Jaxpr as Jaxpr,
    JaxprEqn as JaxprEqn,
    Literal as Literal,
    jaxprs_in_params as jaxprs_in_params,
    primitives as P,  # noqa: N812
)
from jax.interpreters import partial_eval

# Frames of this package are not the user's, neither in our messages nor in JAX's own.
source_info_util.register_exclusion(os.path.dirname(__file__) + os.sep)

# A bridge is an Equinox module, whose methods are called through a wrapper: its frames are not the user's either. Neither are
# those of PyTorch, whose folder is known without importing it.
_EQUINOX = os.path.dirname(eqx.__file__) + os.sep
_TORCH = os.path.join(os.path.dirname(os.path.dirname(eqx.__file__)), "torch") + os.sep

# Equations that run one sub-program once, and the parameter that holds it. JAX names it differently for each.
CALLS = {
    P.jit_p: "jaxpr",
    P.closed_call_p: "call_jaxpr",
    P.remat_p: "jaxpr",
    P.custom_jvp_call_p: "call_jaxpr",
    P.custom_vjp_call_p: "call_jaxpr",
}
CUSTOM_RULES = (P.custom_jvp_call_p, P.custom_vjp_call_p)
# Looked into as if they were written out: a custom rule says something about the whole that its parts do not.
PLAIN_CALLS = CALLS.keys() - set(CUSTOM_RULES)


def aval(variable: Any) -> Any:
    """The shape and dtype of a variable or a literal of a traced program."""
    return variable.aval


def is_traced(x: Any) -> bool:
    """Does JAX trace it, so that its value is not known now?"""
    return isinstance(x, jax.core.Tracer)


def is_ref(variable: Any) -> bool:
    """Is it a mutable array (`jax.Ref`)?"""
    return type(variable.aval).__name__ == "AbstractRef"


def varying(x: Any) -> frozenset:
    """The mesh axes along which an array or a variable differs from device to device, as far as JAX tracks it."""
    return varying_type(x.aval if hasattr(x, "aval") else jax.typeof(x))


def varying_type(aval: Any) -> frozenset:
    """The same, of a type."""
    kind = getattr(aval, "manual_axis_type", None)
    return kind.varying if kind else frozenset()


def as_varying(x: Any, axes: frozenset) -> Any:
    """x, with a type that differs along these axes as well."""
    # Two branches must return the same type, and a loop must carry one.
    return lax.pcast(x, tuple(axes - varying(x)), to="varying")


# These name axes too, but change only the type of a value: nothing moves between devices.
_CASTS = frozenset("pvary preduced reduced_vary_cast_p vary_unreduced_cast_p".split())


def is_cast(eqn: JaxprEqn) -> bool:
    """Does it only change along which mesh axes its argument counts as different?"""
    return eqn.primitive.name in _CASTS


def collective_axes(eqn: JaxprEqn) -> frozenset:
    """The axes, bound outside of the equation, along which it passes a value between indices or devices."""
    # Read from the parameters of the equation and of all that it runs: some collectives have no effect that would show it.
    # `axis_index` has no operand, so it passes nothing on.
    if not eqn.invars or is_cast(eqn):
        return frozenset()
    named = jax.tree.leaves([eqn.params.get("axis_name"), eqn.params.get("axes")])
    # A number is an axis of the array, a name one of a vmap or a mesh.
    own = frozenset(x for x in named if not isinstance(x, int | np.integer))
    inner = (collective_axes(e) for jaxpr in jaxprs_in_params(eqn.params) for e in jaxpr.eqns)
    return own.union(*inner) - eqn.params.get("newly_manual_axes", frozenset())


def mesh_axes() -> frozenset:
    """The axes of the `shard_map`s that are being traced."""
    return frozenset(jax.sharding.get_abstract_mesh().manual_axes)


@contextlib.contextmanager
def computed_now() -> Iterator[None]:
    """Inside it, what is known is computed while the program is traced, on one device, whatever mesh the program runs on."""
    with jax.core.eval_context(), jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ())):
        yield


def opened(program: ClosedJaxpr | Jaxpr) -> tuple[Jaxpr, Sequence]:
    """A sub-program as (jaxpr, constants)."""
    return (program.jaxpr, program.consts) if isinstance(program, ClosedJaxpr) else (program, ())


def called(eqn: JaxprEqn) -> ClosedJaxpr | Jaxpr:
    """The sub-program that a call (a key of `CALLS`) or a scan runs."""
    return eqn.params[CALLS.get(eqn.primitive, "jaxpr")]


def body(eqn: JaxprEqn) -> tuple[Jaxpr, Sequence]:
    """The same as (jaxpr, constants)."""
    return opened(called(eqn))


def closed_over(eqn: JaxprEqn) -> int:
    """How many of the first operands of a call are what a function with a custom rule closes over."""
    return eqn.params.get("num_consts", 0)


_T = TypeVar("_T")


class ScanParts(NamedTuple):
    """A scan. Its operands are constants, the first carry and the arrays to scan; its results the last carry and stacked rows.

    The body's inputs and outputs come in the same order, with one row of each array.
    """

    body: ClosedJaxpr
    num_consts: int
    num_carry: int
    length: int
    reverse: bool
    unroll: int

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments with which `jax.lax.scan` makes the same loop."""
        return {"length": self.length, "reverse": self.reverse, "unroll": self.unroll}

    def split(self, ins: Sequence[_T]) -> tuple[list[_T], list[_T], list[_T]]:
        """Operands, or inputs of the body: constants, carry, and what is scanned."""
        n, m = self.num_consts, self.num_carry
        return list(ins[:n]), list(ins[n : n + m]), list(ins[n + m :])

    def split_outs(self, outs: Sequence[_T]) -> tuple[list[_T], list[_T]]:
        """Results, or outputs of the body: carry, and what is stacked."""
        return list(outs[: self.num_carry]), list(outs[self.num_carry :])


def scan_parts(eqn: JaxprEqn) -> ScanParts:
    """Reads a scan; newer versions of JAX keep trees of its operands in place of their numbers."""
    p = eqn.params
    if "num_carry" in p:
        sizes = p["num_consts"], p["num_carry"]
    else:
        consts, carry, _ = p["ft_in"].unpack()
        sizes = len(list(consts)), len(list(carry))
    # Everything after this reads the record: no other file knows the parameters' names.
    return ScanParts(p["jaxpr"], *sizes, p["length"], p["reverse"], p["unroll"])


class WhileParts(NamedTuple):
    """A while loop. Its operands are constants of the test, constants of the body, and the first carry.

    The test's inputs are its own constants and the carry, and the body's likewise; the results are the last carry.
    """

    test: ClosedJaxpr
    body: ClosedJaxpr
    num_test_consts: int
    num_body_consts: int

    def split(self, ins: Sequence[_T]) -> tuple[list[_T], list[_T], list[_T]]:
        """Operands: constants of the test, constants of the body, carry."""
        a, b = self.num_test_consts, self.num_body_consts
        return list(ins[:a]), list(ins[a : a + b]), list(ins[a + b :])

    def split_test(self, ins: Sequence[_T]) -> tuple[list[_T], list[_T]]:
        """Inputs of the test: constants, carry."""
        return list(ins[: self.num_test_consts]), list(ins[self.num_test_consts :])

    def split_body(self, ins: Sequence[_T]) -> tuple[list[_T], list[_T]]:
        """Inputs of the body: constants, carry."""
        return list(ins[: self.num_body_consts]), list(ins[self.num_body_consts :])


def while_parts(eqn: JaxprEqn) -> WhileParts:
    """Reads a while loop."""
    p = eqn.params
    return WhileParts(p["cond_jaxpr"], p["body_jaxpr"], p["cond_nconsts"], p["body_nconsts"])


def cond_branches(eqn: JaxprEqn) -> tuple[ClosedJaxpr, ...]:
    """The branches of a cond. Its first operand is the index of one of them, the others are what all of them are given."""
    return eqn.params["branches"]


def fixed_point(step: Callable[[list[_T]], tuple[list[_T], Any]], carry: Sequence[_T]) -> tuple[list[_T], Any]:
    """What a loop carries, abstractly, in every iteration, and the last result of `step`.

    `step(carry)` returns the carry joined with what an iteration passes on, and any result; it is repeated until the carry stays
    the same.
    """
    # It ends because `step` joins: a carry only grows, in a lattice of finite height.
    carry = list(carry)
    while True:
        after, result = step(carry)
        if after == carry:
            return carry, result
        carry = after


def programs(eqn: JaxprEqn) -> list[Jaxpr]:
    """The sub-programs that a call, a branch or a loop runs; [] for any other equation. Of a while loop, the test comes first."""
    if eqn.primitive is P.cond_p:
        return [b.jaxpr for b in cond_branches(eqn)]
    if eqn.primitive is P.while_p:
        loop = while_parts(eqn)
        return [loop.test.jaxpr, loop.body.jaxpr]
    if eqn.primitive in CALLS or eqn.primitive is P.scan_p:
        return [body(eqn)[0]]
    return []


_AGAIN = "spanax_again"


def again(f: Callable[..., Any]) -> Callable[..., Any]:
    """f as a call that repeats draws which the program has already made: nobody looks into it (`is_call`, `below`)."""

    def run(*args):
        return f(*args)

    run.__name__ = _AGAIN
    return jax.jit(run)


def is_again(eqn: JaxprEqn) -> bool:
    return eqn.primitive is P.jit_p and eqn.params["name"] == _AGAIN


def is_call(eqn: JaxprEqn) -> bool:
    """Does it run one sub-program once, to be looked into?"""
    return eqn.primitive in CALLS and not is_again(eqn)


def below(eqn: JaxprEqn, test: Callable[[JaxprEqn], bool]) -> JaxprEqn | None:
    """The first equation, this one or one in its sub-programs at any depth, for which `test` holds."""
    if test(eqn):
        return eqn
    if is_again(eqn):
        return None
    for jaxpr in jaxprs_in_params(eqn.params):
        for inner in jaxpr.eqns:
            if found := below(inner, test):
                return found
    return None


def operations(jaxpr: Jaxpr) -> Iterator[JaxprEqn]:
    """Its equations, those of its sub-programs among them."""
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jaxprs_in_params(eqn.params):
            yield from operations(inner)


def is_loop(eqn: JaxprEqn) -> bool:
    return eqn.primitive in (P.scan_p, P.while_p)


def has_loop(program: ClosedJaxpr) -> bool:
    """Does it have a loop, at any depth?"""
    return any(map(is_loop, operations(program.jaxpr)))


def without_dead_code(program: ClosedJaxpr) -> ClosedJaxpr:
    """The same program without the equations that reach no result, inside loops, branches and calls too."""
    # Inputs that are no longer used stay: the caller's operands fit as before.
    jaxpr, _ = partial_eval.dce_jaxpr(program.jaxpr, True, instantiate=True)
    return ClosedJaxpr(jaxpr, program.consts)


def at(eqn: JaxprEqn) -> contextlib.AbstractContextManager:
    """Inside it, whatever is traced or raised belongs to the user's line that made this equation."""
    # JAX takes a line from the running Python frames, which are this interpreter's: the user's is put in their place.
    name_stack = source_info_util.current_name_stack() + eqn.source_info.name_stack
    return source_info_util.user_context(eqn.source_info.traceback, name_stack=name_stack)


def evaluate(eqn: JaxprEqn, ins: Sequence) -> list:
    """The outputs of one equation."""
    # An input may be known to be the same along more mesh axes than the one that was traced: give it the traced type.
    ins = [as_varying(x, varying(v)) if varying(v) else x for x, v in zip(ins, eqn.invars, strict=True)]
    with at(eqn), eqn.ctx.manager:
        outs = eqn.primitive.bind(*ins, **eqn.primitive.get_bind_params(eqn.params))
    return list(outs) if eqn.primitive.multiple_results else [outs]


def evaluate_alone(eqn: JaxprEqn, ins: Sequence) -> list:
    """The same outside of the `shard_map` around the equation, as on one device."""
    if not any(map(varying, (*eqn.invars, *eqn.outvars))):
        return evaluate(eqn, ins)
    # A cast changes a type only: without the mesh its argument is its result.
    if is_cast(eqn):
        return list(ins)
    outs = eqn.primitive.bind(*ins, **eqn.primitive.get_bind_params(eqn.params))
    return list(outs) if eqn.primitive.multiple_results else [outs]


def evaluate_jaxpr(jaxpr: Jaxpr, consts: Sequence, *args) -> list:
    """The outputs of a whole sub-program."""
    return jax.core.eval_jaxpr(jaxpr, consts, *args)


def where(eqn: JaxprEqn) -> str:
    """`file:line (function)` of the user's line that made this equation; "" where JAX kept none."""
    return _user_line(eqn.source_info)


def here() -> str:
    """`file:line (function)` of the user's line that is being traced or run."""
    return _user_line(source_info_util.current())


def _user_line(info: source_info_util.SourceInfo) -> str:
    # The innermost line comes last.
    lines = source_info_util.summarize(info, num_frames=16).splitlines()
    return next((line.strip() for line in reversed(lines) if not line.startswith((_EQUINOX, _TORCH))), "")


class Frame(NamedTuple):
    """One line of Python on the way to an equation. `span`: first line, first column, last line, last column."""

    file: str
    function: str  # its qualified name
    span: tuple[int, int, int, int]

    @property
    def line(self) -> int:
        return self.span[0]


def frames(eqn: JaxprEqn) -> list[Frame]:
    """The Python frames that made this equation, innermost first, JAX's own among them; [] where JAX kept none."""
    traceback = eqn.source_info.traceback
    if traceback is None:
        return []
    # Cheaper than the traceback's frames, which would be objects for each of a program's thousands of equations.
    codes, offsets = traceback.raw_frames()
    locate = type(traceback).code_addr2location
    return [Frame(c.co_filename, c.co_qualname, tuple(locate(c, o))) for c, o in zip(codes, offsets, strict=True)]


def excerpt(eqns: Sequence[JaxprEqn], ins: Sequence, outs: Sequence) -> Callable[..., list]:
    """Some equations of a program as a function from the variables `ins` to the variables `outs`."""

    def run(*args):
        env = dict(zip(ins, args, strict=True))
        for eqn in eqns:
            values = [v.val if isinstance(v, Literal) else env[v] for v in eqn.invars]
            env.update(zip(eqn.outvars, evaluate(eqn, values), strict=True))
        return [env[v] for v in outs]

    return run


def source_file(jaxpr: Jaxpr) -> str:
    """The file of the Python function that a program was traced from; "" where JAX kept none."""
    info = getattr(getattr(jaxpr, "debug_info", None), "func_src_info", None) or ""
    return info.partition(" at ")[2].rpartition(":")[0]


def defined(f: Callable) -> str:
    """`file:line (function)` where a Python function is defined; "" where it has no source."""
    code = getattr(inspect.unwrap(f), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno} ({code.co_name})" if code else ""
