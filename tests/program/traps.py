"""Small programs, each with one trap of Python or NumPy: state, aliases, order of evaluation, integers, views."""

import copy
import functools
import heapq
import itertools
import math
from collections import defaultdict, deque

import numpy as np

CASES = []


def case(*args):
    def deco(f):
        CASES.append((f.__name__, list(args)))
        return f

    return deco


class Acc:
    def __init__(self):
        self.total = 0.0
        self.pos = 0

    def step(self, x):
        self.total = self.total + 10.0
        return x

    def nxt(self, x):
        self.pos += 1
        return x * self.pos


@case((1.5,))
def aug_attr_order(x):
    a = Acc()
    a.total = x
    a.total += a.step(x)
    return a.total


@case((1.5,))
def aug_item_order(x):
    b = [x, 2 * x]

    def bump():
        b[0] = 100.0 * x
        return 1.0

    b[0] += bump()
    return b[0]


@case((1.5,))
def assign_order(x):
    a = Acc()
    buf = [0.0] * 4
    buf[a.pos] = a.nxt(x)
    return buf[0] * 3 + buf[1] * 7


@case((1.5,))
def tuple_target_order(x):
    i = 0
    b = [x, 2 * x, 3 * x]
    b[i], i = 7 * x, 2
    return b[0] + 10 * b[1] + 100 * b[2] + i


@case((1.5,), (-1.5,))
def gen_mutates(x):
    acc = [0.0]

    def gen():
        for i in range(3):
            acc[0] += 1.0
            yield i

    if x > 0:
        for _i in gen():
            pass
    return acc[0] * x


@case((1.5,), (-1.5,))
def deque_branch(x):
    q = deque([1.0])
    if x > 0:
        q.append(2.0)
    return sum(q) * x


@case((1.5,))
def deque_loop(x):
    q = deque()
    for i in range(12):
        q.append(x * i)
    return sum(q)


@case((1.5,))
def deque_const(x):
    q = deque()
    for _i in range(12):
        q.append(1.0)
    return sum(q) * x


@case((1.5,), (-1.5,))
def heap_branch(x):
    q = [3.0]
    if x > 0:
        heapq.heappush(q, 1.0)
    return q[0] * x


@case((1.5,), (-1.5,))
def ddict(x):
    d = defaultdict(lambda: 1.0)
    if x > 0:
        d["a"] += x
    else:
        d["b"] += x
    return sum(d.values())


class Vec:
    def __init__(self, n):
        self.data = [0.0] * n
        self.n = 0

    def __setitem__(self, i, v):
        self.data[i] = v
        self.n += 1

    def __getitem__(self, i):
        return self.data[i]

    def __iadd__(self, o):
        self.data[0] += o
        return self

    def __len__(self):
        return len(self.data)


@case((1.5,), (-1.5,))
def user_setitem(x):
    v = Vec(3)
    if x > 0:
        v[0] = 5.0
    return v[0] * x + v.n


@case((1.5,), (-1.5,))
def user_setitem_t(x):
    v = Vec(3)
    if x > 0:
        v[0] = x * x
    return v[0] * x + v.n


@case((1.5,), (-1.5,))
def user_iadd(x):
    v = Vec(3)
    if x > 0:
        v += 5.0
    return v.data[0] * x


@case((1.5,))
def user_iadd_loop(x):
    v = Vec(3)
    for _i in range(12):
        v += x
    return v.data[0] * x


class P:
    def __init__(self):
        self._x = 1.0

    @property
    def x(self):
        return self._x

    @x.setter
    def x(self, v):
        self._x = v * 2


@case((1.5,), (-1.5,))
def prop_setter(x):
    p = P()
    if x > 0:
        p.x = x
    else:
        p.x = 3.0
    return p.x


class S:
    def __init__(self):
        self.a = np.ones(3)

    @property
    def total(self):
        return self.a.sum()

    def __getitem__(self, i):
        return self.a[i]

    def __mul__(self, k):
        return self.a * k


s = S()


@case((1.5,))
def stale_prop(x):
    s.a[0] = x
    r = s.total
    s.a[0] = 1.0
    return r


@case((1.5,))
def stale_getitem(x):
    s.a[0] = x
    r = s[0]
    s.a[0] = 1.0
    return r


@case((1.5,))
def stale_mul(x):
    s.a[0] = x
    r = (s * 2).sum()
    s.a[0] = 1.0
    return r


G = [np.ones(2), np.ones(2)]


