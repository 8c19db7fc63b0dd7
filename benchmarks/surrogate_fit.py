"""A surrogate beside scikit-learn's: R^2, cosine of its gradient with the exact one, and seconds, from the same points.

    python -m benchmarks.surrogate_fit

Ours is given the evaluations in all, its own check included; the others train on all of them. Their gradients are central
differences.
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


def peers(d):
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel
    from sklearn.neural_network import MLPRegressor

    settings = {"activation": "tanh", "max_iter": 2000, "random_state": 0}
    return {
        "MLPRegressor, Adam": MLPRegressor(hidden_layer_sizes=(64, 64), **settings),
        "MLPRegressor, L-BFGS": MLPRegressor(hidden_layer_sizes=(64,), solver="lbfgs", **settings),
        "GaussianProcessRegressor": GaussianProcessRegressor(ConstantKernel(1.0) * RBF(np.ones(d)), random_state=0),
    }


def fit_peer(peer, U, Y):
    """Its prediction as a function of many points; inputs and outputs are standardised, as ours are."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    mean, sd = Y.mean(), Y.std()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of iterations that ran out
        fitted = make_pipeline(StandardScaler(), peer).fit(U, (Y - mean) / sd)
    return lambda X: mean + sd * fitted.predict(X)


def rows(f, low, high, d, n):
    from scipy.stats import qmc

    def many(X):
        return np.array([f(x) for x in X])

    X = low + (high - low) * np.random.default_rng(1).uniform(0.01, 0.99, (500, d))
    truth, exact = many(X), slopes(many, X, 1e-4)
    started = time.perf_counter()
    model = sx.fit_surrogate(f, (np.full(d, low), np.full(d, high)), key=jax.random.key(0), evaluations=n)
    seconds, points = time.perf_counter() - started, X.astype(np.float32)
    yield "fit_surrogate", *score(jax.vmap(model)(points), jax.vmap(jax.grad(model))(points), truth, exact), seconds
    U = low + (high - low) * qmc.Sobol(d, rng=np.random.default_rng(0)).random_base2(int(np.log2(n)))
    for label, peer in peers(d).items():
        started = time.perf_counter()
        predict = fit_peer(peer, U, many(U))
        seconds = time.perf_counter() - started
        yield label, *score(predict(X), slopes(predict, X, 1e-4), truth, exact), seconds


def main():
    print(f"{'problem':22} {'surrogate':26} {'R^2':>8} {'cosine':>8} {'seconds':>8}")
    for name, problem in PROBLEMS.items():
        for label, r2, cosine, seconds in rows(*problem):
            print(f"{name:22} {label:26} {r2:8.4f} {cosine:8.4f} {seconds:8.1f}", flush=True)


if __name__ == "__main__":
    main()
