"""The mathematics of HIPS/autograd's examples and tests, with plain `import numpy as np`.

Written anew from what they cover: each name says which example, or which part of NumPy or SciPy, it stands for. `PROGRAMS[name]`
is a function with its arguments; its result is an array, of which `scalar` makes the number that is differentiated.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
import scipy.signal
import scipy.special
import scipy.stats
from numpy.linalg import inv, norm, slogdet, solve
from scipy.special import expit, gammaln, logsumexp

RNG = np.random.default_rng(2026)

PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {}


def scalar(result):
    """One number that depends on every entry in its own way."""
    result = np.asarray(result)
    if np.iscomplexobj(result):
        return scalar(np.real(result)) + 0.7 * scalar(np.imag(result))
    return np.sum(np.sin(result) * np.cos(np.arange(result.size)).reshape(result.shape))


def program(*args):
    """Enters the function below it into the table, with these arguments."""

    def enter(function):
        PROGRAMS[function.__name__] = function, args
        return function

    return enter


def normal(*shape):
    return RNG.standard_normal(shape)


def uniform(low, high, *shape):
    return RNG.uniform(low, high, shape)


def positive_definite(n):
    A = normal(n, n)
    return A @ A.T + n * np.eye(n)


# -- the examples

X, Y = normal(12, 3), (normal(12) > 0).astype(float)


@program(normal(3))
def example_logistic_regression(weights):
    predictions = 0.5 * (np.tanh(np.dot(X, weights)) + 1)
    label_probabilities = predictions * Y + (1 - predictions) * (1 - Y)
    return -np.sum(np.log(label_probabilities))


@program(normal(2))
def example_rosenbrock(x):
    return (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2 / 100


@program(0.7)
def example_tanh(x):
    y = np.exp(-2.0 * x)
    return (1.0 - y) / (1.0 + y)


@program(0.9)
def example_sine_by_taylor(x):
    """A series until its terms are small."""
    current = result = x
    i = 1
    while np.abs(current) > 1e-12:
        current = -current * x**2 / ((2 * i) * (2 * i + 1))
        result = result + current
        i += 1
    return result


@program(0.9)
def example_define_gradient(x):
    """A log-sum-exp made safe by hand."""
    values = np.array([x, 2 * x, x**2])
    highest = np.max(values)
    return highest + np.log(np.sum(np.exp(values - highest)))


@program([(normal(3, 4), normal(4)), (normal(4, 2), normal(2))])
def example_neural_net(parameters):
    """Parameters in a list of pairs, a prior on them, cross-entropy."""
    inputs = X
    for W, b in parameters:
        outputs = np.dot(inputs, W) + b
        inputs = np.tanh(outputs)
    log_probabilities = outputs - logsumexp(outputs, axis=1, keepdims=True)
    log_prior = -sum(np.sum(W**2) + np.sum(b**2) for W, b in parameters) / 20
    return -log_prior - np.sum(log_probabilities[:, 0] * Y + log_probabilities[:, 1] * (1 - Y))


@program(normal(1 * 5 + 5 + 5 * 1 + 1))
def example_neural_net_regression(weights):
    """Parameters cut out of one vector."""
    inputs = np.linspace(-1, 1, 9)[:, None]
    targets = np.cos(3 * inputs)
    here, shapes = 0, [(1, 5), (5, 1)]
    for m, n in shapes:
        W = weights[here : here + m * n].reshape((m, n))
        b = weights[here + m * n : here + m * n + n].reshape((1, n))
        here += (m + 1) * n
        outputs = inputs @ W + b
        inputs = np.maximum(outputs, 0.1 * outputs)
    return np.sum((outputs - targets) ** 2) + 0.1 * np.dot(weights, weights)


@program({"x": 0.1 * normal(4, 5), "h": 0.3 * normal(5, 5), "start": normal(5), "out": normal(5, 3)})
def example_rnn(params):
    """Parameters in a dictionary; text as one-hot rows."""
    text = np.eye(4)[[0, 2, 1, 3, 3, 0, 1]]
    hidden = np.repeat(params["start"][None, :], 1, axis=0)
    loglik = 0.0
    for t in range(len(text) - 1):
        hidden = np.tanh(text[t] @ params["x"] + hidden @ params["h"])
        output = hidden @ params["out"]
        output = output - logsumexp(output, axis=1, keepdims=True)
        loglik += output[0, t % 3]
    return -loglik / (len(text) - 1)


@program(0.3 * normal(4, 7, 4), 0.3 * normal(4))
def example_lstm(gates, start):
    sequence = np.sin(np.arange(24.0)).reshape(8, 3)
    hidden, cell = start, np.zeros(4)
    losses = []
    for x in sequence:
        z = np.concatenate([x, hidden])
        change, forget, ingate, outgate = (z @ gates[i] for i in range(4))
        cell = cell * expit(forget) + expit(ingate) * np.tanh(change)
        hidden = expit(outgate) * np.tanh(cell)
        losses.append(np.sum((hidden - 0.1) ** 2))
    return np.mean(np.array(losses))


def rbf(params, x, xp):
    output_scale = np.exp(params[0])
    lengthscales = np.exp(params[1:])
    diffs = np.expand_dims(x / lengthscales, 1) - np.expand_dims(xp / lengthscales, 0)
    return output_scale * np.exp(-0.5 * np.sum(diffs**2, axis=2))


@program(normal(4))
def example_gaussian_process(params):
    """Its marginal likelihood."""
    mean, noise = params[0], np.exp(params[1]) + 0.001
    x = np.linspace(0, 4, 8)[:, None]
    y = np.sin(x[:, 0])
    K = rbf(params[2:], x, x) + noise * np.eye(len(y))
    L = np.linalg.cholesky(K)
    alpha = scipy.linalg.solve_triangular(L, y - mean, lower=True)
    return 0.5 * alpha @ alpha + np.sum(np.log(np.diag(L))) + 0.5 * len(y) * np.log(2 * np.pi)


@program(normal(3), np.array([[0.7], [2.2]]))
def example_gaussian_process_prediction(params, at):
    x, y = np.linspace(0, 4, 6)[:, None], np.cos(np.linspace(0, 4, 6))
    K = rbf(params[:2], x, x) + np.exp(params[2]) * np.eye(6)
    cross = rbf(params[:2], x, at)
    mean = cross.T @ solve(K, y)
    cov = rbf(params[:2], at, at) - cross.T @ solve(K, cross)
    return np.concatenate([mean, np.diag(cov)])


@program(np.array([0.3]), 0.4)
def example_bayesian_optimization(at, best):
    """Expected improvement below a Gaussian process."""
    x = np.array([[0.0], [0.5], [1.0]])
    y = np.array([0.2, 0.5, 0.1])
    params = np.array([0.0, -1.0])
    K = rbf(params, x, x) + 1e-4 * np.eye(3)
    k = rbf(params, x, at[None, :])[:, 0]
    mean, std = k @ solve(K, y), np.sqrt(1.0 - k @ solve(K, k) + 1e-4)
    z = (mean - best) / std
    return (mean - best) * scipy.stats.norm.cdf(z) + std * scipy.stats.norm.pdf(z)


@program({"log proportions": normal(3), "means": normal(3, 2), "lower triangles": 0.5 * normal(3, 2, 2) + np.eye(2)})
def example_gaussian_mixture(params):
    data = R_DATA
    normalized = params["log proportions"] - logsumexp(params["log proportions"])
    logliks = []
    for log_proportion, mean, lower in zip(normalized, params["means"], params["lower triangles"], strict=True):
        cov = lower @ lower.T + 0.1 * np.eye(2)
        logliks.append(log_proportion + scipy.stats.multivariate_normal.logpdf(data, mean, cov))
    return -np.sum(logsumexp(np.vstack(logliks), axis=0))


R_DATA = normal(9, 2)
NOISE = normal(6, 2)


@program(np.array([0.3, -0.2]), np.array([-0.5, 0.1]))
def example_black_box_svi(mean, log_std):
    """The evidence bound of a diagonal Gaussian with fixed draws."""
    samples = NOISE * np.exp(log_std) + mean
    x, y = samples[:, 0], samples[:, 1]
    log_density = scipy.stats.norm.logpdf(y, 0, 1.35) + scipy.stats.norm.logpdf(x, 0, np.exp(y / 2))
    entropy = 0.5 * len(mean) * (1.0 + np.log(2 * np.pi)) + np.sum(log_std)
    return entropy + np.mean(log_density)


@program(normal(3), normal(3, 2), 0.3 * normal(3, 2))
def example_mixture_variational_inference(logits, means, log_stds):
    weights = logits - logsumexp(logits)
    total = 0.0
    for k in range(3):
        samples = means[k] + np.exp(log_stds[k]) * NOISE
        components = []
        for weight, mean, log_std in zip(weights, means, log_stds, strict=True):
            log_density = scipy.stats.norm.logpdf(samples, mean, np.exp(log_std))
            components.append(weight + np.sum(log_density, axis=1))
        log_q = logsumexp(np.array(components), axis=0)
        log_p = -0.5 * np.sum(samples**2, axis=1) - 0.1 * (samples[:, 0] * samples[:, 1]) ** 2
        total += np.exp(weights[k]) * np.mean(log_p - log_q)
    return total


@program(normal(2), normal(2))
def example_natural_gradient(mean, log_std):
    """One step with the Fisher information of a diagonal Gaussian."""
    fisher = np.diag(np.concatenate([np.exp(-2 * log_std), 2 * np.ones(2)]))
    slope = np.concatenate([mean * (1 + mean**2), np.exp(2 * log_std) - 1])
    return np.concatenate([mean, log_std]) - 0.1 * solve(fisher, slope)


@program(normal(4, 2), 0.4 * normal(2, 3), 0.4 * normal(3, 4))
def example_variational_autoencoder(images_code, encoder, decoder):
    """Bernoulli likelihood, closed-form divergence, noise given."""
    hidden = np.tanh(images_code @ encoder)
    mean, log_std = hidden[:, :2], hidden[:, 1:]
    z = mean + np.exp(log_std) * NOISE[:4]
    logits = np.hstack([z, np.ones((4, 1))]) @ decoder
    images = (np.arange(16).reshape(4, 4) % 3 == 0).astype(float)
    log_likelihood = -np.logaddexp(0, -logits * (2 * images - 1))
    divergence = 0.5 * np.sum(np.exp(2 * log_std) + mean**2 - 1 - 2 * log_std, axis=-1)
    return np.mean(np.sum(log_likelihood, axis=1) - divergence)


@program(np.array([0.5, -1.0, 1.5]), normal(4, 3), normal(4, 1))
def example_generative_adversarial_net(code, generator, discriminator):
    fake = np.tanh(generator @ code)
    leaky = lambda x: np.where(x > 0.01, x, 0.2 * x + 0.008)
    logit_fake = leaky(fake) @ discriminator
    logit_real = leaky(np.ones(4)) @ discriminator
    return -np.logaddexp(0, -logit_real) - np.logaddexp(0, logit_fake)


@program(0.3 * normal(2, 2, 3, 3), 0.3 * normal(2 * 3 * 3, 2))
def example_convnet(kernels, readout):
    """Convolutions by sliding windows, pooling by reshape and max, softmax."""
    image = np.sin(np.arange(2 * 8 * 8.0)).reshape(2, 8, 8)
    windows = np.array([[image[:, i : i + 3, j : j + 3] for j in range(6)] for i in range(6)])
    maps = np.einsum("ijcab,kcab->kij", windows, kernels)
    pooled = np.max(np.max(maps.reshape(2, 3, 2, 3, 2), axis=4), axis=2)
    features = np.maximum(pooled.reshape(-1), 0) + 0.1 * pooled.reshape(-1)
    logits = features @ readout
    return logits[0] - logsumexp(logits)


@program(normal(2, 2))
def example_convolution(kernel):
    image = np.cos(np.arange(20.0)).reshape(4, 5)
    return scipy.signal.convolve2d(image, kernel, mode="valid")


def projected(vx, vy):
    """The divergence taken out by Gauss-Seidel-like sweeps."""
    p = np.zeros(vx.shape)
    h = 1.0 / vx.shape[0]
    div = (
        -0.5 * h * (np.roll(vx, -1, axis=0) - np.roll(vx, 1, axis=0) + np.roll(vy, -1, axis=1) - np.roll(vy, 1, axis=1))
    )
    for _ in range(6):
        p = (
            div + np.roll(p, 1, axis=0) + np.roll(p, -1, axis=0) + np.roll(p, 1, axis=1) + np.roll(p, -1, axis=1)
        ) / 4.0
    vx = vx - 0.5 * (np.roll(p, -1, axis=0) - np.roll(p, 1, axis=0)) / h
    vy = vy - 0.5 * (np.roll(p, -1, axis=1) - np.roll(p, 1, axis=1)) / h
    return vx, vy


def advected(f, vx, vy):
    """Bilinear look-up upstream: floors as indices, fractions as weights."""
    rows, cols = f.shape
    cell_ys, cell_xs = np.meshgrid(np.arange(cols), np.arange(rows))
    center_xs, center_ys = (cell_xs - vx).ravel(), (cell_ys - vy).ravel()
    left_ix, top_ix = np.floor(center_xs).astype(int), np.floor(center_ys).astype(int)
    rw, bw = center_xs - left_ix, center_ys - top_ix
    left_ix, right_ix = np.mod(left_ix, rows), np.mod(left_ix + 1, rows)
    top_ix, bot_ix = np.mod(top_ix, cols), np.mod(top_ix + 1, cols)
    flat = (1 - rw) * ((1 - bw) * f[left_ix, top_ix] + bw * f[left_ix, bot_ix])
    flat = flat + rw * ((1 - bw) * f[right_ix, top_ix] + bw * f[right_ix, bot_ix])
    return np.reshape(flat, (rows, cols))


@program(uniform(0.3, 0.7, 6, 6), uniform(-0.7, -0.3, 6, 6))
def example_fluid_simulation(vx, vy):
    smoke = np.exp(-((np.arange(6.0)[:, None] - 2) ** 2 + (np.arange(6.0) - 3) ** 2) / 4)
    for _ in range(3):
        vx_updated, vy_updated = advected(vx, vx, vy), advected(vy, vx, vy)
        vx, vy = projected(vx_updated, vy_updated)
        smoke = advected(smoke, vx, vy)
    return smoke


@program(0.4 * normal(2, 6), 0.4 * normal(6, 2))
def example_neural_ode(inner, outer):
    """A spiral's dynamics by a network, with Runge-Kutta steps."""
    f = lambda y: np.tanh(y**3 @ inner) @ outer
    y = np.array([1.0, 0.2])
    loss = 0.0
    for t in np.linspace(0.0, 1.0, 11)[:-1]:
        k1 = f(y)
        k2 = f(y + 0.05 * k1)
        k3 = f(y + 0.05 * k2)
        k4 = f(y + 0.1 * k3)
        y = y + 0.1 / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        loss += np.mean(np.abs(y - np.array([np.cos(t) + 2.0, np.sin(t) - 2.0]))) / 10
    return loss


