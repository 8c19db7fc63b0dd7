"""Statistics and finance: clusters, filters, and draws from a generator with a fixed seed."""

import math

import numpy as np

from ._program import Program


def noisy_clusters():
    rng = np.random.default_rng(5)
    centres = np.array([[0.0, 0.0], [4.0, 0.5], [1.0, 4.0]])
    return np.concatenate([c + 0.5 * rng.standard_normal((12, 2)) for c in centres])


def k_means(X, stretch):
    """Lloyd's algorithm: assignments by argmin, means by masks."""
    X = X * np.array([1.0, stretch])
    centroids = X[[0, 12, 24]]
    for _ in range(6):
        distances = np.linalg.norm(X[:, None, :] - centroids[None, :, :], axis=2)
        labels = np.argmin(distances, axis=1)
        new = np.zeros_like(centroids)
        for k in range(3):
            mask = labels == k
            new[k] = np.sum(X * mask[:, None], axis=0) / np.sum(mask)
        centroids = new
    return np.sum(np.min(np.sum((X[:, None, :] - centroids) ** 2, axis=2), axis=1))


def k_means_by_index(X):
    """The same by `X[labels == k].mean(axis=0)`, as everybody writes it."""
    centroids = X[:3].copy()
    for _ in range(8):
        labels = np.array([np.argmin([np.sum((x - c) ** 2) for c in centroids]) for x in X])
        for k in range(3):
            if np.any(labels == k):
                centroids[k] = X[labels == k].mean(axis=0)
    return np.sum((X - centroids[labels]) ** 2)


def observations():
    rng = np.random.default_rng(7)
    x, seen = 0.5, []
    for t in range(15):
        x = 0.5 * x + 2 * x / (1 + x**2) + math.cos(0.5 * t) + 0.3 * rng.standard_normal()
        seen.append(x**2 / 4 + 0.4 * rng.standard_normal())
    return np.array(seen)


SEEN = observations()


def particle_filter(gain, noise):
    """The log-likelihood under a fixed seed. Resampling is piecewise: the derivative is that of the ancestors drawn."""
    rng = np.random.default_rng(11)
    n = 50
    particles = rng.normal(0.5, 0.3, size=n)
    log_likelihood = 0.0
    for t, y in enumerate(SEEN):
        push = gain * particles / (1 + particles**2) + math.cos(0.5 * t)
        particles = 0.5 * particles + push + noise * rng.standard_normal(n)
        log_w = -0.5 * ((y - particles**2 / 4) / 0.4) ** 2 - math.log(0.4 * math.sqrt(2 * math.pi))
        biggest = log_w.max()
        w = np.exp(log_w - biggest)
        log_likelihood += biggest + np.log(w.mean())
        w /= w.sum()
        u = (np.arange(n) + rng.random()) / n
        ancestors = np.searchsorted(np.cumsum(w), u)
        ancestors = np.minimum(ancestors, n - 1)
        particles = particles[ancestors]
    return log_likelihood


def kalman_filter(q, r, velocity):
    """Constant velocity: predict, update, innovations' log-likelihood."""
    F = np.array([[1.0, 1.0], [0.0, 1.0]])
    H = np.array([[1.0, 0.0]])
    Q = q * np.array([[0.25, 0.5], [0.5, 1.0]])
    x, P = np.array([0.0, velocity]), np.eye(2)
    log_likelihood = 0.0
    for z in np.cumsum(1 + 0.1 * SEEN):
        x = F @ x
        P = F @ P @ F.T + Q
        innovation = z - H @ x
        S = H @ P @ H.T + r
        K = P @ H.T @ np.linalg.inv(S)
        x = x + K @ innovation
        P = (np.eye(2) - K @ H) @ P
        log_likelihood -= 0.5 * (innovation @ np.linalg.solve(S, innovation) + np.log(np.linalg.det(2 * np.pi * S)))
    return log_likelihood


