"""Random programs that make keys: index functions of loop counters, and trees of keys through loops."""

import random

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax

ROWS = 9  # of the split that an index chooses from

UNARY = {
    "neg": lambda x: -x,
    "abs": jnp.abs,
    "not": lambda x: ~x,
    "sign": jnp.sign,
    "f.5": lambda x: (x.astype(jnp.float32) * 0.5).astype(jnp.int32),
    "i8": lambda x: x.astype(jnp.int8).astype(jnp.int32),
    "u8": lambda x: x.astype(jnp.uint8).astype(jnp.int32),
    "u32": lambda x: x.astype(jnp.uint32).astype(jnp.int32),
    "pop": lambda x: lax.population_count(x),
    "gt": lambda x: (x > 1).astype(jnp.int32),
    "sq": lambda x: x * x,
    "i16": lambda x: x.astype(jnp.int16).astype(jnp.int32),
    "f": lambda x: x.astype(jnp.float32).astype(jnp.int32),
    "bc": lambda x: lax.bitcast_convert_type(lax.bitcast_convert_type(x, jnp.float32), jnp.int32),
    "bf": lambda x: x.astype(jnp.bfloat16).astype(jnp.int32),
    "tab": lambda x: jnp.array([3, 1, 4, 1, 5, 9, 2, 6], jnp.int32)[x],
    "perm": lambda x: jnp.array([3, 1, 4, 0, 5, 7, 2, 6], jnp.int32)[x],
    "ar": lambda x: jnp.arange(5, dtype=jnp.int32)[x],
    "clz": lambda x: lax.clz(x),
}
BINARY = {
    "add": jnp.add,
    "sub": jnp.subtract,
    "mul": jnp.multiply,
    "xor": jnp.bitwise_xor,
    "and": jnp.bitwise_and,
    "or": jnp.bitwise_or,
    "min": jnp.minimum,
    "max": jnp.maximum,
    "fdiv": lambda x, y: x // y,
    "mod": lambda x, y: x % y,
    "rem": lax.rem,
    "shl": lambda x, y: lax.shift_left(x, y & 7),
    "shr": lambda x, y: lax.shift_right_arithmetic(x, y & 7),
    "where": lambda x, y: jnp.where(x > y, x, y * 3 + 1),
    "add2": jnp.add,
    "mul2": jnp.multiply,
    "add3": jnp.add,
}


def gen(r, depth, vars_):
    if depth == 0 or r.random() < 0.15:
        if r.random() < 0.7:
            return ("v", r.choice(vars_))
        return ("c", r.choice([0, 1, 1, 2, 2, 3, 4, 5, 7, 10, 100, 256, -1, -3]))
    if r.random() < 0.35:
        return ("u", r.choice(list(UNARY)), gen(r, depth - 1, vars_))
    return ("b", r.choice(list(BINARY)), gen(r, depth - 1, vars_), gen(r, depth - 1, vars_))


def ev(t, env):
    if t[0] == "v":
        return env[t[1]]
    if t[0] == "c":
        return jnp.int32(t[1])
    if t[0] == "u":
        return UNARY[t[1]](ev(t[2], env))
    return BINARY[t[1]](ev(t[2], env), ev(t[3], env))


def use(mode, key, x):
    if mode == "fold":
        return jax.random.fold_in(key, x)
    return jax.random.split(key, ROWS)[x]


def run_loop(kind, n, body):
    i32 = jnp.int32
    if kind == "scan":
        return lax.scan(lambda c, i: (c + body(i), None), 0.0, jnp.arange(n, dtype=i32))[0]
    if kind == "rscan":
        return lax.scan(lambda c, i: (c + body(i), None), 0.0, jnp.arange(n, dtype=i32), reverse=True)[0]
    if kind == "fori":
        return lax.fori_loop(0, n, lambda i, c: c + body(i), 0.0)
    if kind == "while":
        return lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + i32(1), c[1] + body(c[0])), (i32(0), 0.0))[1]
    if kind == "vmap":
        return jnp.sum(jax.vmap(body)(jnp.arange(n, dtype=i32)))
    if kind == "map":
        return jnp.sum(lax.map(body, jnp.arange(n, dtype=i32)))


def indexed_program(spec, draw):
    def f(key):
        def leaf(env):
            out = 0.0
            for mode, t in spec["draws"]:
                out = out + draw(use(mode, key, ev(t, env)))
            return out

        def level(loops, env):
            if not loops:
                return leaf(env)
            (v, kind, n), *rest = loops
            return run_loop(kind, n, lambda i: level(rest, {**env, v: i}))

        return level(spec["loops"], {})

    return f


