"""A surrogate beside scikit-learn's: R^2, cosine of its gradient with the exact one, and seconds, from the same points.

    python -m benchmarks.surrogate_fit

Ours is given the evaluations in all, its own check included; the others train on all of them. Their gradients are central differences.
"""

from __future__ import annotations

import time
import warnings

import jax
import numpy as np

import spanax as sx


def camel(x):
    return 2 * x[0] ** 2 - 1.05 * x[0] ** 4 + x[0] ** 6 / 6 + x[0] * x[1] + x[1] ** 2


def rosenbrock(x):
    return np.sum((x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def friedman(x):
    return 10 * np.sin(np.pi * x[0] * x[1]) + 20 * (x[2] - 0.5) ** 2 + 10 * x[3] + 5 * x[4]


PROBLEMS = {
    "three-hump camel, 2": (camel, -2.0, 2.0, 2, 256),
    "Rosenbrock, 5": (rosenbrock, -2.0, 2.0, 5, 512),
    "Friedman, 5": (friedman, 0.0, 1.0, 5, 512),
}


def slopes(f, X, step):
    """Central differences of a function of many points."""
    columns = [(f(X + step * e) - f(X - step * e)) / (2 * step) for e in np.eye(X.shape[1])]
    return np.stack(columns, axis=1)


def score(values, gradient, truth, exact):
    r2 = 1 - np.mean((values - truth) ** 2) / np.var(truth)
    return r2, np.sum(gradient * exact) / np.linalg.norm(gradient) / np.linalg.norm(exact)


def peers():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kernel = lambda d: ConstantKernel(1.0) * RBF(np.ones(d))
    return {
        "MLPRegressor(64, 64)": lambda d: MLPRegressor((64, 64), "tanh", max_iter=2000, random_state=0),
        "MLPRegressor, L-BFGS": lambda d: MLPRegressor((64,), "tanh", solver="lbfgs", max_iter=2000, random_state=0),
        "GaussianProcessRegressor": lambda d: GaussianProcessRegressor(kernel(d), normalize_y=True, random_state=0),
    }, lambda model: make_pipeline(StandardScaler(), model)


def main():
    from scipy.stats import qmc

    makers, piped = peers()
    print(f"{'problem':22} {'surrogate':26} {'R^2':>8} {'cosine':>8} {'seconds':>8}")
    for name, (f, low, high, d, n) in PROBLEMS.items():
        X = low + (high - low) * np.random.default_rng(1).uniform(0.01, 0.99, (500, d))
        many = lambda X, f=f: np.array([f(x) for x in X])
        truth, exact = many(X), slopes(many, X, 1e-4)
        started = time.perf_counter()
        box = np.full(d, low), np.full(d, high)
        model = sx.fit_surrogate(f, box, key=jax.random.key(0), evaluations=n)
        seconds, points = time.perf_counter() - started, X.astype(np.float32)
        ours = score(jax.vmap(model)(points), jax.vmap(jax.grad(model))(points), truth, exact)
        rows = {"fit_surrogate": (*ours, seconds)}
        U = low + (high - low) * qmc.Sobol(d, rng=np.random.default_rng(0)).random_base2(int(np.log2(n)))
        Y = many(U)
        for label, make in makers.items():
            started = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of iterations that ran out
                peer = piped(make(d)).fit(U, (Y - Y.mean()) / Y.std())
            seconds = time.perf_counter() - started
            predict = lambda X, p=peer, m=Y.mean(), s=Y.std(): m + s * p.predict(X)
            rows[label] = *score(predict(X), slopes(predict, X, 1e-4), truth, exact), seconds
        for label, (r2, cosine, seconds) in rows.items():
            print(f"{name:22} {label:26} {r2:8.4f} {cosine:8.4f} {seconds:8.1f}", flush=True)


if __name__ == "__main__":
    main()
