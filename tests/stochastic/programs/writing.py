"""A random program as Python source: what a user would write, and what a failure prints."""

from __future__ import annotations

import linecache
import re

import jax.numpy as jnp

from .families import FAMILIES, JUMPS, TABLES, WRAPPERS
from .forced import Forced, ForcedNoise
from .language import (
    OPERATIONS,
    Block,
    Cond,
    Cost,
    Custom,
    Derive,
    Draw,
    Lanes,
    Let,
    Nested,
    RandomProgram,
    Scan,
    Switch,
    Unmarked,
    Wrap,
)

FLOATS = {
    "float32": "jnp.float32",
    "float64": "jnp.float64",
    "bfloat16": "jnp.float32",
}  # of the program's own arithmetic
HEADER = """\
import collections

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import lax

import spanax as sx

F = {floating}
"""


def source_of(program: RandomProgram, forced: bool = False) -> str:
    """Source of `f(theta, *, key)`, or of `f(theta, v, *, key)`, where v are the outcomes of all slots."""
    writer = _Writer(program, forced)
    writer.program(program)
    return "\n".join([HEADER.format(floating=FLOATS[program.dtype]), *writer.lines, ""])


def function_of(source: str, name: str):
    """The source's f, compiled under a file name that tracebacks can show."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    tables = {name: jnp.asarray(table) for name, table in TABLES.items()}
    space = {"Forced": Forced, "ForcedNoise": ForcedNoise, **tables}
    exec(compile(source, name, "exec"), space)
    return space["f"]


class _Writer:
    def __init__(self, program: RandomProgram, forced: bool):
        self.lines, self.depth, self.count, self.forced, self.dtype = [], 0, 0, forced, program.dtype

    def program(self, program: RandomProgram):
        self.line(f"def f(theta, {'v, ' if self.forced else ''}*, key):")
        with self:
            names = [self.name() for _ in range(3)]
            self.line(f"{', '.join(names)} = {'theta.astype(F)' if program.dtype == 'bfloat16' else 'theta'}")
            self.line(f"return {self.last(program.block, names, 'key', '0')}")

    # -- lines and names

    def __enter__(self):
        self.depth += 1

    def __exit__(self, *_):
        self.depth -= 1

    def line(self, text: str):
        self.lines.append("    " * self.depth + text)

    def name(self, letter: str = "x") -> str:
        self.count += 1
        return f"{letter}{self.count - 1}"

    def bind(self, value: str, letter: str = "x") -> str:
        name = self.name(letter)
        self.line(f"{name} = {value}")
        return name

    # -- blocks

    def last(self, block: Block, xs: list[str], key: str, at: str) -> str:
        """Writes the block; the name of its last scalar. `at`: source of the number of the pass, over all loops around."""
        xs = list(xs)
        keys = self.keys(block.keys, key, sum(not isinstance(s, Let | Cost) for s in block.statements))
        for s in block.statements:
            if isinstance(s, Cost):
                self.line(f"sx.cost({xs[s.of]})")
            elif isinstance(s, Let):
                xs.append(self.bind(OPERATIONS[s.operation].format(a=xs[s.a], b=xs[s.b])))
            else:
                xs.append(RULES[type(s)](self, s, xs, next(keys), at))
        return xs[-1]

    def keys(self, how: str, key: str, n: int):
        """Source of a key for each of n statements; written when asked for."""
        if not n:
            return
        how = "fold" if how == "whole" and n > 1 else how
        if how == "whole":
            yield key
        elif how == "unpack":
            names = [self.name("k") for _ in range(n)]
            self.line(f"{', '.join(names)}{',' * (n == 1)} = jax.random.split({key}, {n})")
            yield from names
        elif how == "carry":
            chain = self.bind(key, "k")
            for _ in range(n):
                mine = self.name("k")
                self.line(f"{chain}, {mine} = jax.random.split({chain})")
                yield mine
        elif how == "star":
            first, others = self.name("k"), self.name("k")
            self.line(f"{first}, *{others} = jax.random.split({key}, {n + 1})")
            yield from (f"{others}[{i}]" for i in range(n))
        elif how == "tree":
            tree = self.bind(f"dict(enumerate(jax.random.split({key}, {n})))", "k")
            tree = self.bind(f"jax.tree.map(lambda k: jax.random.split(k)[1], {{'keys': {tree}}})", "k")
            yield from (f"{tree}['keys'][{i}]" for i in range(n))
        elif how == "struct":
            fields = " ".join(f"k{i}" for i in range(n))
            struct = self.bind(f"collections.namedtuple('Keys', {fields!r})(*jax.random.split({key}, {n}))", "k")
            yield from (f"{struct}.k{i}" for i in range(n))
        else:
            yield from (KEYS[how].format(key=key, i=i, n=n) for i in range(n))

    # -- statements: each gives the name of the scalar that it adds

    def draw(self, s: Draw, xs, key, at):
        z = self.drawn(s, self.parameter(s, xs), key, at)
        if s.jump:
            return self.bind(JUMPS[s.jump].format(z=z))
        return self.bind(f"{z}[0] * (1 - 0.6 * {z}[1]) + {z}[1]") if s.size == 2 else z

    def parameter(self, s: Draw, xs) -> str:
        return xs[s.of] if s.plus is None else self.bind(f"{xs[s.of]} + 0.5 * {xs[s.plus]}")

    def drawn(self, s: Draw, x: str, key: str, at: str) -> str:
        """The draw, as floats of its batch shape."""
        family = FAMILIES[s.family]
        x = self.bind(f"jnp.sin({x})") if s.squash else x
        x = self.bind(f"jnp.stack([{x}, 0.4 - 0.5 * {x}])") if s.size == 2 else x
        x = self.bind(f"{x}.astype(jnp.bfloat16)") if self.dtype == "bfloat16" else x
        distribution = family.source.format(x=x)
        if s.family == "DiscreteUniform" and s.size == 2:
            distribution += ".expand([2])"
        if s.size == 2:
            distribution = WRAPPERS[s.wrapper].format(d=distribution)
        via = self.forced_bridge(s, x, at) if self.forced and s.via != "sx.Enumerate()" else s.via
        options = f", via={via}" * bool(via) + f", name='z{s.slot}'" * bool(s.override)
        z = self.bind(f"sx.sample({key}, {distribution}{options})", "z")
        z = self.bind(f"{z}.astype(F)")
        return self.bind(family.event.format(z=z)) if family.event else z

    def forced_bridge(self, s: Draw, x: str, at: str) -> str:
        family, places = FAMILIES[s.family], [f"v[{s.slot + k} + {s.size} * ({at})]" for k in range(s.size)]
        i = self.bind(places[0] if s.size == 1 else f"jnp.stack([{', '.join(places)}])", "i")
        if family.noise and s.via in ("", "sx.Pathwise()"):
            return f"ForcedNoise({family.noise}[{i}])"
        value = _substitute(family.value, i=i, x=x)
        return f"Forced(lax.stop_gradient({value}))" if value else f"Forced({i})"

    def unmarked(self, s: Unmarked, xs, key, at):
        p = "0.4" if s.of is None else f"jnp.where({xs[s.of]} > 0.5, 0.7, 0.2)"
        if s.kind == "bernoulli":
            return self.bind(f"jax.random.bernoulli({key}, {p}).astype(F)")
        return self.bind(f"jnp.where(jax.random.uniform({key}) < {p}, 1.0, 0.0).astype(F)")

    def cond(self, s: Cond, xs, key, at):
        names = [self.function("yes", s.yes, xs, at), self.function("no", s.no, xs, at)]
        return self.bind(f"lax.cond({xs[s.by]} > {s.above}, {', '.join(names)}, {key})")

    def switch(self, s: Switch, xs, key, at):
        names = [self.function("case", b, xs, at) for b in s.branches]
        return self.bind(f"lax.switch({xs[s.by]}.astype(int), [{', '.join(names)}], {key})")

    def function(self, name: str, block: Block, xs, at: str, takes: str = "", decorate: str = "") -> str:
        """A function of the key (and of what it takes first)."""
        name, key = self.name(name), self.name("k")
        if decorate:
            self.line(decorate)
        self.line(f"def {name}({takes}{key}):")
        with self:
            self.line(f"return {self.last(block, xs, key, at)}")
        return name

    def wrap(self, s: Wrap, xs, key, at):
        name = self.function("g", s.block, xs, at, decorate=f"@jax.{s.how}")
        return self.bind(f"{name}({key})")

    def derive(self, s: Derive, xs, key, at):
        x = self.name()
        name = self.function("h", s.block, [*xs, x], at, takes=f"{x}, ")
        return self.bind(DERIVATIVES[s.how].format(h=name, x=xs[s.of], key=key))

    def nested(self, s: Nested, xs, key, at):
        name, inner = self.name("inner"), self.name("k")
        self.line(f"def {name}(*, key):")
        with self:
            self.line(f"{inner} = key")
            self.line(f"return {self.last(s.block, xs, inner, at)}")
        return self.bind(f"sx.expectation({name}, samples={s.samples})(key={key})")

    def custom(self, s: Custom, xs, key, at):
        g, h, i, forced = self.name("g"), self.name("h"), s.draw.slot, f"(v, {at})" if self.forced else "None"
        last = OPERATIONS[s.first].format(a="jnp.tanh(a - z)", b="b")
        self.line(f"{h} = lambda a, b, z: {last}")
        self.line(f"@jax.{s.how}")
        self.line(f"def {g}(a, b, p, key, v):")
        with self:
            if self.forced:
                self.line("v, at = v")
            z = self.drawn(s.draw, "p", "key", "at")
            self.line(f"return {h}(a, b, {z}), {z}")
        if s.how == "custom_jvp":
            self.line(f"@{g}.defjvp")
            self.line(f"def rule{i}(primals, tangents):")
            with self:
                self.line(f"y, z = {g}(*primals)")
                self.line(f"dy = jax.jvp(lambda a, b: {h}(a, b, z), primals[:2], tangents[:2])[1]")
                self.line("return (y, z), (dy, jnp.zeros_like(z))")
        else:
            self.line(f"def forward{i}(a, b, p, key, v):")
            with self:
                self.line(f"y, z = {g}(a, b, p, key, v)")
                self.line("return (y, z), (a, b, z)")
            self.line(f"def backward{i}(saved, ct):")
            with self:
                self.line("a, b, z = saved")
                self.line(f"return *jax.vjp(lambda a, b: {h}(a, b, z), a, b)[1](ct[0]), None, None, None")
            self.line(f"{g}.defvjp(forward{i}, backward{i})")
        return self.bind(f"{g}({xs[s.a]}, {xs[s.b]}, {self.parameter(s.draw, xs)}, {key}, {forced})[0]")

    # -- loops

    def scan(self, s: Scan, xs, key, at):
        step, carry, i, k = self.name("step"), self.name("c"), self.name("i"), self.name("k")
        rows, carried = s.keys in LOOP_ROWS, s.keys == "carry"
        state = f"({carry}, {k})" if carried else carry
        first = f"({xs[s.start]}, {key})" if carried else xs[s.start]
        if s.kind == "while":
            return self.while_loop(s, xs, key, at, (step, carry, i, k))
        self.line(f"def {step}({f'{i}, state' if s.kind == 'fori' else 'state, x'}):")
        with self:
            self.line(f"{state} = state")
            if s.kind != "fori":
                self.line(f"{i}, {k} = x" if rows else f"{i} = x")
            out, new_key = self.loop_pass(s, xs, key, at, carry, i, k)
            out = f"({out}, {new_key})" if carried else out
            self.line(f"return {out}" + ", None" * (s.kind != "fori"))
        if s.kind == "fori":
            out = f"lax.fori_loop(0, {s.length}, {step}, {first})"
        else:
            over = f"jnp.arange({s.length})"
            over = f"({over}, {LOOP_ROWS[s.keys].format(key=key, n=s.length)})" if rows else over
            out = f"lax.scan({step}, {first}, {over}{', reverse=True' * (s.kind == 'reverse')})[0]"
        return self.bind(out + "[0]" * carried)

    def loop_pass(self, s, xs, key, at, carry, i, k):
        """The body of a pass: its new carry, and the key that is carried on."""
        mine, new_key = k, ""
        if s.keys == "carry":
            new_key, mine = self.name("k"), self.name("k")
            self.line(f"{new_key}, {mine} = jax.random.split({k})")
        elif s.keys not in LOOP_ROWS:
            mine = self.bind(LOOP_KEYS[s.keys].format(key=key, i=i, n=s.length), "k")
        w = self.bind(f"0.5 * {i}.astype(F)")
        return f"jnp.tanh({self.last(s.block, [*xs, carry, w], mine, self.pass_number(at, s.length, i))})", new_key

    def pass_number(self, at: str, length: int, i: str) -> str:
        if not self.forced:
            return "0"
        return self.bind(f"{i}.astype(int)" if at == "0" else f"{at} * {length} + {i}.astype(int)", "t")

    def while_loop(self, s: Scan, xs, key, at, names):
        step, carry, i, k = names
        state = f"{i}, {carry}, {k}" if s.keys == "carry" else f"{i}, {carry}"
        self.line(f"def {step}(state):")
        with self:
            self.line(f"{state} = state")
            out, new_key = self.loop_pass(s, xs, key, at, carry, i, k)
            self.line(f"return {i} + 1, {out}" + f", {new_key}" * bool(new_key))
        first = f"jnp.asarray(0), {xs[s.start]}" + f", {key}" * (s.keys == "carry")
        going = f"lambda s: (s[0] < {s.length}) & (s[1] < {s.above})"
        return self.bind(f"lax.while_loop({going}, {step}, ({first}))[1]")

    def lanes(self, s: Lanes, xs, key, at):
        lane, i, k = self.name("lane"), self.name("i"), self.name("k")
        rows = s.keys in LOOP_ROWS
        self.line(f"def {lane}(x):")
        with self:
            self.line(f"{i}, {k} = x" if rows else f"{i} = x")
            mine = k if rows else self.bind(LOOP_KEYS[s.keys].format(key=key, i=i, n=s.length), "k")
            w = self.bind(f"0.5 * {i}.astype(F) - 0.3")
            self.line(f"return {self.last(s.block, [*xs, w], mine, self.pass_number(at, s.length, i))}")
        over = f"jnp.arange({s.length})"
        over = f"({over}, {LOOP_ROWS[s.keys].format(key=key, n=s.length)})" if rows else over
        return self.bind(f"jnp.sum({f'lax.map({lane}, {over})' if s.kind == 'map' else f'jax.vmap({lane})({over})'})")


def _substitute(expression: str, **names: str) -> str:
    """An expression of i and x, of other names."""
    return re.sub(r"\b([ix])\b", lambda found: names[found.group(1)], expression)


KEYS = {  # of a block's statements
    "rows": "jax.random.split({key}, {n})[{i}]",
    "fold": "jax.random.fold_in({key}, {i})",
    "affine": "jax.random.fold_in({key}, 2 * {i} + 1)",
    "constant": "jax.random.fold_in({key}, 0xBEEF - 7919 * {i})",
    "pair": "jax.random.fold_in(jax.random.fold_in({key}, {i} // 2), {i} % 2)",
    "grid": "jax.random.split({key}, (2, {n}))[{i} % 2, {i} // 2]",
    "nested": "jax.random.split(jax.random.split({key}, {n})[{i}], 3)[1]",
}
WRITTEN = ("whole", "unpack", "carry", "star", "tree", "struct")
LOOP_ROWS = {  # of a loop's passes, as an array that is scanned
    "rows": "jax.random.split({key}, {n})",
    "rows_of_grid": "jax.random.split({key}, ({n}, 2))[:, 0]",
    "rows_of_fold": "jax.vmap(lambda i: jax.random.fold_in({key}, i))(jnp.arange({n}))",
    "rows_beyond": "jax.random.split({key}, {n} + 1)[1:]",
}
LOOP_KEYS = {  # of the counter
    "fold": "jax.random.fold_in({key}, {i})",
    "affine": "jax.random.fold_in({key}, 2 * {i} + 1)",
    "pair": "jax.random.fold_in(jax.random.fold_in({key}, 3), {i})",
    "index": "jax.random.split({key}, {n})[{i}]",
    "split_fold": "jax.random.split(jax.random.fold_in({key}, {i}))[0]",
}
DERIVATIVES = {
    "grad": "jax.grad({h})({x}, {key})",
    "jvp": "jax.jvp(lambda x: {h}(x, {key}), ({x},), (jnp.ones_like({x}),))[1]",
    "vjp": "jax.vjp(lambda x: {h}(x, {key}), {x})[1](jnp.ones_like({x}))[0]",
}
RULES = {
    Draw: _Writer.draw,
    Unmarked: _Writer.unmarked,
    Cond: _Writer.cond,
    Switch: _Writer.switch,
    Scan: _Writer.scan,
    Lanes: _Writer.lanes,
    Wrap: _Writer.wrap,
    Custom: _Writer.custom,
    Derive: _Writer.derive,
    Nested: _Writer.nested,
}