@program(normal(7), 0.5 * normal(4, 1))
def example_deep_gaussian_process(params, hidden):
    """One layer's hidden points under a Gaussian process, the data under the next."""
    x, y = np.linspace(0, 1, 4)[:, None], np.array([0.1, 0.4, 0.2, -0.3])
    total = 0.0
    for inputs, targets, p in [(x, hidden[:, 0], params[:3]), (hidden, y, params[3:6])]:
        cov = rbf(p[:2], inputs, inputs) + (np.exp(p[2]) + 0.01) * np.eye(4)
        total = total + scipy.stats.multivariate_normal.logpdf(targets, np.full(4, params[6]), cov)
    return -total


@program(normal(5, 2), normal(3))
def example_gplvm(latents, params):
    data = np.cos(np.arange(10.0)).reshape(5, 2)
    cov = rbf(params, latents, latents) + 0.1 * np.eye(5)
    sign, logdet = slogdet(cov)
    return 0.5 * np.trace(data.T @ inv(cov) @ data) + logdet + 0.5 * np.sum(latents**2)


@program(normal(3, 3) + 2 * np.eye(3))
def example_ica(W):
    z = np.dot(R_ICA, W.T)
    log_source = -np.log(np.cosh(z))
    return np.sum(log_source) + len(z) * np.log(np.abs(np.linalg.det(W)))