def collides(spec):
    """Do two draws, passes or lanes get the same number, by a table of all values?"""
    grids = np.meshgrid(*[np.arange(n, dtype=np.int32) for _, _, n in spec["loops"]], indexing="ij")
    flat = [g.ravel() for g in grids]
    names = [v for v, _, _ in spec["loops"]]
    seen = []
    for mode, t in spec["draws"]:
        out = jax.vmap(lambda *xs, t=t: jnp.asarray(ev(t, dict(zip(names, xs, strict=True)))))(*map(jnp.asarray, flat))
        out = np.asarray(out).astype(np.int64)
        used = str(t)
        drop = [k for k, (v, kind, _) in enumerate(spec["loops"]) if kind == "vmap" and f"'v', '{v}'" not in used]
        if drop:
            keep = np.ones(len(out), bool)
            for k in drop:
                keep &= flat[k] == 0
            out = out[keep]
        if mode == "fold":
            out = out % 2**32
        else:
            out = np.where(out < 0, out + ROWS, out)
            out = np.clip(out, 0, ROWS - 1)
        seen += out.tolist()
    return len(set(seen)) < len(seen)


def indexed(r):
    nl = r.choice([1, 1, 1, 2, 2])
    loops = [
        ("ij"[k], r.choice(["scan", "scan", "fori", "while", "vmap", "rscan", "map"]), r.choice([2, 3, 4, 5]))
        for k in range(nl)
    ]
    nd = r.choice([1, 1, 1, 2])
    draws = [(r.choice(["fold", "fold", "row"]), gen(r, r.choice([1, 2, 2, 3, 3]), "ij"[:nl])) for _ in range(nd)]
    return {"loops": loops, "draws": draws}


class G:
    def __init__(self, r, tidy):
        self.r = r
        self.tidy = tidy
        self.n = 0

    def block(self, vars_, counters, depth, length):
        """vars_: list of names; returns statements; mutates vars_"""
        out = []
        for _ in range(length):
            if not vars_:
                break
            st = self.statement(vars_, counters, depth)
            if st:
                out.append(st)
        return out

    def pick(self, vars_):
        v = self.r.choice(vars_)
        if self.r.random() < self.tidy:
            vars_.remove(v)
        return v

    def new(self):
        self.n += 1
        return f"k{self.n}"

    def statement(self, vars_, counters, depth):
        r = self.r
        kind = r.choice(
            ["split", "split", "draw", "draw", "fold", "where", "vdraw", "row"]
            + ["loop", "loop", "keys", "emit", "carry2"] * (depth > 0)
        )
        if kind == "draw":
            return ("draw", self.pick(vars_))
        if kind == "split":
            v = self.pick(vars_)
            n = r.choice([2, 2, 3])
            names = [self.new() for _ in range(n)]
            vars_ += names
            return ("split", v, names)
        if kind == "fold":
            v = self.pick(vars_)
            nm = self.new()
            e = (r.choice([0, 1, 1, 2]), r.choice(counters)) if counters and r.random() < 0.7 else (0, None)
            vars_.append(nm)
            return ("fold", v, e, r.choice([0, 1, 2, 5]), nm)
        if kind == "row":
            if not counters:
                return None
            v = self.pick(vars_)
            nm = self.new()
            vars_.append(nm)
            return ("row", v, r.choice([2, 3, 4]), r.choice(counters), r.choice([0, 0, 1]), nm)
        if kind == "where":
            if len(vars_) < 2:
                return None
            a = self.pick(vars_)
            b = self.r.choice(vars_)
            if b in vars_ and r.random() < self.tidy and b != a:
                vars_.remove(b)
            nm = self.new()
            vars_.append(nm)
            return ("where", a, b, nm)
        if kind == "vdraw":
            return ("vdraw", self.pick(vars_), r.choice([2, 3]))
        n = r.choice([2, 3])
        if kind == "keys":
            v = self.pick(vars_)
            nm = self.new()
            c = f"c{self.new()}"
            inner = [nm] + (list(vars_) if r.random() > self.tidy else [])
            return (
                "keys",
                v,
                n,
                nm,
                c,
                self.block(inner, [*counters, c], depth - 1, r.choice([1, 2, 3])),
                r.random() < 0.3,
            )
        if kind == "emit":
            v = self.pick(vars_)
            nm = self.new()
            c = f"c{self.new()}"
            inner = [nm]
            b = self.block(inner, [*counters, c], depth - 1, r.choice([1, 2]))
            if len(inner) < 2:
                a, bb = self.new(), self.new()
                src = inner[0] if inner else nm
                b.append(("split", src, [a, bb]))
                inner = [a, bb]
            o, e = r.sample(inner, 2)
            return ("emit", v, n, nm, c, b, o, e)
        k = 2 if kind == "carry2" and len(vars_) > 1 else 1
        vs = [self.pick(vars_) for _ in range(k)] if len(vars_) >= k else None
        if not vs:
            return None
        names = [self.new() for _ in range(k)]
        c = f"c{self.new()}"
        inner = list(names) + (list(vars_) if r.random() > self.tidy else [])
        b = self.block(inner, [*counters, c], depth - 1, r.choice([1, 2, 3]))
        if not inner:
            inner = list(names)
        outs = [r.choice(inner) for _ in range(k)]
        fin = [self.new() for _ in range(k)]
        vars_ += fin
        return ("loop", r.choice(["scan", "while"]), vs, n, names, c, b, outs, fin)


