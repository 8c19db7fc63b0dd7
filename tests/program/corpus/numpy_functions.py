"""NumPy's functions, `math` and dtypes: what a program calls, with `import numpy as np` as it is."""

import math

import numpy as np

from ._case import Case


def joined(x, y):
    both = np.concatenate([x, y[::-1]])
    both = np.append(both, x[0] * y[0])
    table = np.stack([both, both**2], axis=1)
    return np.hstack((table[:, 0], np.vstack([x, x]).ravel())).sum() * table[1].prod()


def selected(x, threshold):
    y = np.where(x > threshold, x**2, np.sin(x))
    y = np.select([y < 0.1, y > 2], [y * 3, np.log(np.abs(y) + 1)], default=y)
    return np.clip(y, -1.0, 1.5).sum()


def interpolated(x, ys):
    xs = np.linspace(0, 2, 5)
    return np.interp(x, xs, ys).sum() + np.interp(3.0, xs, ys, right=ys[0] ** 2)


def running(x):
    return np.cumsum(x**2)[2] * np.cumprod(x)[-1] + np.sum(np.diff(x, n=2) ** 2) + np.ptp(x) + np.diff(x) @ np.diff(x)


def products(a, b, M):
    outer = np.outer(a, b)
    bilinear = np.einsum("i,ij,j->", a, M, b)
    contracted = np.tensordot(outer, M, axes=2)
    return bilinear + 2 * contracted + np.inner(a, a) + np.kron(a, b)[1] + np.vdot(M, outer) + np.dot(M.T, a)[0]


def order_statistics(x):
    order = np.argsort(x)
    ranked = x[order] * np.arange(1, len(x) + 1)
    return ranked.sum() + np.sort(x)[-2] ** 2 + x[np.argmax(x)] * x.argmin() + np.median(x) + np.quantile(x, 0.3)


def table_search(x, grid):
    k = np.searchsorted(grid, x) - 1
    weight = (x - grid[k]) / (grid[k + 1] - grid[k])
    values = np.array([1.0, 4.0, 2.0, 0.5, 3.0])
    return (1 - weight) * values[k] + weight * values[k + 1]


def reductions(M):
    centred = M - M.mean(axis=0)
    spread = M.std(axis=1, ddof=1) + np.var(M, axis=1)
    norms = np.sqrt(np.sum(centred**2, axis=1, keepdims=True))
    return (centred / (norms + 1)).max() + spread.sum() + np.min(M, axis=0) @ np.arange(M.shape[1]) + np.amax(M)


def shapes(x):
    A = x.reshape(2, -1)
    B = np.transpose(A[:, :, np.newaxis], (2, 0, 1)).squeeze()
    C = np.tile(B, (2, 1)) + np.repeat(x[:2], 2)[:, None] * np.expand_dims(x[3:], 0)
    D = np.flip(np.roll(C, 1, axis=0), axis=1).swapaxes(0, 1)
    return np.sum(D * np.broadcast_to(x[:4], (3, 4))) + np.triu(A).sum() + np.pad(x, 1, mode="edge")[0]


def grids(width, amplitude):
    xx, yy = np.meshgrid(np.linspace(-1, 1, 5), np.arange(-1, 1.5, 0.5), indexing="ij")
    z = amplitude * np.exp(-(xx**2 + yy**2) / width)
    gx, gy = np.gradient(z, 0.5)
    return np.sum(gx**2 + gy**2) + z[np.ix_([0, 1], [2, 3])].sum()


def scalar_mathematics(x, y):
    value = math.sin(x) * math.exp(-y) + math.log(x + 2) + math.atan2(y, x) + math.sqrt(x * y)
    value += math.hypot(x, y) + math.pow(x, y) + math.tanh(x) + math.log1p(y) + math.expm1(x) + math.degrees(y) / 50
    value += math.gamma(x + 1) + math.lgamma(y + 2) + math.erf(x) + math.erfc(y) + math.cosh(x) + math.log10(y)
    value += math.floor(x) * x + math.ceil(y) * y + math.fabs(-x) + math.copysign(y, -1) + math.fmod(x, 0.4)
    value += math.log2(x) + math.asinh(x)
    return value + math.fsum([x, y, x * y]) + math.prod([x, y, 3.0]) + math.pi * math.dist((x, y), (1.0, 2.0))


def elementwise(x):
    a = np.arctan2(x, 2.0) + np.hypot(x, 1.0) + np.log1p(x**2) + np.expm1(x) + np.cbrt(np.abs(x) + 1)
    b = np.maximum(x, 0.2) * np.minimum(x, 1.0) + np.sign(x) * np.sqrt(np.abs(x)) + np.square(x) + np.reciprocal(x)
    c = (
        np.tanh(x)
        + np.arcsinh(x)
        + np.sinc(x)
        + np.logaddexp(x, 0.5)
        + np.power(np.abs(x), 1.5)
        + np.fabs(x)
        + np.exp2(x)
    )
    return np.sum(a * b + c) + np.heaviside(x, 0.5) @ x + np.nan_to_num(x).sum() + np.float_power(2.0, x).sum()


def single_precision(x, scale):
    """Computes in float32, and says so only by a dtype."""
    y = x.astype(np.float32) * np.float32(0.5)
    y = y * scale + 1
    assert y.dtype == np.float32
    return float(np.sum(y * y, dtype=np.float64))


def float32_argument(x):
    y = x * 2 + np.ones(3, dtype=np.float32)
    assert y.dtype == np.float32
    return (y * y).sum()