@case((1.5,))
def stale_concat(x):
    G[0][0] = x
    r = np.concatenate(G).sum()
    G[0][0] = 1.0
    return r


@case((1.5,))
def stale_deepcopy(x):
    s.a[0] = x
    t = copy.deepcopy(s)
    s.a[0] = 1.0
    return t.a.sum()


@case((1.5,), (-1.5,))
def list_alias_ifexp(x):
    a = [x, 2 * x]
    b = [3 * x, 4 * x]
    c = a if x > 0 else b
    c[0] = 0.0
    return a[0] + b[0]


@case((1.5,), (-1.5,))
def dict_alias_if(x):
    a = {"v": x}
    b = {"v": 3 * x}
    c = a if x > 0 else b
    c["v"] = 1.0
    return a["v"] + b["v"]


@case((1.5,), (-1.5,))
def arr_alias_pair(x):
    if x > 0:
        a = np.array([x, x])
        b = a
    else:
        a = np.array([x, 2 * x])
        b = a
    b[0] = 0.0
    return a.sum()


@case((1.5,), (-1.5,))
def list_alias_pair(x):
    if x > 0:
        a = [x, x]
        b = a
    else:
        a = [x, 2 * x]
        b = a
    b[0] = 0.0
    return a[0] + a[1]


class Pt:
    def __init__(self, v):
        self.v = v


@case((1.5,), (-1.5,))
def obj_alias_pair(x):
    if x > 0:
        a = Pt(x)
        b = a
    else:
        a = Pt(2 * x)
        b = a
    b.v = 0.0
    return a.v + x


@case((1.5,))
def arr_alias_loop(x):
    a = np.array([x, x])
    b = a
    for _i in range(20):
        a = a * 1.01
        b = a
    b[0] = 0.0
    return a.sum()


@case((1.5,))
def list_alias_loop(x):
    a = [x, x]
    b = a
    for _i in range(20):
        a = [a[0] * 1.01, a[1]]
        b = a
    b[0] = 0.0
    return a[0] + a[1]


@case((1.5,))
def swap_lists(x):
    a = [x, 0.0]
    b = [0.0, x]
    bufs = [a, b]
    for _i in range(21):
        a[0] = a[0] + b[1]
        a, b = b, a
    return bufs[0][0] + 2 * bufs[1][0] + 3 * a[1] + 5 * b[1]


@case((1.5,))
def swap_arrays(x):
    a = np.array([x, 0.0])
    b = np.array([0.0, x])
    bufs = [a, b]
    for _i in range(21):
        a[0] = a[0] + b[1]
        a, b = b, a
    return bufs[0][0] + 2 * bufs[1][0]


@case((1.5,), (-1.5,))
def nonlocal_mix(x):
    total = x

    def add(v):
        nonlocal total
        total += v

    if x > 0:
        total = 5.0
        add(1.0)
    else:
        add(2.0)
    return total


@case((1.5,), (-1.5,))
def one_way_raise(x):
    if x > -5:
        y = x * 2
    else:
        raise ValueError("no")
    return y


@case((1.5,))
def try_else(x):
    try:
        return x * 2
    except KeyError:
        pass
    else:
        return x * 3
    return x * 4


@case((1.5,), (-1.5,))
def iter_branch(x):
    it = iter([1.0, 2.0, 3.0])
    y = next(it) * x if x > 0 else x
    return y + next(it) * x


@case((1.5,), (-1.5,))
def gen_branch(x):
    it = (v * 1.0 for v in range(1, 9))
    y = next(it) * x if x > 0 else x
    return y + next(it) * x


@case((1.5,))
def count_loop(x):
    c = itertools.count()
    t = 0.0
    for _i in range(12):
        t = t + next(c) * x
    return t


@case((1.5,))
def list_grow_iter(x):
    q = [x]
    t = 0.0
    for v in q:
        t = t + v
        if len(q) < 6:
            q.append(v * 0.5)
    return t


@case((np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10.0]),))
def arr_iter_live(x):
    for i, v in enumerate(x):
        if i + 1 < len(x):
            x[i + 1] += v
    return x[-1]


@case((np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10.0]),))
def arr_iter_live2(x):
    t = 0.0
    i = 0
    for v in x:
        t = t + v * v
        x[9] = x[9] + v
        i += 1
    return t


@case((1.5,), (1.0,))
def two_pow_neg(x):
    k = 0
    while x > 0.1:
        x = x * 0.5
        k += 1
    return 2**-k * x


