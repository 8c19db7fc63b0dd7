"""Ways to make keys in loops and for several draws, each right, wrong, or not to be decided from the program alone.

An idiom is a function of `draw`, to be called with the key of each draw, of the key of the program, and of data.
"""

import jax
import jax.numpy as jnp
import jax.random as jr
from jax import lax

CONSTANT = jr.key(5)
IDIOMS = {}  # name -> function, "distinct", "shared" or "undecided" (distinct, but to know it takes the data, or both folds)


def data():
    return {
        "i": jnp.int32(1),
        "j": jnp.int32(3),
        "x": jnp.array([0.1, 0.9, 0.2, 0.7], jnp.float32),
        "ids": jnp.array([4, 2, 7, 1], jnp.int32),
    }


def distinct(f):
    IDIOMS[f.__name__] = (f, "distinct")
    return f


def shared(f):
    IDIOMS[f.__name__] = (f, "shared")
    return f


def undecided(f):
    IDIOMS[f.__name__] = (f, "undecided")
    return f


def sc(n, body):
    return lax.scan(lambda c, i: (c + body(i), None), 0.0, jnp.arange(n))[0]


@distinct
def split_outside(draw, key, u):
    return lax.scan(lambda c, k: (c + draw(k), None), 0.0, jr.split(key, 4))[0]


@distinct
def unstacked(draw, key, u):
    a, b = jnp.unstack(jr.split(key, (2, 2)))
    c, d = jnp.unstack(a, axis=0)
    return draw(c) + draw(d) + draw(b[0]) + draw(b[1])


@shared
def unstacked_and_indexed(draw, key, u):
    keys = jr.split(key)
    _, second = jnp.unstack(keys)
    return draw(second) + draw(keys[1])


@distinct
def data_step(draw, key, u):
    return draw(jr.fold_in(key, u["i"]))


@distinct
def data_step_then_fold(draw, key, u):
    k = jr.fold_in(key, u["i"])
    return draw(jr.fold_in(k, 0)) + draw(jr.fold_in(k, 1))


@distinct
def data_step_and_next(draw, key, u):
    return draw(jr.fold_in(key, u["i"])) + draw(jr.fold_in(key, u["i"] + 1))


@distinct
def data_start(draw, key, u):
    return sc(4, lambda i: draw(jr.fold_in(key, i + u["i"])))


@distinct
def data_bounds(draw, key, u):
    return lax.fori_loop(u["i"], u["j"], lambda i, c: c + draw(jr.fold_in(key, i)), 0.0)


@distinct
def data_bounds_two(draw, key, u):
    return lax.fori_loop(
        u["i"], u["j"], lambda i, c: c + draw(jr.fold_in(key, 2 * i)) + draw(jr.fold_in(key, 2 * i + 1)), 0.0
    )


@distinct
def pairs(draw, key, u):
    return sc(3, lambda i: sc(4, lambda j: draw(jr.fold_in(jr.fold_in(key, i), j))))


@distinct
def radix(draw, key, u):
    return sc(3, lambda i: sc(4, lambda j: draw(jr.fold_in(key, i * 4 + j))))


@distinct
def radix_split(draw, key, u):
    ks = jr.split(key, 12)
    return sc(3, lambda i: sc(4, lambda j: draw(ks[i * 4 + j])))


@distinct
def grid(draw, key, u):
    ks = jr.split(key, (3, 4))
    return sc(3, lambda i: sc(4, lambda j: draw(ks[i, j])))


@distinct
def grid_vmap(draw, key, u):
    ks = jr.split(key, (3, 4))
    return jnp.sum(jax.vmap(jax.vmap(draw))(ks))


@distinct
def grid_scan_vmap(draw, key, u):
    ks = jr.split(key, (3, 4))
    return lax.scan(lambda c, k: (c + jnp.sum(jax.vmap(draw)(k)), None), 0.0, ks)[0]


@distinct
def split_in_pass_vmap(draw, key, u):
    def step(c, _):
        k, s = jr.split(c)
        return k, jnp.sum(jax.vmap(draw)(jr.split(s, 3)))

    return jnp.sum(lax.scan(step, key, None, length=4)[1])


