"""Statistics: likelihoods, special functions, regression, filters, resampling with a fixed seed, mixtures."""

import math

import numpy as np
import scipy.special
from scipy import stats
from scipy.special import expit, logsumexp

from ._case import Case

DATA = np.array([0.8, 1.9, 1.1, 2.7, 0.4, 1.6])
LABELS = np.array([0, 1, 0, 1, 0, 1])


def normal_likelihood(mean, deviation):
    total = 0.0
    for x in DATA:
        total += -0.5 * ((x - mean) / deviation) ** 2 - math.log(deviation) - 0.5 * math.log(2 * math.pi)
    return total


def gamma_likelihood(shape, rate):
    return np.sum(shape * np.log(rate) - scipy.special.gammaln(shape) + (shape - 1) * np.log(DATA) - rate * DATA)


def special_functions(x):
    total = scipy.special.erf(x[0]) + expit(x[1]) + scipy.special.digamma(x[2] + 1) + scipy.special.erfc(x).sum()
    total += (
        scipy.special.logit(expit(x[0]) / 2) + scipy.special.beta(x[1] + 1, 2.0) + scipy.special.xlogy(x, x + 1).sum()
    )
    total += logsumexp(x) + scipy.special.softmax(x)[0] + scipy.special.gamma(x[2] + 2) + scipy.special.i0(x[0])
    return total + scipy.special.ndtr(x[0]) + scipy.special.ndtri(expit(x[1])) + scipy.special.gammainc(2.0, x[2] + 1)


def black_scholes(spot, volatility, rate, kind="call"):
    d1 = (np.log(spot / 100) + (rate + 0.5 * volatility**2)) / volatility
    d2 = d1 - volatility
    sign = 1 if kind == "call" else -1
    return sign * (spot * stats.norm.cdf(sign * d1) - 100 * np.exp(-rate) * stats.norm.cdf(sign * d2))


def distributions(mean, scale):
    total = stats.norm.logpdf(DATA, loc=mean, scale=scale).sum() + stats.norm(mean, scale).cdf(1.0)
    total += stats.expon.logpdf(DATA, scale=scale).sum() + stats.gamma.logpdf(DATA, 2.0, scale=scale).sum()
    return total + stats.t.logpdf(DATA, 4.0, loc=mean).sum() + stats.beta.logpdf(expit(mean), 2.0, 3.0)


def logistic_regression(weights, penalty):
    X = np.column_stack([np.ones(len(DATA)), DATA])
    loss = penalty * weights @ weights
    for x, label in zip(X, LABELS, strict=True):
        z = x @ weights
        p = 1 / (1 + np.exp(-z)) if z >= 0 else np.exp(z) / (1 + np.exp(z))
        loss -= label * np.log(p) + (1 - label) * np.log(1 - p)
    return loss


def newton_logistic(penalty):
    """Fitted weights as a function of the penalty."""
    X = np.column_stack([np.ones(len(DATA)), DATA])
    w = np.zeros(2)
    for _ in range(25):
        p = expit(X @ w)
        gradient = X.T @ (p - LABELS) + penalty * w
        hessian = X.T @ (X * (p * (1 - p))[:, None]) + penalty * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        w -= step
        if np.max(np.abs(step)) < 1e-12:
            break
    return w[1]


def mixture_em(start):
    """Expectation maximisation for two normal components."""
    means, weights = start.copy(), np.array([0.5, 0.5])
    for _ in range(10):
        density = weights * np.exp(-0.5 * (DATA[:, None] - means) ** 2)
        responsibility = density / density.sum(axis=1, keepdims=True)
        means = (responsibility * DATA[:, None]).sum(axis=0) / responsibility.sum(axis=0)
        weights = responsibility.mean(axis=0)
    return means[1] - means[0] + weights[0]


def kernel_density(x, bandwidth):
    density = 0.0
    for point in DATA:
        u = abs(x - point) / bandwidth
        if u < 1:
            density += 0.75 * (1 - u**2)
    return density / (len(DATA) * bandwidth)


def kalman(q, r):
    estimate, variance, loglik = 0.0, 1.0, 0.0
    for y in DATA:
        variance = variance + q
        innovation, s = y - estimate, variance + r
        gain = variance / s
        estimate = estimate + gain * innovation
        variance = (1 - gain) * variance
        loglik += stats.norm.logpdf(innovation, 0, np.sqrt(s))
    return loglik