@case((1.5,), (5.0,), (12.0,))
def taylor_fact(x):
    s, k, fact = 0.0, 0, 1
    term = 1.0
    while abs(term) > 1e-15:
        s = s + term
        k += 1
        fact *= k
        term = x**k / fact
    return s


@case((1.5,))
def fib(x):
    a, b = 0, 1
    y = x
    while y < 1e20:
        a, b = b, a + b
        y = y * 1.5
    return b * 1.0 / a * x


@case((5.0, 3.0))
def math_remainder(x, y):
    return math.remainder(x, y)


@case((5.3,))
def math_modf(x):
    return math.modf(x)[0]


@case((5.3,))
def math_frexp(x):
    return math.frexp(x)[0]


@case((5.3,))
def math_ldexp(x):
    return math.ldexp(x, 3)


@case((5.3,))
def math_cbrt(x):
    return (
        math.cbrt(x)
        + math.exp2(x)
        + math.copysign(x, -2.0)
        + math.degrees(x)
        + math.expm1(x)
        + math.gamma(x)
        + math.lgamma(x)
        + math.erf(x)
    )


def doubled(f):
    @functools.wraps(f)
    def g(*a):
        return 2 * f(*a)

    return g


@case((5.3,))
@doubled
def decorated(x):
    return x * x


def _h(x):
    return decorated(x) + 1


@case((5.3,))
def dec_inner(x):
    return decorated(x) + 1


@case((np.array([3.0, 1, 2]),))
def partition_inplace(x):
    x.partition(1)
    return x[0] + 10 * x[1] + 100 * x[2]


@case((np.array([[1.0, 2], [3, 4]]),))
def ravel_T(x):
    y = x.T.ravel()
    y[1] = 7.0
    return x[1, 0] + 10 * x[0, 1] + y.sum()


@case((np.array([[1.0, 2], [3, 4]]),))
def reshape_T(x):
    y = x.T.reshape(-1)
    y *= 2
    return x.sum()


@case((np.arange(6.0),))
def split_view(x):
    a, b = np.split(x, 2)
    a[:] = 5.0
    return (x * x).sum()


@case((np.arange(6.0),))
def asplit_view(x):
    a, b = np.array_split(x, 2)
    a *= 2
    return (x * x).sum()


@case((np.arange(6.0).reshape(2, 3),))
def flips(x):
    a = np.fliplr(x)
    a[0, 0] = 7.0
    b = np.flipud(x)
    b[0, 1] = 9.0
    c = np.rot90(x)
    c[0, 0] = 11.0
    return (x * x * np.arange(1, 7).reshape(2, 3)).sum()


@case((np.arange(6.0),))
def diag_view(x):
    m = np.outer(x, x)
    np.fill_diagonal(m, 1.0)
    d = m.diagonal()
    return (d * x).sum() + m.sum()


@case((np.arange(6.0),))
def nan_to_num_inplace(x):
    y = np.log(x)
    np.nan_to_num(y, copy=False, neginf=0.0)
    return y.sum()


@case((np.array([1.0, 2.0]),))
def complex_real_write(x):
    z = x + 0j
    z.real[0] = 5.0
    z.imag[1] = x[0]
    return (abs(z) ** 2).sum()


@case((-1.5,))
def sorted_reverse(x):
    s = sorted([x, -x, 2 * x, -2 * x], key=abs, reverse=True)
    return s[0] + 10 * s[1] + 100 * s[2] + 1000 * s[3]


@case((np.array([[4.0, 1.0], [2.0, 5.0]]),))
def chol(a):
    return np.linalg.cholesky(a).sum()


@case((np.array([[4.0, 1.0], [2.0, 5.0]]),))
def eigh(a):
    return np.linalg.eigh(a)[0][0]


@case((np.array([[4.0, 1.0], [2.0, 5.0]]),))
def eigvalsh(a):
    return np.linalg.eigvalsh(a)[0]


@case((1.5,), (-1.5,))
def inv_bool(x):
    return ~(x > 0) * 1.0 + -(x > 0) * x


@case((-4.0,), (4.0,), (0.0,))
def where_sqrt(x):
    return np.where(x > 0, np.sqrt(np.abs(x)), 0.0) + np.where(x > 0, np.sqrt(x), x)


@case((0.0,), (2.0,))
def where_div(x):
    return np.where(x == 0, 1.0, np.sin(x) / x)