@distinct
def split_in_pass_fold(draw, key, u):
    def step(c, i):
        k, s = jr.split(c)
        return k, sc(3, lambda j: draw(jr.fold_in(s, j)))

    return jnp.sum(lax.scan(step, key, jnp.arange(4))[1])


@distinct
def reverse_scan(draw, key, u):
    return lax.scan(lambda c, i: (c + draw(jr.fold_in(key, i)), None), 0.0, jnp.arange(4), reverse=True)[0]


@distinct
def down(draw, key, u):
    return lax.while_loop(lambda c: c[0] > 0, lambda c: (c[0] - 1, c[1] + draw(jr.fold_in(key, c[0]))), (5, 0.0))[1]


@distinct
def by_two(draw, key, u):
    return lax.while_loop(lambda c: c[0] < 10, lambda c: (c[0] + 2, c[1] + draw(jr.fold_in(key, c[0]))), (0, 0.0))[1]


@distinct
def while_row(draw, key, u):
    ks = jr.split(key, 5)
    return lax.while_loop(lambda c: c[0] < 5, lambda c: (c[0] + 1, c[1] + draw(ks[c[0]])), (0, 0.0))[1]


@distinct
def while_err(draw, key, u):
    ks = jr.split(key, 5)
    return lax.while_loop(lambda c: (c[0] < 5) & (c[1] < 3.0), lambda c: (c[0] + 1, c[1] + draw(ks[c[0]])), (0, 0.0))[1]


@distinct
def nested_counter(draw, key, u):
    def inner(c, _):
        n, t = c
        return (n + 1, t + draw(jr.fold_in(key, n))), None

    def outer(c, _):
        return lax.scan(inner, c, None, length=3)[0], None

    return lax.scan(outer, (0, 0.0), None, length=4)[0][1]


@distinct
def nested_counter_fori(draw, key, u):
    def outer(i, c):
        return lax.fori_loop(0, 3, lambda j, c: (c[0] + 1, c[1] + draw(jr.fold_in(key, c[0]))), c)

    return lax.fori_loop(0, 4, outer, (0, 0.0))[1]


@distinct
def nested_key(draw, key, u):
    def inner(c, _):
        k, t = c
        k, s = jr.split(k)
        return (k, t + draw(s)), None

    def outer(c, _):
        return lax.scan(inner, c, None, length=3)[0], None

    return lax.scan(outer, (key, 0.0), None, length=4)[0][1]


@distinct
def outer_key_inner_chain(draw, key, u):
    def inner(c, _):
        k, t = c
        k, s = jr.split(k)
        return (k, t + draw(s)), None

    def outer(t, k):
        return lax.scan(inner, (k, t), None, length=3)[0][1], None

    return lax.scan(outer, 0.0, jr.split(key, 4))[0]


@distinct
def outer_chain_inner_chain(draw, key, u):
    def inner(c, _):
        k, t = c
        k, s = jr.split(k)
        return (k, t + draw(s)), None

    def outer(c, _):
        k, t = c
        k, s = jr.split(k)
        return (k, lax.scan(inner, (s, t), None, length=3)[0][1]), None

    return lax.scan(outer, (key, 0.0), None, length=4)[0][1]


@distinct
def pytree_state(draw, key, u):
    def step(s, _):
        k, a = jr.split(s["rng"])
        return {"rng": k, "m": s["m"] + draw(a), "t": s["t"] + 1}, None

    return lax.scan(step, {"rng": key, "m": 0.0, "t": 0}, None, length=4)[0]["m"]


@distinct
def flax_like(draw, key, u):
    return sum(draw(jr.fold_in(jr.fold_in(key, h), 0)) for h in (0x9E3779B9, 0x7F4A7C15, 123456789))


@distinct
def unrolled(draw, key, u):
    return sum(draw(jr.fold_in(key, i)) for i in range(5))