def black_scholes_monte_carlo(S0, K, r, sigma, T):
    """A European call: one jump to the end, antithetic pairs."""
    rng = np.random.default_rng(0)
    Z = rng.standard_normal(20_000)
    Z = np.concatenate([Z, -Z])
    ST = S0 * np.exp((r - 0.5 * sigma**2) * T + sigma * np.sqrt(T) * Z)
    payoff = np.maximum(ST - K, 0.0)
    return np.exp(-r * T) * np.mean(payoff)


def asian_option(S0, sigma):
    """Paths written into a matrix, step by step; the generator draws inside the loop."""
    rng = np.random.default_rng(1)
    steps, paths = 12, 200
    S = np.zeros((steps + 1, paths))
    S[0] = S0
    for t in range(1, steps + 1):
        z = rng.standard_normal(paths)
        S[t] = S[t - 1] * np.exp(-0.5 * sigma**2 / steps + sigma * math.sqrt(1 / steps) * z)
    return np.clip(S[1:].mean(axis=0) - 100.0, 0, None).mean()


def queue(arrival_rate, service_rate):
    """Lindley's recursion for one server: the mean wait of 200 customers, times by inversion."""
    rng = np.random.default_rng(3)
    wait, total = 0.0, 0.0
    for _ in range(200):
        between = -math.log(1 - rng.random()) / arrival_rate
        service = -math.log(1 - rng.random()) / service_rate
        wait = max(0.0, wait + service - between)
        total += wait
    return total / 200


PATIENCE = 1.5


def queue_of_servers(service_time):
    """Two servers, the one that is free first serves; who would wait longer than PATIENCE walks away."""
    rng = np.random.default_rng(4)
    free = np.zeros(2)
    now, waits = 0.0, 0.0
    for _ in range(60):
        now += rng.exponential(1.0)
        service = service_time * rng.gamma(2.0, 0.5)
        server = int(np.argmin(free))
        start = max(now, free[server])
        if start - now > PATIENCE:
            continue
        waits += start - now
        free[server] = start + service
    return waits + 0.1 * free.max()


def random_walk_metropolis(scale):
    """A chain whose accepts are comparisons; its draws have a fixed seed."""
    rng = np.random.RandomState(2)
    x, samples = 0.0, []
    for _ in range(60):
        proposal = x + scale * rng.randn()
        log_ratio = 0.5 * (x**2 - proposal**2)
        if np.log(rng.rand()) < log_ratio:
            x = proposal
        samples.append(x)
    samples = np.array(samples)
    return samples[10:].var() + samples.mean()


def ornstein_uhlenbeck(theta, mu):
    """`np.random.seed` and the global generator, as in older scripts."""
    np.random.seed(12)
    x = np.zeros(100)
    for t in range(1, 100):
        x[t] = x[t - 1] + theta * (mu - x[t - 1]) * 0.1 + 0.3 * np.sqrt(0.1) * np.random.randn()
    return np.mean(x[50:] ** 2)


PROGRAMS = [
    Program(k_means, (noisy_clusters(), 1.2), step=1e-5),
    Program(k_means_by_index, (noisy_clusters()[::3],), step=1e-5),
    Program(particle_filter, (2.0, 0.3), value=1e-11, step=1e-7, gradient=1e-5),
    Program(kalman_filter, (0.1, 0.5, 1.0), value=1e-11, step=1e-4),
    Program(black_scholes_monte_carlo, (100.0, 105.0, 0.02, 0.25, 1.5), value=1e-11, step=1e-9, gradient=1e-5),
    Program(asian_option, (100.0, 0.3), step=1e-8, gradient=1e-5),
    Program(queue, (0.9, 1.0), step=1e-6),
    Program(queue_of_servers, (1.6,), step=1e-6),
    Program(random_walk_metropolis, (1.3,), step=1e-6),
    Program(ornstein_uhlenbeck, (0.7, 1.2)),
]