def casts(x, y):
    n = int(x)
    fraction = x - n
    k = np.floor(y).astype(int)
    weights = (y - k).astype(np.float64)
    return fraction * n + weights @ k + float(np.float64(x)) * round(x) + np.rint(y) @ y + bool(x) * x + np.trunc(x)


def integer_arithmetic(x, n):
    total = 0
    for i in range(n):
        total += (i * i) // 3 + (7 * i) % 4 - (-i) // 2 + (i << 1 & 5)
    wrapped = x % 1.5
    quotient, rest = divmod(x, 0.8)
    return total * x + wrapped + (x // 0.7) * x + quotient * rest + -x % 2.0


def complex_impedance(resistance, inductance, frequency):
    omega = 2 * np.pi * frequency
    z = resistance + 1j * omega * inductance + 1 / (1j * omega * 2e-3)
    current = 10.0 / z
    return abs(current) ** 2 * z.real + np.angle(z) + (current * np.conj(z)).imag + current.real


def complex_arrays(x):
    z = np.exp(1j * x) * (1 + 2j)
    w = np.zeros(3, dtype=complex)
    w[:] = z
    w[1] *= 1j
    return np.abs(w.sum()) + np.real(w @ w.conj()) * np.imag(z).sum()


def fourier_filter(signal, cutoff):
    spectrum = np.fft.rfft(signal)
    frequencies = np.fft.rfftfreq(len(signal), d=0.1)
    spectrum = spectrum / (1 + (frequencies / cutoff) ** 2)
    smooth = np.fft.irfft(spectrum, n=len(signal))
    power = np.abs(np.fft.fft(smooth)) ** 2
    return smooth[2] + power[1] / len(signal) + np.fft.fftshift(smooth)[0] ** 2


def polynomials(x, c):
    p = np.polyval(c, x)
    q = np.polyval(np.polyder(c), x) + np.convolve(c, [1.0, x])[1]
    fitted = np.polyfit(np.arange(4.0), c[0] * np.arange(4.0) ** 2 + x, 1)
    return p * q + fitted[0] + np.polyint(c)[0]


def areas(x, y):
    return np.trapezoid(y, x) + np.trapezoid(y**2, dx=0.3) + np.average(y, weights=x + 1) + np.cross([*x[:3]], y[:3])[0]


def vectorised(x, low=0.7, high=2.0):
    inside = (low < x) & (x < high)
    count = np.count_nonzero(inside)
    mean = np.sum(x * inside) / count
    z = np.piecewise(x, [x < mean, x >= mean], [lambda t: t**2, lambda t: 3 * t])
    return z.sum() + np.apply_along_axis(np.sum, 0, x) + np.flatnonzero([low, 0.0, high]).size * x[0]


def iterated(M):
    total = 0.0
    for index, value in np.ndenumerate(M):
        total += value ** (1 + sum(index))
    for i, j in np.ndindex(*M.shape):
        total += M[i, j] * i - j
    for column in M.T:
        total *= column.mean()
    for value in M.flat:
        total += value**2
    return total + M.size * M.ndim * len(M) + M.item(1) + M.tolist()[0][0] ** 2


CASES = [
    Case(joined, (np.array([0.5, 1.2]), np.array([0.8, -0.3, 0.6]))),
    Case(selected, (np.array([0.05, 0.6, 1.1, 2.8]), 0.9)),
    Case(interpolated, (np.array([0.3, 0.9, 1.6]), np.array([0.2, 1.0, 0.4, 0.9, 1.5]))),
    Case(running, (np.array([0.7, 1.3, -0.4, 0.9]),)),
    Case(products, (np.array([0.4, 1.2]), np.array([0.9, -0.5, 0.3]), np.array([[1.0, 0.2, 0.5], [0.3, 0.8, -0.6]]))),
    Case(order_statistics, (np.array([0.7, 1.9, -0.4, 1.2, 0.1]),)),
    Case(table_search, (np.array([0.3, 1.7, 2.6]), np.array([0.0, 0.5, 1.5, 2.2, 3.0]))),
    Case(reductions, (np.array([[0.4, 1.1, -0.3], [0.9, 0.2, 0.7]]),)),
    Case(shapes, (np.array([0.7, 1.9, -0.4, 1.2, 0.1, 0.8]),)),
    Case(grids, (0.7, 1.3)),
    Case(scalar_mathematics, (0.7, 1.3)),
    Case(elementwise, (np.array([0.7, -0.6, 1.4]),)),
    Case(single_precision, (np.array([0.5, 0.75, 1.25]), 1.5), rtol=1e-6, gradient_rtol=1e-4, step=0.25),
    Case(float32_argument, (np.array([0.5, 0.75, 1.25], dtype=np.float32),), rtol=1e-6, gradient_rtol=1e-4, step=0.25),
    Case(casts, (2.3, np.array([0.7, 1.3, 3.2]))),
    Case(integer_arithmetic, (1.9, 6)),
    Case(complex_impedance, (5.0, 0.02, 50.0)),
    Case(complex_arrays, (np.array([0.4, 1.2, -0.7]),)),
    Case(fourier_filter, (np.array([0.2, 1.0, 0.5, -0.3, 0.8, 1.4, -0.6, 0.1]), 2.0)),
    Case(polynomials, (0.8, np.array([1.0, -0.5, 2.0]))),
    Case(areas, (np.array([0.1, 0.4, 0.9, 1.6]), np.array([1.0, 0.3, -0.5, 0.8]))),
    Case(vectorised, (np.array([0.5, 1.4, 0.9, 2.3]),)),
    Case(iterated, (np.array([[0.5, 1.2, 0.8], [0.9, 1.4, 0.3]]),)),
]