@distinct
def unrolled_split(draw, key, u):
    t = 0.0
    for _ in range(5):
        key, s = jr.split(key)
        t = t + draw(s)
    return t


@distinct
def axis_index(draw, key, u):
    return jnp.sum(jax.vmap(lambda x: draw(jr.fold_in(key, lax.axis_index("d"))) * x, axis_name="d")(jnp.ones(4)))


@distinct
def widened(draw, key, u):
    return sc(4, lambda i: draw(jr.fold_in(key, i.astype(jnp.uint8).astype(jnp.int32))))


@distinct
def as_uint(draw, key, u):
    return sc(4, lambda i: draw(jr.fold_in(key, i.astype(jnp.uint32))))


@distinct
def affine(draw, key, u):
    return sc(4, lambda i: draw(jr.fold_in(key, 7 * i + 3)))


@distinct
def const_table(draw, key, u):
    return sc(4, lambda i: draw(jr.fold_in(key, jnp.array([5, 2, 9, 1])[i])))


@distinct
def const_table_xs(draw, key, u):
    return lax.scan(lambda c, i: (c + draw(jr.fold_in(key, i)), None), 0.0, jnp.array([5, 2, 9, 1]))[0]


@distinct
def permuted(draw, key, u):
    a, b = jr.split(key)
    return lax.scan(lambda c, i: (c + draw(jr.fold_in(b, i)), None), 0.0, jr.permutation(a, 4))[0]


@distinct
def permuted_keys(draw, key, u):
    a, b = jr.split(key)
    return sum(draw(k) for k in jr.split(b, 3)[jr.permutation(a, 3)]) + jnp.sum(
        jax.vmap(draw)(jr.split(jr.fold_in(a, 7), 4)[jr.permutation(jr.fold_in(a, 8), 4)])
    )


@distinct
def rolled(draw, key, u):
    return jnp.sum(jax.vmap(draw)(jnp.roll(jr.split(key, 4), 1, axis=0)))


@distinct
def flipped(draw, key, u):
    return jnp.sum(jax.vmap(draw)(jnp.flip(jr.split(key, 4))))


@distinct
def concatenated(draw, key, u):
    a, b = jr.split(key)
    return jnp.sum(jax.vmap(draw)(jnp.concatenate([jr.split(a, 2), jr.split(b, 3)])))


@distinct
def reshaped(draw, key, u):
    return jnp.sum(jax.vmap(jax.vmap(draw))(jr.split(key, 6).reshape((2, 3, *key.shape))))


@distinct
def index_array(draw, key, u):
    return jnp.sum(jax.vmap(draw)(jr.split(key, 6)[jnp.array([3, 1, 5])]))


@distinct
def windows(draw, key, u):
    ks = jr.split(key, 12)
    return sc(3, lambda i: jnp.sum(jax.vmap(draw)(lax.dynamic_slice_in_dim(ks, i * 4, 4))))


@distinct
def autoreset(draw, key, u):
    def step(c, x):
        k, t = c
        a, b, s = jr.split(k, 3)
        return (jnp.where(x > 0.5, a, b), t + draw(s)), None

    return lax.scan(step, (key, 0.0), u["x"])[0][1]


@distinct
def cond_reset(draw, key, u):
    def step(c, x):
        k, t = c
        a, b, s = jr.split(k, 3)
        return (lax.cond(x > 0.5, lambda: a, lambda: jr.fold_in(b, 7)), t + draw(s)), None

    return lax.scan(step, (key, 0.0), u["x"])[0][1]


@distinct
def either_key(draw, key, u):
    def step(c, x):
        k, t = c
        k, a, b = jr.split(k, 3)
        return (k, t + draw(jnp.where(x > 0.5, a, b))), None

    return lax.scan(step, (key, 0.0), u["x"])[0][1]


@distinct
def where_counter(draw, key, u):
    return sc(6, lambda i: draw(jr.fold_in(key, jnp.where(i < 3, i, i + 10))))