R_ICA = normal(10, 3)


@program(2.0, 0.6)
def example_negative_binomial(r, p):
    counts = np.array([0, 1, 3, 2, 5, 0, 1])
    return np.sum(gammaln(r + counts) - gammaln(r) - gammaln(counts + 1) + counts * np.log(p) + r * np.log(1 - p))


@program(normal(3), normal(3, 3), normal(3, 4))
def example_hmm(start, transitions, emissions):
    """The forward algorithm in logarithms."""
    log_start = start - logsumexp(start)
    log_trans = transitions - logsumexp(transitions, axis=1, keepdims=True)
    log_emit = emissions - logsumexp(emissions, axis=1, keepdims=True)
    alpha = log_start + log_emit[:, 0]
    for seen in [2, 1, 3, 3, 0, 2]:
        alpha = logsumexp(alpha[:, np.newaxis] + log_trans, axis=0) + log_emit[:, seen]
    return logsumexp(alpha)


@program(5.0)
def example_fixed_points(a):
    """A square root by Newton's iteration, until it stands."""
    x, previous = a / 2, 0.0
    while abs(x - previous) > 1e-12:
        previous = x
        x = 0.5 * (x + a / x)
    return x


@program(normal(3), normal(3))
def example_rkhs(alphas, at):
    """A sum of kernels, looked up at points."""
    points = np.array([0.0, 1.0, 2.5])
    kernel = lambda x, y: np.exp(-((x - y) ** 2))
    return np.array([sum(a * kernel(x, p) for a, p in zip(alphas, points, strict=True)) for x in at])