def run_py(block, env, cnt, used, r):
    for st in block:
        k = st[0]
        if k == "draw":
            used.append(env[st[1]])
        elif k == "split":
            for i, nm in enumerate(st[2]):
                env[nm] = env[st[1]] + (i,)
        elif k == "fold":
            (m, c), off = st[2], st[3]
            env[st[4]] = env[st[1]] + ((m * cnt[c] if c else 0) + off,)
        elif k == "row":
            env[st[5]] = env[st[1]] + (min(cnt[st[3]] + st[4], st[2] - 1),)
        elif k == "where":
            env[st[3]] = env[st[1]] if r.random() < 0.5 else env[st[2]]
        elif k == "vdraw":
            used += [env[st[1]] + (i,) for i in range(st[2])]
        elif k == "keys":
            _, v, n, nm, c, b, rev = st
            for i in range(n):
                run_py(b, {**env, nm: env[v] + ((n - 1 - i if rev else i),)}, {**cnt, c: i}, used, r)
        elif k == "emit":
            _, v, n, nm, c, b, o, e = st
            cur = env[v]
            for i in range(n):
                env2 = {**env, nm: cur}
                run_py(b, env2, {**cnt, c: i}, used, r)
                cur = env2[o]
                used.append(env2[e])
        elif k == "loop":
            _, how, vs, n, names, c, b, outs, fin = st
            cur = [env[v] for v in vs]
            for i in range(n):
                env2 = {**env, **dict(zip(names, cur, strict=False))}
                run_py(b, env2, {**cnt, c: i}, used, r)
                cur = [env2[o] for o in outs]
            env.update(zip(fin, cur, strict=False))


def run_jax(block, env, cnt, x, draw):
    total = 0.0
    for statement in block:
        total = total + run_statement(statement, env, cnt, x + total, draw)
    return total


def run_statement(st, env, cnt, x, draw):
    match st:
        case ("draw", v):
            return draw(env[v])
        case ("vdraw", v, n):
            return jnp.sum(jax.vmap(draw)(jr.split(env[v], n)))
        case ("split", v, names):
            env.update(zip(names, jr.split(env[v], len(names)), strict=True))
        case ("fold", v, (m, c), off, name):
            env[name] = jr.fold_in(env[v], (m * cnt[c] if c else 0) + off)
        case ("row", v, n, c, off, name):
            env[name] = jr.split(env[v], n)[cnt[c] + off]
        case ("where", a, b, name):
            env[name] = jnp.where(x > 0.5, env[a], env[b])
        case ("keys", v, n, name, c, inner, reverse):

            def of_key(total, xs):
                return total + run_jax(inner, {**env, name: xs[0]}, {**cnt, c: xs[1]}, x, draw), None

            index = jnp.arange(n)[::-1] if reverse else jnp.arange(n)
            return lax.scan(of_key, 0.0, (jr.split(env[v], n), index), reverse=reverse)[0]
        case ("emit", v, n, name, c, inner, out, emitted):

            def emit(carry, i):
                env2 = {**env, name: carry[0]}
                added = run_jax(inner, env2, {**cnt, c: i}, x, draw)
                return (env2[out], carry[1] + added), env2[emitted]

            (_, total), keys = lax.scan(emit, (env[v], 0.0), jnp.arange(n))
            return total + jnp.sum(jax.vmap(draw)(keys))
        case ("loop", how, vs, n, names, c, inner, outs, final):

            def step(carry, i):
                env2 = {**env, **dict(zip(names, carry[0], strict=True))}
                added = run_jax(inner, env2, {**cnt, c: i}, x, draw)
                return tuple(env2[o] for o in outs), carry[1] + added

            carry = (tuple(env[v] for v in vs), 0.0)
            if how == "scan":
                carry = lax.scan(lambda carry, i: (step(carry, i), None), carry, jnp.arange(n))[0]
            else:
                carry = lax.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, step(s[1], s[0])), (0, carry))[1]
            env.update(zip(final, carry[0], strict=True))
            return carry[1]
    return 0.0


def block(seed):
    r = random.Random(seed)
    g = G(r, r.choice([1.0, 0.97, 0.9, 0.7]))
    names = ["k0"]
    b = g.block(names, [], r.choice([1, 2, 2, 3]), r.choice([2, 3, 4]))
    b.append(("draw", r.choice(names) if names else "k0")) if r.random() < 0.5 and names else None
    return b


def block_program(b, draw):
    return lambda key: jnp.float32(run_jax(b, {"k0": key}, {}, jnp.float32(0.3), draw))


def paths_drawn_from(b, times=8):
    """The paths of the keys of all draws, for several outcomes of what depends on data."""
    runs = []
    for seed in range(times):
        used = []
        run_py(b, {"k0": ()}, {}, used, random.Random(seed))
        runs.append(used)
    return runs