@undecided
def divmod_pairs(draw, key, u):
    return sc(12, lambda i: draw(jr.fold_in(jr.fold_in(key, i // 4), i % 4)))


@distinct
def batched_keys_scan(draw, key, u):
    def step(ks, _):
        ks2 = jax.vmap(jr.split)(ks)
        return ks2[:, 0], jnp.sum(jax.vmap(draw)(ks2[:, 1]))

    return jnp.sum(lax.scan(step, jr.split(key, 5), None, length=4)[1])


@distinct
def checkpointed(draw, key, u):
    return lax.scan(jax.checkpoint(lambda c, k: (c + draw(k), None)), 0.0, jr.split(key, 4))[0]


@distinct
def in_jit(draw, key, u):
    return sc(4, jax.jit(lambda i: draw(jr.fold_in(key, i))))


@distinct
def two_loops(draw, key, u):
    return sc(3, lambda i: draw(jr.fold_in(key, i))) + sc(3, lambda i: draw(jr.fold_in(key, i + 3)))


@distinct
def split_then_fold_hi(draw, key, u):
    return sum(map(draw, jr.split(key, 3))) + draw(jr.fold_in(key, 1000))


@distinct
def map_keys(draw, key, u):
    return jnp.sum(lax.map(draw, jr.split(key, 4)))


@distinct
def emitted(draw, key, u):
    ks = lax.scan(lambda k, _: tuple(jr.split(k)), key, None, length=4)[1]
    return jnp.sum(jax.vmap(draw)(ks))


@distinct
def seed_of_bits(draw, key, u):
    mk = jr.key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jr.PRNGKey
    a, b = jr.split(key)
    return draw(mk(jr.bits(a))) + draw(mk(jr.bits(b)))


@distinct
def cond_of_counter(draw, key, u):
    return sc(4, lambda i: lax.cond(i % 2 == 0, lambda: draw(jr.fold_in(key, i)), lambda: 2 * draw(jr.fold_in(key, i))))


@distinct
def offset_by_outer(draw, key, u):
    def outer(c, kx):
        k, x = kx
        return c + sc(3, lambda j: draw(jr.fold_in(k, j + x))), None

    return lax.scan(outer, 0.0, (jr.split(key, 4), u["ids"]))[0]


@distinct
def ids_with_own_keys(draw, key, u):
    return jnp.sum(jax.vmap(lambda k, i: draw(jr.fold_in(k, i)))(jr.split(key, 4), u["ids"]))


@distinct
def id_and_split(draw, key, u):
    a, b = jr.split(key)
    return draw(jr.fold_in(a, u["i"])) + draw(jr.fold_in(b, u["j"]))


@distinct
def negative_offset(draw, key, u):
    return sc(4, lambda i: draw(jr.fold_in(key, i - 10)))


@distinct
def linspace_int(draw, key, u):
    return lax.scan(lambda c, i: (c + draw(jr.fold_in(key, i)), None), 0.0, jnp.arange(4) * 10 + 5)[0]


@distinct
def meshgrid(draw, key, u):
    a, b = jnp.meshgrid(jnp.arange(3), jnp.arange(4))
    idx = (a * 4 + b).ravel()
    return jnp.sum(jax.vmap(lambda i: draw(jr.fold_in(key, i)))(idx))


@distinct
def vmapped_split(draw, key, u):
    return jnp.sum(jax.vmap(lambda k: sum(map(draw, jr.split(k, 2))))(jr.split(key, 3)))


@distinct
def fold_vmap_scan(draw, key, u):
    return sc(3, lambda t: jnp.sum(jax.vmap(lambda i: draw(jr.fold_in(jr.fold_in(key, t), i)))(jnp.arange(4))))


@distinct
def float_steps(draw, key, u):
    return lax.scan(lambda c, i: (c + draw(jr.fold_in(key, i.astype(jnp.int32))), None), 0.0, jnp.arange(4.0))[0]


@distinct
def float_steps_and_steps_back(draw, key, u):
    step = lambda c, ij: (c + draw(jr.fold_in(key, ij[0].astype(jnp.int32) * 4 + ij[1])), None)
    return lax.scan(step, 0.0, (jnp.arange(4.0), jnp.arange(4)), reverse=True)[0]


@shared
def float_steps_that_meet_steps_back(draw, key, u):
    step = lambda c, ij: (c + draw(jr.fold_in(key, ij[0].astype(jnp.int32) + ij[1])), None)
    return lax.scan(step, 0.0, (jnp.arange(4.0), jnp.arange(4)[::-1]), reverse=True)[0]


@distinct
def xor_const(draw, key, u):
    return sc(4, lambda i: draw(jr.fold_in(key, i ^ 5)))


@distinct
def minus_from(draw, key, u):
    return sc(4, lambda i: draw(jr.fold_in(key, 3 - i)))


@distinct
def rows_reversed(draw, key, u):
    ks = jr.split(key, 4)
    return sc(4, lambda i: draw(ks[3 - i]))


@distinct
def negative_rows(draw, key, u):
    ks = jr.split(key, 4)
    return sc(4, lambda i: draw(ks[-1 - i]))


@distinct
def take_keys(draw, key, u):
    ks = jr.split(key, 4)
    return sc(4, lambda i: draw(jnp.take(ks, i, axis=0)))


@distinct
def dyn_index(draw, key, u):
    ks = jr.split(key, 4)
    return sc(4, lambda i: draw(lax.dynamic_index_in_dim(ks, i, keepdims=False)))


@distinct
def scan_pairs(draw, key, u):
    ks = jr.split(key, 8).reshape((4, 2, *key.shape))
    return lax.scan(lambda c, k: (c + draw(k[0]) + draw(k[1]), None), 0.0, ks)[0]


@distinct
def traced_length(draw, key, u):
    def body(i, c):
        k, t = c
        k, s = jr.split(k)
        return k, t + draw(s)

    return lax.fori_loop(0, u["j"], body, (key, 0.0))[1]


@distinct
def in_a_custom_jvp(draw, key, u):
    @jax.custom_jvp
    def g(x, k):
        return x * draw(k)

    g.defjvp(lambda p, t: (g(*p), t[0]))
    return lax.scan(lambda c, k: (c + g(1.0, k), None), 0.0, jr.split(key, 3))[0]


def index(name, function, passes=5):
    """fold_in of a function of the counter that takes a value twice."""
    idiom = lambda draw, key, u: sc(passes, lambda i: draw(jr.fold_in(key, function(i))))
    IDIOMS["index_" + name] = (idiom, "shared")


for name, fn in {
    "abs": lambda i: jnp.abs(i - 2),
    "half": lambda i: (i.astype(float) * 0.5).astype(jnp.int32),
    "gt": lambda i: (i > 1).astype(jnp.int32),
    "par": lambda i: i * (3 - i),
    "tab": lambda i: jnp.array([3, 1, 3, 0, 2])[i],
    "xorself": lambda i: i ^ i,
    "argmax": lambda i: jnp.argmax(jnp.arange(3) * i),
    "div": lambda i: i // 2,
    "mod": lambda i: i % 2,
    "clip": lambda i: jnp.clip(i, 1, 3),
    "mn": lambda i: jnp.minimum(i, 2),
    "mx": lambda i: jnp.maximum(i, 2),
    "sign": lambda i: jnp.sign(i - 2),
    "shr": lambda i: i >> 1,
    "pop": lambda i: lax.population_count(i),
    "tiny": lambda i: (i.astype(float) * 1e-9).astype(jnp.int32),
    "f32": lambda i: (jnp.float32(2**25) + i.astype(jnp.float32)).astype(jnp.int32),
    "zero": lambda i: 0 * i,
    "andm": lambda i: i & 1,
    "oor": lambda i: i | 1,
    "clz": lambda i: lax.clz(i + 2),
    "bf": lambda i: (i + 256).astype(jnp.bfloat16).astype(jnp.int32),
    "shl": lambda i: i << 31,
    "mulwrap": lambda i: i * (2**30),
    "cums": lambda i: jnp.cumsum(jnp.array([1, 0, 0, 2, 1]))[i],
    "srt": lambda i: jnp.sort(jnp.array([1, 0, 0, 2, 1]))[i],
    "sq": lambda i: (i - 2) ** 2,
    "rnd": lambda i: jnp.round(i / 4).astype(jnp.int32),
    "where": lambda i: jnp.where(i < 3, i, i - 3),
    "clamp_tab": lambda i: jnp.arange(3)[i],
    "oneh": lambda i: jnp.sum(jax.nn.one_hot(i, 3, dtype=jnp.int32)),
    "red": lambda i: jnp.sum(jnp.arange(3) * 0 + i // 2),
}.items():
    index(name, fn)
index("u8wrap", lambda i: (i * 64).astype(jnp.uint8).astype(jnp.int32))
index("i8", lambda i: (i * 128).astype(jnp.int8).astype(jnp.int32))


@shared
def clamped_rows(draw, key, u):
    ks = jr.split(key, 3)
    return sc(5, lambda i: draw(ks[i]))


@shared
def overlapping_windows(draw, key, u):
    ks = jr.split(key, 12)
    return sc(3, lambda i: jnp.sum(jax.vmap(draw)(lax.dynamic_slice_in_dim(ks, i * 3, 4))))


@shared
def inner_only(draw, key, u):
    return sc(3, lambda i: sc(4, lambda j: draw(jr.fold_in(key, j))))


@shared
def sum_pairs(draw, key, u):
    return sc(3, lambda i: sc(4, lambda j: draw(jr.fold_in(key, i + j))))


@shared
def prod_pairs(draw, key, u):
    return sc(3, lambda i: sc(4, lambda j: draw(jr.fold_in(key, i * j))))


@shared
def radix_short(draw, key, u):
    return sc(3, lambda i: sc(4, lambda j: draw(jr.fold_in(key, i * 3 + j))))


@shared
def outer_inner_same_chain(draw, key, u):
    def inner(c, _):
        k, t = c
        return (jr.split(k)[0], t + draw(k)), None

    def outer(c, _):
        k, t = c
        return (jr.split(k)[0], lax.scan(inner, (k, t), None, length=3)[0][1]), None

    return lax.scan(outer, (key, 0.0), None, length=4)[0][1]


@shared
def replaced_by_const(draw, key, u):
    a, b = jr.split(key)
    return lax.scan(lambda c, _: ((b, c[1] + draw(c[0])), None), (a, 0.0), None, length=4)[0][1]


@shared
def behind_rows(draw, key, u):
    ks = jr.split(key, 4)
    return lax.scan(lambda c, k: ((k, c[1] + draw(c[0])), None), (ks[0], 0.0), ks)[0][1]


@shared
def swap(draw, key, u):
    a, b = jr.split(key)
    return lax.scan(lambda c, _: ((c[1], c[0], c[2] + draw(c[0])), None), (a, b, 0.0), None, length=4)[0][2]


@shared
def select_neighbours(draw, key, u):
    ks = jr.split(key, 6)
    return lax.scan(
        lambda c, ix: (c + draw(jnp.where(ix[1] > 0.5, ks[ix[0]], ks[ix[0] + 1])), None), 0.0, (jnp.arange(4), u["x"])
    )[0]


@undecided
def data_rows(draw, key, u):
    return lax.scan(lambda c, i: (c + draw(jr.fold_in(key, i)), None), 0.0, u["ids"])[0]


@undecided
def data_table(draw, key, u):
    return sc(4, lambda i: draw(jr.fold_in(key, u["ids"][i])))


@undecided
def data_lanes(draw, key, u):
    return jnp.sum(jax.vmap(lambda i: draw(jr.fold_in(key, i)))(u["ids"]))


@undecided
def data_pair(draw, key, u):
    return draw(jr.fold_in(key, u["i"])) + draw(jr.fold_in(key, u["j"]))


@undecided
def data_keys(draw, key, u):
    ks = jr.split(key, 4)
    return draw(ks[u["i"]]) + draw(ks[u["j"]])


@undecided
def data_and_const(draw, key, u):
    return draw(jr.fold_in(key, u["i"])) + draw(jr.fold_in(key, 3))


def raw(k):
    return jr.key_data(k) if jnp.issubdtype(k.dtype, jax.dtypes.prng_key) else k


def wrap(d):
    return jr.wrap_key_data(d)


@shared
def plus_zero(draw, key, u):
    return sc(4, lambda i: draw(wrap(raw(key) + (0 * i).astype(jnp.uint32))))


@shared
def xor_twice(draw, key, u):
    return draw(key) + draw(wrap((raw(key) ^ jnp.uint32(5)) ^ jnp.uint32(5)))


@shared
def bitcasts(draw, key, u):
    return draw(key) + draw(wrap(lax.bitcast_convert_type(lax.bitcast_convert_type(raw(key), jnp.float32), jnp.uint32)))


@shared
def bitcasts_loop(draw, key, u):
    return sc(
        4, lambda i: draw(wrap(lax.bitcast_convert_type(lax.bitcast_convert_type(raw(key), jnp.float32), jnp.uint32)))
    )


@shared
def seeds_twice(draw, key, u):
    b = jr.bits(key)
    return draw(jr.key(b)) + draw(jr.key(b))


@shared
def seeds_of_the_same_bits(draw, key, u):
    return draw(jr.key(jr.bits(key))) + draw(jr.key(jr.bits(key)))


@shared
def seeds_loop(draw, key, u):
    b = jr.bits(key)
    return sc(4, lambda i: draw(jr.key(b)))


@shared
def seeds_shifted(draw, key, u):
    b = jr.bits(key)
    return draw(jr.key(b >> 1)) + draw(jr.key(b // 2))


@shared
def const_seed_twice(draw, key, u):
    return draw(jr.key(5)) + draw(jr.key(5))


@shared
def const_seed_and_const(draw, key, u):
    return draw(jr.key(5)) + draw(CONSTANT)


@shared
def wrapped_bits_twice(draw, key, u):
    b = jr.bits(key, (2,))
    return draw(wrap(b)) + draw(wrap(b))


@shared
def wrapped_bits_of_the_same_key(draw, key, u):
    return draw(wrap(jr.bits(key, (2,)))) + draw(wrap(jr.bits(key, (2,)) | jnp.uint32(0)))


@shared
def callback(draw, key, u):
    d = raw(key)
    g = lambda: jax.pure_callback(lambda x: x, jax.ShapeDtypeStruct(d.shape, d.dtype), d)
    return draw(wrap(g())) + draw(key)


@shared
def callback_loop(draw, key, u):
    d = raw(key)
    return sc(4, lambda i: draw(wrap(jax.pure_callback(lambda x, i: x, jax.ShapeDtypeStruct(d.shape, d.dtype), d, i))))


@shared
def swap_words(draw, key, u):
    return draw(key) + draw(wrap(raw(key)[::-1][::-1]))


@shared
def rebuilt(draw, key, u):
    d = raw(key)
    return draw(key) + draw(wrap(jnp.stack([d[0], d[1]])))


@shared
def repeated_stack(draw, key, u):
    a, b = jr.split(key)
    return jnp.sum(jax.vmap(draw)(jnp.stack([a, b, a])))


@shared
def overlap_concat(draw, key, u):
    ks = jr.split(key, 4)
    return jnp.sum(jax.vmap(draw)(jnp.concatenate([ks[:3], ks[2:]])))


@shared
def rolled_pair(draw, key, u):
    ks = jr.split(key, 4)
    return jnp.sum(jax.vmap(lambda a, b: draw(a) + draw(b))(ks, jnp.roll(ks, 1)))


@shared
def repeat_idx(draw, key, u):
    return jnp.sum(jax.vmap(draw)(jr.split(key, 6)[jnp.array([3, 1, 3])]))


@shared
def choice_keys(draw, key, u):
    a, b = jr.split(key)
    return jnp.sum(jax.vmap(draw)(jr.split(b, 4)[jr.randint(a, (4,), 0, 4)]))


@shared
def uint8_counter(draw, key, u):
    return lax.scan(
        lambda c, _: ((c[0] + jnp.uint8(1), c[1] + draw(jr.fold_in(key, c[0]))), None),
        (jnp.uint8(0), 0.0),
        None,
        length=300,
    )[0][1]


@shared
def lcg(draw, key, u):
    return lax.scan(
        lambda c, _: (((c[0] * 5 + 1) % 8, c[1] + draw(jr.fold_in(key, c[0]))), None), (0, 0.0), None, length=12
    )[0][1]


@shared
def float_counter(draw, key, u):
    return lax.scan(
        lambda c, _: ((c[0] + 0.5, c[1] + draw(jr.fold_in(key, c[0].astype(jnp.int32)))), None),
        (jnp.float32(0.0), 0.0),
        None,
        length=4,
    )[0][1]


@shared
def fold_and_split(draw, key, u):
    return draw(jr.split(key, 3)[2]) + draw(jr.fold_in(key, 2))


@shared
def two_loops_overlap(draw, key, u):
    return sc(4, lambda i: draw(jr.fold_in(key, i))) + sc(3, lambda i: draw(jr.fold_in(key, i + 3)))


@shared
def next_row(draw, key, u):
    ks = jr.split(key, 5)
    return sc(4, lambda i: draw(ks[i]) + draw(ks[i + 1]))


@shared
def minus_one_and_its_bits(draw, key, u):
    return draw(jr.fold_in(key, jnp.int32(-1))) + draw(jr.fold_in(key, jnp.uint32(4294967295)))


@shared
def fibonacci(draw, key, u):
    return lax.scan(
        lambda c, _: ((c[1], c[0] + c[1], c[2] + draw(jr.fold_in(key, c[0]))), None), (1, 1, 0.0), None, length=5
    )[0][2]


@shared
def broadcasted_child(draw, key, u):
    def step(ks, _):
        return jnp.broadcast_to(jr.split(ks[0])[0], ks.shape), jnp.sum(jax.vmap(draw)(ks))

    return jnp.sum(lax.scan(step, jr.split(key, 3), None, length=3)[1])


@shared
def tile_keys(draw, key, u):
    return jnp.sum(jax.vmap(draw)(jnp.tile(jr.split(key, 2), (2,) + (1,) * key.ndim)))


@shared
def assoc(draw, key, u):
    return jnp.sum(lax.associative_scan(lambda a, b: a + b, jax.vmap(draw)(jr.split(key, 4)))) + draw(
        jr.split(key, 4)[0]
    )


def pair(draw, keys):
    return draw(keys[0]) + draw(keys[1])


@shared
def entries_taken_twice(draw, key, u):
    return pair(draw, jnp.take(jr.split(key, 3), jnp.array([1, 1]), axis=0))


@shared
def entries_of_a_repeated_array(draw, key, u):
    return pair(draw, jnp.repeat(jr.split(key, 2), 2, axis=0))


@shared
def entries_of_what_a_scan_stacks(draw, key, u):
    return pair(draw, lax.scan(lambda k, _: (k, k), key, None, 2)[1])


@shared
def entries_of_folds_by_halves(draw, key, u):
    return pair(draw, lax.scan(lambda _, i: (_, jr.fold_in(key, i // 2)), 0, jnp.arange(2))[1])


@shared
def entries_of_masked_keys(draw, key, u):
    data = jr.split(key, 2) if key.ndim else jr.key_data(jr.split(key, 2))
    return pair(draw, jax.vmap(jr.wrap_key_data)(data & jnp.uint32(0)))


@distinct
def entries_taken_apart(draw, key, u):
    return pair(draw, jr.split(key, 3)[jnp.array([2, 0])])


@distinct
def entries_of_what_a_scan_splits(draw, key, u):
    return pair(draw, lax.scan(lambda k, _: tuple(jr.split(k)), key, None, 2)[1])


@distinct
def entries_of_a_permutation(draw, key, u):
    return pair(draw, jr.split(key, 3)[jr.permutation(jr.fold_in(key, 9), 3)])