@program(normal(4))
def example_dot_graph(x):
    return np.dot(x, x) + np.tanh(x[0] * x[-1])


@program(normal(3))
def example_nonlinear_constraint(x):
    """The augmented Lagrangian of a constraint."""
    violation = np.maximum(0.0, x[0] ** 2 + np.exp(x[1]) - 2.0 * np.cos(x[2]) - 0.5)
    return x @ x + 3.0 * violation + 5.0 * violation**2


@program(normal(3), 0.1)
def example_optimizers(x, rate):
    """Adam inside the program."""
    m, v = np.zeros(len(x)), np.zeros(len(x))
    for i in range(20):
        g = 2 * (x - np.array([1.0, -1.0, 0.5])) + 0.1 * np.cos(x)
        m = 0.1 * g + 0.9 * m
        v = 0.001 * g**2 + 0.999 * v
        mhat = m / (1 - 0.9 ** (i + 1))
        vhat = v / (1 - 0.999 ** (i + 1))
        x = x - rate * mhat / (np.sqrt(vhat) + 1e-8)
    return x


@program(normal(6, 3))
def example_principal_components(data):
    centred = data - data.mean(axis=0)
    _, s, _ = np.linalg.svd(centred, full_matrices=False)
    return s[:2] ** 2 / np.sum(s**2)


# -- its tests: elementwise

UNARY = {
    "sin cos exp exp2 expm1 sinh cosh tanh arctan arcsinh square negative sinc": (-2.0, 2.0),
    "tan": (-1.1, 1.1),
    "arcsin arccos arctanh": (-0.9, 0.9),
    "log log2 log10 log1p sqrt cbrt reciprocal abs absolute fabs": (0.2, 2.0),
    "arccosh": (1.1, 4.0),
    "deg2rad rad2deg degrees radians": (-60.0, 60.0),
    "real conj nan_to_num positive": (-2.0, 2.0),
}
for names, (low, high) in UNARY.items():
    for name in names.split():
        PROGRAMS[f"unary_{name}"] = getattr(np, name), (uniform(low, high, 2, 3),)

BINARY = {
    "add subtract multiply maximum minimum fmax fmin logaddexp logaddexp2 arctan2 hypot": (-2.0, 2.0),
    "divide true_divide power float_power": (0.5, 2.0),
    "mod remainder fmod": (0.4, 3.0),
}
for names, (low, high) in BINARY.items():
    for name in names.split():
        PROGRAMS[f"binary_{name}"] = getattr(np, name), (uniform(low, high, 2, 3), uniform(low, high, 3))

