"""Finance, signals and statistics, as scripts write them: lists of arrays, masks, SciPy, seeded draws, controllers."""

import math

import numpy as np
from scipy import integrate, interpolate, linalg, signal, stats

from ._case import Case


def logistic_lists(w, b, X):
    y = [0, 1, 1, 0]

    def sigmoid(z):
        if z >= 0:
            return 1 / (1 + np.exp(-z))
        e = np.exp(z)
        return e / (1 + e)

    loss = 0
    rows = [list(row) for row in X]
    preds = []
    for xi, yi in zip(rows, y, strict=False):
        p = sigmoid(sum(wj * xj for wj, xj in zip(w, xi, strict=False)) + b)
        p = min(max(p, 1e-12), 1 - 1e-12)
        preds.append(p)
        loss -= yi * np.log(p) + (1 - yi) * np.log(1 - p)
    acc = np.mean([int(p > 0.5) == t for p, t in zip(preds, y, strict=False)])
    brier = np.mean((np.array(preds) - y) ** 2)
    return loss / len(y) + acc + brier + 0.1 * np.sum([np.abs(wj) for wj in w])


def bootstrap_interval(scale, shift, x):
    rng = np.random.RandomState(0)
    data = shift + scale * x
    means = []
    for _ in range(10):
        idx = rng.randint(0, len(data), len(data))
        sample = data[idx]
        means.append(np.median(sample) + np.mean(sample))
    lo, hi = np.percentile(means, [5, 95])
    se = np.std(means, ddof=1)
    return (hi - lo) / se + rng.choice(means)


def pid_with_limits(kp, ki, kd, setpoint):
    class PID:
        def __init__(self, kp, ki, kd, limits=(None, None)):
            self.kp, self.ki, self.kd = kp, ki, kd
            self.limits = limits
            self._integral, self._last_error, self._last_time = 0, None, None

        def clamp(self, v):
            lower, upper = self.limits
            if v is None:
                return None
            elif (upper is not None) and (v > upper):
                return upper
            elif (lower is not None) and (v < lower):
                return lower
            return v

        def __call__(self, measurement, dt=0.1):
            error = setpoint - measurement
            self._integral = self.clamp(self._integral + self.ki * error * dt)
            d = (error - (self._last_error if (self._last_error is not None) else error)) / dt
            self._last_error = error
            return self.clamp(self.kp * error + self._integral + self.kd * d)

    control = PID(kp, ki, kd, limits=(0, 5.0))
    T, log = 20.0, []
    for k in range(25):
        power = control(T)
        T += (power * 1.2 - 0.1 * (T - 20.0)) * 0.1
        log.append((k * 0.1, T, power))
    t, T, P = zip(*log, strict=False)
    overshoot = max(T) - setpoint
    return (
        integrate.trapezoid(np.abs(np.array(T) - setpoint), t)
        + (overshoot if overshoot > 0 else 0.0)
        + np.sum(P) * 0.01
    )


def filtered(cutoff, gain, x):
    a = [1.0, -(1 - cutoff)]
    b = [cutoff * gain]
    zi = signal.lfilter_zi([0.3], [1.0, -0.7]) * x[0]
    y, _ = signal.lfilter(b, a, x, zi=zi)
    back = signal.lfilter(b, a, y[::-1])[::-1]
    coeffs = signal.savgol_coeffs(5, 2)
    padded = np.pad(back, 2, mode="edge")
    smooth = np.convolve(padded, coeffs, mode="valid")
    above = np.where(smooth > np.mean(smooth))[0]
    return np.sum(smooth**2) + smooth[above].max() + len(above) + above[0]


def spline_fit(y, at, lam):
    x = np.linspace(0.0, 3.0, len(y))
    cs = interpolate.CubicSpline(x, y, bc_type="natural")
    lin = interpolate.interp1d(x, y, kind="linear", fill_value="extrapolate")
    n = len(y)
    D = np.diff(np.eye(n), 2, axis=0)
    z = np.linalg.solve(np.eye(n) + lam * D.T @ D, y)
    coef = np.polyfit(x, z, 2)
    r = np.roots(coef)
    return (
        float(cs(at))
        + cs(at, 1)
        + float(lin(at))
        + np.polyval(coef, at)
        + cs.integrate(0.0, 2.0)
        + np.interp(at, x, z)
        + np.abs(r).sum() * 0.01
    )


def where_sqrt(x):
    out = np.zeros_like(x)
    m = x > 0
    out[m] = np.sqrt(x[m])
    out[~m] = -(x[~m] ** 2)
    y = np.where(m, np.sqrt(np.abs(x)), 0.0)
    z = np.divide(1.0, x, out=np.zeros_like(x), where=x != 0)
    return np.sum(out * y) + np.sum(z[m]) + np.linalg.norm(x - x) + np.linalg.norm(x) ** 2 + out[m].min()


def list_of_arrays(a, b, c):
    parts = [a, b**2, np.array([c, 2 * c])]
    flat = np.concatenate(parts)
    total = np.sum([a, b], axis=0)
    table = np.array([a, b, a * b])
    stacked = np.vstack([np.hstack([a, [c]]), np.r_[b, 0.0]])
    d = {"a": a, "b": b}
    s = sum(np.sum(v) for v in d.values())
    objs = np.empty(2, dtype=object)
    return (
        np.linalg.norm(flat)
        + np.max([a, b])
        + np.mean(table, axis=1)[2]
        + np.linalg.det(stacked[:, :2])
        + s
        + np.dot(total, [1, 2])
        + np.std([a, b, [c, 1.0]])
        + len(objs)
        + np.einsum("ij,kj->", [a, b], [b, a])
    )


def gaussian_process(length, noise, x):
    y = np.sin(3 * x)

    def kern(a, b):
        return np.exp(-0.5 * np.subtract.outer(a, b) ** 2 / length**2)

    K = kern(x, x) + noise**2 * np.eye(len(x))
    try:
        L = np.linalg.cholesky(K)
    except np.linalg.LinAlgError:
        return np.inf
    alpha = linalg.cho_solve((L, True), y)
    xs = np.linspace(0, 1, 3)
    v = linalg.solve_triangular(L, kern(x, xs), lower=True)
    var = 1 - np.sum(v**2, axis=0)
    ll = -0.5 * y @ alpha - np.log(np.diag(L)).sum() - len(x) / 2 * math.log(2 * math.pi)
    return ll + var.sum() + stats.multivariate_normal.logpdf(y, mean=np.zeros(len(x)), cov=K)


X = np.random.RandomState(2).randn(8)
CASES = [
    Case(logistic_lists, (np.array([0.4, -0.3]), 0.1, X.reshape(4, 2)), step=1e-4),
    Case(bootstrap_interval, (2.0, 0.5, X), step=1e-5, gradient_rtol=1e-5),
    Case(pid_with_limits, (2.0, 0.8, 0.1, 22.0), step=1e-5, gradient_rtol=1e-5),
    Case(filtered, (0.3, 1.2, X), step=1e-5, gradient_rtol=1e-5),
    Case(spline_fit, (np.array([1.0, 2.0, 0.5, 3.0, 2.0]), 1.3, 0.5), step=1e-4, rtol=1e-10),
    Case(where_sqrt, (np.array([1.0, -2.0, 0.5, 3.0]),), step=1e-4),
    Case(list_of_arrays, (np.array([1.0, 2.0]), np.array([0.5, 3.0]), 1.7), step=1e-4),
    Case(gaussian_process, (0.4, 0.3, np.array([0.1, 0.35, 0.6, 0.9]))),
]