def hidden_markov(stay, noise):
    transition = np.array([[stay, 1 - stay], [0.3, 0.7]])
    alpha = np.array([0.5, 0.5])
    loglik = 0.0
    for y in DATA:
        emission = np.exp(-0.5 * ((y - np.array([0.8, 2.0])) / noise) ** 2) / noise
        alpha = (alpha @ transition) * emission
        norm = alpha.sum()
        loglik += np.log(norm)
        alpha /= norm
    return loglik


def robust_mean(x, cutoff):
    """Huber's estimate by reweighting."""
    centre = np.median(x)
    for _ in range(60):
        r = np.abs(x - centre)
        w = np.ones_like(x)
        w[r > cutoff] = (cutoff / np.maximum(r, 1e-12))[r > cutoff]
        new = (w * x).sum() / w.sum()
        if abs(new - centre) < 1e-14:
            return new
        centre = new
    return centre


def bootstrap(x):
    rng = np.random.default_rng(11)
    means = []
    for _ in range(6):
        sample = x[rng.integers(0, len(x), size=len(x))]
        means.append(sample.mean())
    return np.std(means, ddof=1) + rng.permutation(x)[0] * rng.choice(x)


def metropolis(scale):
    """Accepted by comparison with uniform draws: piecewise smooth for a fixed seed."""
    rng = np.random.default_rng(5)
    x, total = 0.5, 0.0
    for _ in range(15):
        proposal = x + scale * rng.normal()
        if np.log(rng.uniform()) < 0.5 * (x**2 - proposal**2):
            x = proposal
        total += x**2
    return total / 15


def correlations(x, y):
    r = np.corrcoef(x, y)[0, 1]
    covariance = np.cov(np.stack([x, y]))
    z = (x - np.mean(x)) / np.std(x)
    slope = np.sum((x - x.mean()) * (y - y.mean())) / np.sum((x - x.mean()) ** 2)
    percentiles = np.percentile(y, [25, 75])
    return (
        np.arctanh(r) + covariance[0, 1] + (z**3).mean() + slope + percentiles[1] - percentiles[0] + np.nanmean(x * y)
    )


def weighted_histogram(x, weights):
    """Counts are steps of x; the weights are smooth."""
    counts, edges = np.histogram(x, bins=4, range=(0.0, 2.0), weights=weights)
    index = np.digitize(x, edges) - 1
    return counts @ counts + np.sum(x * index) + np.bincount(index, weights=weights, minlength=4).max()


def autoregression(phi, sigma):
    rng = np.random.default_rng(2)
    noise = sigma * rng.standard_normal(12)
    y = np.zeros(12)
    for t in range(1, 12):
        y[t] = phi * y[t - 1] + noise[t]
    return np.dot(y[1:], y[:-1]) / np.dot(y[:-1], y[:-1]) + y.var()


CASES = [
    Case(normal_likelihood, (1.3, 0.8)),
    Case(gamma_likelihood, (2.1, 1.4)),
    Case(special_functions, (np.array([0.4, 0.9, 1.3]),)),
    Case(black_scholes, (105.0, 0.25, 0.03, "call")),
    Case(distributions, (1.2, 0.9)),
    Case(logistic_regression, (np.array([-1.1, 0.9]), 0.1)),
    Case(newton_logistic, (0.3,)),
    Case(mixture_em, (np.array([0.7, 2.1]),)),
    Case(kernel_density, (1.3, 0.7)),
    Case(kalman, (0.3, 0.5)),
    Case(hidden_markov, (0.8, 0.6)),
    Case(robust_mean, (np.array([0.3, 0.9, 1.2, 0.5, 9.0]), 1.1)),
    Case(bootstrap, (np.array([0.3, 0.9, 1.2, 0.5, 2.0]),)),
    Case(metropolis, (0.9,)),
    Case(correlations, (np.array([0.3, 0.9, 1.2, 0.5]), np.array([1.0, 0.2, 2.2, 1.4]))),
    Case(weighted_histogram, (np.array([0.3, 0.9, 1.2, 1.8]), np.array([1.0, 0.2, 2.2, 1.4]))),
    Case(autoregression, (0.6, 0.8)),
]