OPERATORS = {
    "operators_of_numbers": (lambda x, y: x + y - x * y / (1 + x) + x**y - -y + abs(x), (0.7, 1.3)),
    "operators_from_the_right": (lambda x: 2 + (3 - x) * 1.5 / x + 2.0**x + 5 % x, (1.7,)),
    "operators_of_arrays": (lambda x, y: (x + y[0]) * y - x / (y**2 + 1) + x**3, (normal(3), normal(3))),
    "remainder_of_arrays": (lambda x, y: x % y + 7.3 % y, (uniform(2, 5, 3), uniform(0.7, 1.9, 3))),
    "floor_division": (lambda x, y: x * (x // y), (7.3, 2.1)),
    "matmul_operator": (lambda A, x: A @ x @ A, (normal(3, 3), normal(3))),
    "divmod_builtin": (lambda x, y: divmod(x, y)[1] * x, (7.3, 2.1)),
    "builtin_pow_and_sum": (lambda x: pow(x, 3) + sum([x, 2 * x]) + max(x, 0.1) + min(x, 3.0), (0.7,)),
    "builtins_over_arrays": (lambda x: sum(x**2) * max(x) - min(x), (normal(4),)),
    "comparisons_choose": (lambda x, y: np.where((x > y) & ~(x < 0) | (y <= -1), x * y, x - y), (normal(5), normal(5))),
    "math_functions": (lambda x: math.sin(x) + math.exp(x) * math.log(x) + math.sqrt(x) + math.atan2(x, 2.0), (0.7,)),
    "math_special": (lambda x: math.erf(x) + math.lgamma(x) + math.hypot(x, 1.0) + math.pow(x, 1.5), (0.7,)),
}
PROGRAMS.update(OPERATORS)

# -- its tests: arrays

PROGRAMS.update(
    {
        "sum_over_axes": (lambda x: np.sum(x, axis=(0, 2)) + np.sum(x, 1, keepdims=True)[0, 0, 0], (normal(2, 3, 4),)),
        "prod": (lambda x: np.prod(x, axis=0), (normal(3, 4),)),
        "mean_var_std": (lambda x: np.mean(x, axis=1) + np.var(x, axis=1, ddof=1) + np.std(x), (normal(3, 4),)),
        "max_min_of_axes": (lambda x: np.max(x, axis=0) * np.min(x, axis=0) + np.max(x), (normal(3, 4),)),
        "amax_amin_ptp": (lambda x: np.amax(x) * np.amin(x, axis=1) + np.ptp(x, axis=1), (normal(3, 4),)),
        "cumsum_cumprod": (
            lambda x: np.cumsum(x, axis=1) + np.cumprod(x, axis=0) + np.cumsum(x).reshape(3, 4),
            (normal(3, 4),),
        ),
        "average_with_weights": (lambda x, w: np.average(x, axis=0, weights=w), (normal(3, 4), uniform(0.1, 1, 3))),
        "median_and_percentiles": (lambda x: np.median(x, axis=0) + np.percentile(x, 30, axis=0), (normal(5, 3),)),
        "sort_and_partition": (lambda x: np.sort(x)[1:3] + np.partition(x, 2)[2] * np.sort(x[::-1])[-1], (normal(7),)),
        "argsort_as_index": (lambda x: x[np.argsort(x)] * np.arange(5), (normal(5),)),
        "argmax_as_index": (lambda x: x[np.argmax(x)] ** 2 + x[np.argmin(x)], (normal(5),)),
        "reshape_orders": (lambda x: np.reshape(x, (4, 3), order="F") * x.reshape(-1, 3), (normal(3, 4),)),
        "ravel_and_flatten": (lambda x: np.ravel(x) * x.flatten() + np.ravel(x, order="F"), (normal(3, 4),)),
        "transpose_with_axes": (lambda x: np.transpose(x, (2, 0, 1)) + x.T.reshape(4, 2, 3), (normal(2, 3, 4),)),
        "swap_move_roll_axes": (
            lambda x: (
                np.moveaxis(x, 0, -1) + np.swapaxes(x, 0, 1).reshape(3, 4, 2) + np.rollaxis(x, 2).reshape(3, 4, 2)
            ),
            (normal(2, 3, 4),),
        ),
        "squeeze_expand": (
            lambda x: np.squeeze(np.expand_dims(x, 0) * x[..., None].squeeze(-1), axis=0),
            (normal(3, 4),),
        ),
        "concatenate": (lambda x, y: np.concatenate((x, y, x), axis=1), (normal(2, 3), normal(2, 2))),
        "stacks": (
            lambda x, y: np.stack([x, y], axis=1) @ np.vstack([x, y]) + np.hstack([x, y]).sum(),
            (normal(3), normal(3)),
        ),
        "column_row_stack": (
            lambda x, y: np.column_stack([x, y]) + np.dstack([x, y])[0] * np.vstack([x, y]).T,
            (normal(3), normal(3)),
        ),
        "append": (lambda x, y: np.append(x, y, axis=0) * np.append(x, y).reshape(3, 3), (normal(2, 3), normal(1, 3))),
        "splits": (
            lambda x: np.split(x, 2, axis=1)[1] * np.array_split(x, [2], axis=1)[0] + np.hsplit(x, 2)[0],
            (normal(3, 4),),
        ),
        "vsplit": (lambda x: np.vsplit(x, 2)[0] ** 2 - np.vsplit(x, 2)[1], (normal(4, 3),)),
        "tile_and_repeat": (
            lambda x: np.tile(x, (2, 2)) * np.repeat(np.repeat(x, 2, axis=0), [2, 2, 2], axis=1),
            (normal(2, 3),),
        ),
        "pad": (lambda x: np.pad(x, ((1, 2), (0, 1)), mode="constant"), (normal(2, 3),)),
        "flips": (lambda x: np.flipud(x) + np.fliplr(x) * np.flip(x) + np.rot90(x, 2), (normal(3, 3),)),
        "roll": (lambda x: np.roll(x, 2, axis=1) * np.roll(x, -1), (normal(3, 4),)),
        "clip": (lambda x: np.clip(x, -0.5, 0.8) * x, (normal(3, 4),)),
        "where_of_three": (lambda x, y: np.where(x > 0.1, x**2, y), (normal(3, 4), normal(4))),
        "select_and_piecewise": (lambda x: np.select([x > 0.5, x > -0.5], [x**2, 2 * x], default=-x), (normal(6),)),
        "diff_and_gradient": (
            lambda x: np.diff(x, n=2, axis=0) + np.gradient(x[:, 0])[:3, None] + np.diff(x)[:3, :1],
            (normal(5, 3),),
        ),
        "cross": (lambda x, y: np.cross(x, y), (normal(2, 3), normal(2, 3))),
        "outer_inner_kron": (
            lambda x, y: np.outer(x, y) * np.inner(x, y) + np.kron(x, y).reshape(3, 3),
            (normal(3), normal(3)),
        ),
        "trace_diag": (
            lambda x: np.trace(x) + np.diag(x) * np.diagonal(x) + np.trace(x, offset=1) * np.diag(x, -1)[0],
            (normal(3, 3),),
        ),
        "diag_made": (lambda x: np.diag(x) + np.diag(x[:-1], k=1) + np.diagflat(x), (normal(4),)),
        "tril_triu": (lambda x: np.tril(x, -1) @ np.triu(x) + np.tri(3) * x, (normal(3, 3),)),
        "tensordot": (
            lambda x, y: np.tensordot(x, y, axes=([1, 0], [0, 1])) + np.tensordot(x, y, 1)[0, 0, 0],
            (normal(2, 3), normal(3, 2, 4)),
        ),
        "dot_of_every_rank": (
            lambda A, x, c: np.dot(A, x) * np.dot(c, x)[:1] + np.dot(x, x) + np.dot(np.dot(A, A.T), np.dot(A, x)),
            (normal(2, 3), normal(3), 0.4),
        ),
        "matmul_of_stacks": (lambda A, B: np.matmul(A, B), (normal(4, 2, 3), normal(3, 2))),
        "vdot_and_multi_dot": (
            lambda A, B: np.linalg.multi_dot([A, B, A]) * np.vdot(A, B.T),
            (normal(2, 3), normal(3, 2)),
        ),
        "einsum_transpose": (lambda x: np.einsum("ij->ji", x) @ x, (normal(3, 4),)),
        "einsum_three": (
            lambda x, y, z: np.einsum("ijk,lji,lli->lki", x, y, z),
            (normal(3, 2, 2), normal(2, 2, 3), normal(2, 2, 3)),
        ),
        "einsum_ellipsis_and_trace": (
            lambda x, y: np.einsum("...jk,...lj->...lk", x, y) + np.einsum("iij->j", x),
            (normal(3, 3, 3), normal(3, 3, 3)),
        ),
        "indexing": (lambda x: x[1] * x[0, 2] + x[-1, ::-1] + x[1:, 1:].sum() + x[..., 2].sum(), (normal(3, 4),)),
        "index_by_lists": (
            lambda x: x[[0, 2, 0], [1, 1, 3]] * x[[1]].sum() + x[np.array([0, 1, 1])][:, 0],
            (normal(3, 4),),
        ),
        "index_by_booleans": (
            lambda x: x[np.array([True, False, True])] * x[:, np.array([0, 3])].sum(),
            (normal(3, 4),),
        ),
        "index_by_a_condition": (lambda x: np.sum(x[x > 0] ** 2), (normal(3, 4),)),
        "index_with_newaxis": (lambda x: x[:, None] - x[np.newaxis, :], (normal(4),)),
        "ix_and_take": (lambda x: x[np.ix_([0, 2], [1, 3])] * np.take(x, [0, 1], axis=1)[:2], (normal(3, 4),)),
        "broadcasting": (lambda x, y: np.broadcast_to(x, (2, 3, 4)) * y[:, None, None] + x, (normal(3, 4), normal(2))),
        "atleast": (lambda x: np.atleast_3d(x) + np.atleast_2d(x[0]) + np.atleast_1d(x[0, 0]), (normal(3, 3),)),
        "array_of_lists": (lambda x, y: np.array([[x, y], [x * y, 1.0]]) @ np.array([x, 2.0]), (0.4, 1.7)),
        "array_of_arrays": (lambda x: np.array([x, 2 * x, np.sin(x)]).T @ np.array([x[0], 1.0, x[1]]), (normal(3),)),
        "made_like": (
            lambda x: np.ones_like(x) * x + np.zeros_like(x) + np.full_like(x, 2.5) * x + np.empty_like(x) * 0,
            (normal(3),),
        ),
        "linspace_and_full": (lambda a, b: np.linspace(a, b, 5) + np.full(5, a), (0.4, 1.7)),
        "meshgrid": (lambda x, y: np.meshgrid(x, y)[0] * np.meshgrid(x, y)[1], (normal(3), normal(4))),
        "casts": (lambda x: x.astype(float) * np.asarray(x, dtype=np.float64) + np.float64(2) * x, (normal(3),)),
        "methods": (
            lambda x: x.sum(axis=0) + x.mean() * x.max(0) + x.dot(x.T).trace() + x.prod() + x.std(axis=0),
            (normal(3, 4),),
        ),
        "methods_of_shape": (
            lambda x: x.reshape(4, 3).T.ravel() * x.transpose().flatten() + x.swapaxes(0, 1).repeat(1),
            (normal(3, 4),),
        ),
        "attributes": (lambda x: x * x.ndim + x.shape[0] * x.size * x.T.T + len(x), (normal(3, 4),)),
        "iteration": (lambda x: sum(row @ row * i for i, row in enumerate(x)), (normal(3, 4),)),
        "nan_functions": (lambda x: np.nansum(x, axis=0) + np.nanmean(x), (normal(3, 4),)),
        "interp": (lambda x, y: np.interp(x, np.linspace(-3, 3, 5), y), (uniform(-2, 2, 4), normal(5))),
        "convolve": (lambda x, y: np.convolve(x, y) + np.convolve(x, y, mode="same").sum(), (normal(6), normal(3))),
        "correlate_and_corrcoef": (
            lambda x, y: np.correlate(x, y, "valid") + np.corrcoef(x[:3], y)[0, 1],
            (normal(6), normal(3)),
        ),
        "cov": (lambda x: np.cov(x), (normal(3, 5),)),
        "polyval_and_trapezoid": (
            lambda c, x: np.polyval(c, x) + np.trapezoid(np.polyval(c, x), x),
            (normal(4), np.sort(normal(5))),
        ),
        "vander_and_polynomial": (lambda x: np.vander(x, 4) @ np.array([1.0, 0.5, -0.2, 2.0]), (normal(4),)),
        "histogram_like_digitize": (lambda x: x * np.digitize(x, [-1.0, 0.0, 1.0]), (normal(5),)),
        "isclose_and_logic": (
            lambda x: x * np.logical_and(x > 0, np.isfinite(x)) + np.any(x > 9) * x + np.all(x < 9) * x,
            (normal(5),),
        ),
        "sign_ceil_floor_round": (
            lambda x: x * (np.sign(x) + np.ceil(x) - np.floor(x) + np.round(x) + np.trunc(x)),
            (normal(5),),
        ),
    }
)

# -- its tests: linear algebra, transforms, complex numbers

MATRIX, SPD = normal(3, 3) + 3 * np.eye(3), positive_definite(3)

PROGRAMS.update(
    {
        "linalg_inv": (lambda A: np.linalg.inv(A), (MATRIX,)),
        "linalg_inv_of_stacks": (lambda A: np.linalg.inv(A), (0.5 * normal(2, 3, 3) + 3 * np.eye(3),)),
        "linalg_pinv": (lambda A: np.linalg.pinv(A), (normal(4, 3),)),
        "linalg_det": (lambda A: np.linalg.det(A), (MATRIX,)),
        "linalg_slogdet": (lambda A: np.linalg.slogdet(A)[1] * np.linalg.slogdet(A)[0], (MATRIX,)),
        "linalg_solve_vector": (lambda A, b: np.linalg.solve(A, b), (MATRIX, normal(3))),
        "linalg_solve_matrix": (lambda A, b: np.linalg.solve(A, b), (MATRIX, normal(3, 2))),
        "linalg_norm_vector": (lambda x: norm(x) + norm(x, 1) + norm(x, np.inf) + norm(x, ord=3), (normal(5),)),
        "linalg_norm_matrix": (
            lambda A: norm(A) + norm(A, "fro") + norm(A, axis=1).sum() + norm(A, ord=1),
            (normal(3, 4),),
        ),
        "linalg_norm_nuclear": (lambda A: norm(A, "nuc") + norm(A, 2), (normal(3, 4),)),
        "linalg_cholesky": (lambda A: np.linalg.cholesky((A + A.T) / 2), (SPD,)),
        "linalg_eigh": (lambda A: np.linalg.eigh((A + A.T) / 2)[0], (SPD,)),
        "linalg_eigh_vectors": (lambda A: np.linalg.eigh((A + A.T) / 2)[1] ** 2, (SPD,)),
        "linalg_eigvalsh": (lambda A: np.linalg.eigvalsh((A + A.T) / 2), (SPD,)),
        "linalg_eig": (lambda A: np.sum(np.abs(np.linalg.eig(A)[0]) ** 2), (MATRIX,)),
        "linalg_qr": (lambda A: np.abs(np.linalg.qr(A)[1]), (normal(4, 3),)),
        "linalg_svd": (lambda A: np.linalg.svd(A, full_matrices=False)[1], (normal(4, 3),)),
        "linalg_svd_vectors": (
            lambda A: np.abs(np.linalg.svd(A, full_matrices=False)[0] @ np.linalg.svd(A, full_matrices=False)[2]),
            (normal(4, 3),),
        ),
        "linalg_matrix_power": (lambda A: np.linalg.matrix_power(A, 3), (normal(3, 3),)),
        "linalg_lstsq": (lambda A, b: np.linalg.lstsq(A, b, rcond=None)[0], (normal(5, 3), normal(5))),
        "linalg_expm": (lambda A: scipy.linalg.expm(A), (0.5 * normal(3, 3),)),
        "linalg_solve_triangular": (
            lambda A, b: scipy.linalg.solve_triangular(A, b, lower=True, trans=1),
            (MATRIX, normal(3)),
        ),
        "linalg_scipy_solve_and_cholesky": (
            lambda A, b: scipy.linalg.cho_solve(scipy.linalg.cho_factor((A + A.T) / 2), b),
            (SPD, normal(3)),
        ),
        "linalg_block_diag": (lambda A, B: scipy.linalg.block_diag(A, B), (normal(2, 2), normal(1, 2))),
        "fft": (lambda x: np.fft.fft(x), (normal(6),)),
        "fft_inverse_of_complex": (lambda x, y: np.fft.ifft(x + 1j * y), (normal(6), normal(6))),
        "fft_axes_and_padding": (lambda x: np.fft.fft(x, n=5, axis=0), (normal(4, 2),)),
        "fft_real": (lambda x: np.fft.irfft(np.fft.rfft(x) * np.arange(4), 6), (normal(6),)),
        "fft_two_dimensions": (lambda x: np.fft.ifft2(np.fft.fft2(x) * np.exp(1j * np.arange(4))), (normal(3, 4),)),
        "fft_many_dimensions": (lambda x: np.fft.fftn(x), (normal(2, 3, 2),)),
        "fft_shift": (lambda x: np.fft.fftshift(np.fft.fft(x)) * np.fft.ifftshift(np.fft.fftfreq(5)), (normal(5),)),
        "complex_arithmetic": (lambda x, y: (x + 1j * y) ** 2 / (1 + 0.5j * x), (normal(3), normal(3))),
        "complex_parts": (
            lambda x, y: np.real((x + 1j * y) * np.conj(x - 2j * y)) + np.imag(np.exp(1j * x)),
            (normal(3), normal(3)),
        ),
        "complex_modulus_and_angle": (lambda x, y: np.abs(x + 1j * y) * np.angle(x + 1j * y), (normal(3), normal(3))),
        "complex_functions": (lambda x: np.sqrt(x + 1j) + np.log(x + 2j) + np.sin(1j * x), (normal(3),)),
        "complex_attributes": (
            lambda x: (np.exp(1j * x).real * np.exp(2j * x).imag) + (1j * x).conj().imag,
            (normal(3),),
        ),
        "complex_builtin": (
            lambda x, y: abs(complex(x, y)) + complex(x, y).real * complex(y, 1.0).conjugate().imag,
            (0.4, 1.7),
        ),
    }
)

# -- its tests: containers


@program([normal(3), normal(2, 2), 0.7])
def list_as_an_argument(params):
    total = 0.0
    for p in params:
        total = total + np.sum(np.sin(p))
    return total + params[-1] ** 2


@program((normal(3), (0.5, normal(2))))
def tuples_in_a_tuple(params):
    x, (c, y) = params
    return np.sum(x**2) * c + np.prod(y)


@program({"item_1": normal(3), "item_2": {"x": 0.4, "y": normal(2)}})
def dictionary_as_an_argument(params):
    total = np.sum(params["item_1"] ** 2)
    for key, value in params["item_2"].items():
        total += len(key) * np.sum(value) ** 2
    return total


@program(normal(4))
def list_built_and_read(x):
    values = []
    for i in range(4):
        values.append(x[i] ** 2)
        values.insert(0, i * x[i])
    values.extend([x.sum()] * 2)
    last = values.pop()
    values[1] = last * values[2]
    return np.array(values[::-1])


@program(normal(3), 0.5)
def dictionary_built_and_read(x, c):
    parts = {"a": x, "b": c}
    parts["c"] = parts["a"] * parts["b"]
    parts.update(d=np.sum(parts["c"]))
    return sum(np.sum(v) * (i + 1) for i, v in enumerate(parts.values())) + parts.get("e", c)


@program(normal(3))
def tuple_built_and_read(x):
    pair = (x, 2 * x)
    a, b = pair + (x**2,)[:0]
    return a * b + pair[-1]


@program(normal(3))
def result_by_keyword(x, *, power=3, scale=0.5):
    def f(y, power=2, **options):
        return options["scale"] * y**power

    return f(x, power=power, scale=scale)


@program(normal(3))
def jacobian_by_hand(x):
    """Forward differences inside: a function of a function."""

    def jacobian(f, x, h=1e-3):
        rows = [(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(len(x))]
        return np.stack(rows, axis=1)

    return np.linalg.det(jacobian(lambda y: np.array([y[0] * y[1], np.sin(y[2]), y.sum() ** 2]), x))


@program(0.8)
def higher_order_by_loop(x):
    y = x
    for _ in range(5):
        y = np.sin(y) * x + 0.1
    return y


@program(normal(4))
def piecewise_by_elements(x):
    out = []
    for v in x:
        if v > 0.5:
            out.append(v**2)
        elif v > -0.5:
            out.append(v)
        else:
            out.append(-(v**3))
    return np.array(out)


# -- its tests: scipy

POSITIVE = uniform(1.2, 3.0, 4)
STATS = scipy.stats

PROGRAMS.update(
    {
        **{
            f"special_{name}": (getattr(scipy.special, name), (uniform(0.4, 1.9, 4),))
            for name in "gamma gammaln digamma psi erf erfc expit i0 i1".split()
        },
        **{
            f"special_{name}": (getattr(scipy.special, name), (uniform(0.1, 0.9, 4),))
            for name in "logit erfinv ndtr ndtri log_ndtr".split()
        },
        "special_beta": (lambda a, b: scipy.special.beta(a, b), (POSITIVE, uniform(1, 2, 4))),
        "special_betaln": (lambda a, b: scipy.special.betaln(a, b), (POSITIVE, uniform(1, 2, 4))),
        "special_betainc": (lambda x: scipy.special.betainc(1.5, 2.5, x), (uniform(0.1, 0.9, 4),)),
        "special_gammainc": (
            lambda x: scipy.special.gammainc(1.5, x) + scipy.special.gammaincc(2.0, x) ** 2,
            (POSITIVE,),
        ),
        "special_polygamma": (lambda x: scipy.special.polygamma(1, x), (POSITIVE,)),
        "special_multigammaln": (lambda a: scipy.special.multigammaln(a, 2), (uniform(4, 5, 3),)),
        "special_logsumexp": (
            lambda x, b: logsumexp(x, axis=1, b=b, keepdims=True),
            (normal(3, 4), uniform(0.5, 2, 3, 4)),
        ),
        "special_softmax": (
            lambda x: scipy.special.softmax(x, axis=0) + scipy.special.log_softmax(x, axis=1),
            (normal(3, 4),),
        ),
        "special_xlogy_entr": (
            lambda x, y: scipy.special.xlogy(x, y) + scipy.special.entr(y),
            (POSITIVE, uniform(0.5, 2, 4)),
        ),
        "special_i0e": (lambda x: scipy.special.i0e(x) + scipy.special.i1e(x), (POSITIVE,)),
        "stats_norm_pdf": (
            lambda x, m, s: STATS.norm.pdf(x, m, s) + STATS.norm.logpdf(x, loc=m, scale=s),
            (normal(4), normal(4), POSITIVE),
        ),
        "stats_norm_cdf": (
            lambda x, m, s: STATS.norm.cdf(x, m, s) + STATS.norm.logcdf(x, m, s) + STATS.norm.sf(x, m, s),
            (normal(3, 4), normal(4), POSITIVE),
        ),
        "stats_norm_ppf": (lambda q, m, s: STATS.norm.ppf(q, m, s), (uniform(0.1, 0.9, 4), normal(4), POSITIVE)),
        "stats_t": (lambda x, df: STATS.t.logpdf(x, df) + STATS.t.pdf(x, df, 0.1, 2.0), (normal(4), POSITIVE + 1)),
        "stats_gamma": (lambda x, a: STATS.gamma.logpdf(x, a) + STATS.gamma.pdf(x, a), (POSITIVE, uniform(1, 2, 4))),
        "stats_gamma_cdf": (lambda x: STATS.gamma.cdf(x, 2.0), (POSITIVE,)),
        "stats_beta": (
            lambda x, a, b: STATS.beta.logpdf(x, a, b) + STATS.beta.pdf(x, a, b),
            (uniform(0.1, 0.9, 4), POSITIVE, uniform(1, 2, 4)),
        ),
        "stats_chi2": (lambda x: STATS.chi2.logpdf(x, 3.0) + STATS.chi2.cdf(x, 3.0), (POSITIVE,)),
        "stats_poisson": (
            lambda mu: STATS.poisson.logpmf(np.array([0, 2, 1, 4]), mu) + STATS.poisson.pmf(3, mu),
            (POSITIVE,),
        ),
        "stats_multivariate_normal": (
            lambda x, m, L: STATS.multivariate_normal.logpdf(x, m, L @ L.T + np.eye(3)),
            (normal(5, 3), normal(3), normal(3, 3)),
        ),
        "stats_dirichlet": (lambda a: STATS.dirichlet.logpdf(np.array([0.2, 0.5, 0.3]), a), (uniform(1, 2, 3),)),
        "stats_expon_uniform_laplace": (
            lambda x: STATS.expon.logpdf(x, scale=2.0) + STATS.laplace.pdf(x) + STATS.logistic.cdf(x),
            (POSITIVE,),
        ),
        "signal_convolve": (lambda x, y: scipy.signal.convolve(x, y, mode="full"), (normal(6), normal(3))),
        "signal_convolve_two_dimensions": (
            lambda x, y: scipy.signal.convolve(x, y, mode="valid"),
            (normal(5, 4), normal(2, 2)),
        ),
        "signal_correlate": (lambda x, y: scipy.signal.correlate(x, y, mode="same"), (normal(6), normal(3))),
    }
)
