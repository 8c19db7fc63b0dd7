"""The correction for noisy Jacobians, on linear problems whose answer is known."""

import numpy as np
import pytest

from spanax.surrogate._least_squares.covariance import Normal

N, P, REPEATS, DRAWS = 40, 3, 4, 2000
RNG = np.random.default_rng(0)
J = RNG.standard_normal((N, P)) * [1.0, 20.0, 0.1]
NOISE = np.array([0.6, 12.0, 0.06])  # of one Jacobian, by column


def draws(shared=0.0):
    """Residuals [R, N] around 1 sigma of data noise and Jacobians [R, N, P] whose noise is `shared` with the residuals'."""
    for _ in range(DRAWS):
        data, own = RNG.standard_normal(N), RNG.standard_normal((REPEATS, N, P))
        common = RNG.standard_normal((REPEATS, N))
        noise = own * np.sqrt(1 - shared**2) + shared * common[:, :, None]
        yield data, data + 0.5 * common, J + NOISE * noise


def unscaled(normal):
    return normal.G * np.outer(normal.scale, normal.scale), normal.g * normal.scale


@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_the_normal_equations_are_unbiased(shared):
    """Of 9 + 3 means none is more than 5 standard errors off: by chance once in 100,000."""
    found = [(*unscaled(Normal.of(r, Js)), data) for data, r, Js in draws(shared)]
    G, g, data = (np.array(each) for each in zip(*found, strict=True))
    for values, expected in ((G, J.T @ J), (g - data @ J, np.zeros(P))):
        error = values.std(0) / np.sqrt(DRAWS)
        assert np.all(np.abs(values.mean(0) - expected) < 5 * error)
    naive = np.mean([Js.mean(0).T @ Js.mean(0) for _, _, Js in draws()], 0)
    assert np.all(np.diag(naive) > 1.04 * np.diag(J.T @ J))


def test_the_covariance_is_that_of_the_step():
    """Steps by noisy Jacobians scatter as it says: within 15%, 4 standard deviations and the formula's own error."""
    steps, found = [], []
    for _, r, Js in draws():
        normal = Normal.of(r, Js)
        steps.append(-np.linalg.solve(normal.G, normal.g) / normal.scale)
        found.append(np.diag(normal.covariance(1.0 + normal.noise, 2.0**-52)[0]))
    np.testing.assert_allclose(np.mean(found, 0), np.var(steps, 0), rtol=0.15)


def test_noise_that_is_all_there_is_leaves_a_positive_definite_matrix():
    normal = Normal.of(RNG.standard_normal((2, N)), RNG.standard_normal((2, N, P)))
    assert normal.share > 0.5 and np.all(np.linalg.eigvalsh(normal.G) > 0)


def test_one_jacobian_has_no_correction():
    normal = Normal.of(np.ones((1, N)), J[None])
    V, lost = normal.covariance(np.full(N, 4.0), 2.0**-52)
    np.testing.assert_allclose(V, 4 * np.linalg.inv(J.T @ J), rtol=1e-10)
    assert normal.share == 0 and len(lost) == 0
