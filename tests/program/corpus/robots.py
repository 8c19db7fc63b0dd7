"""Filters, paths, controllers and orbits, as robotics and aerospace write them: classes of arrays, None for what failed."""

import math
from copy import deepcopy
from math import acos, atan2, cos, hypot, log, pi, sin, sqrt

import numpy as np
import scipy.linalg as linalg
from numpy import dot, eye, zeros
from scipy.optimize import newton, root_scalar

from ._case import Case

MU = 1.0


def reshape_z(z, dim_z, ndim):
    z = np.atleast_2d(z)
    if z.shape[1] == dim_z:
        z = z.T
    if z.shape != (dim_z, 1):
        raise ValueError(f"z (shape {z.shape}) must be convertible to shape ({dim_z}, 1)")
    if ndim == 1:
        z = z[:, 0]
    if ndim == 0:
        z = z[0, 0]
    return z


class LinearFilter:
    def __init__(self, dim_x, dim_z, dim_u=0):
        if dim_x < 1:
            raise ValueError("dim_x must be 1 or greater")
        self.dim_x, self.dim_z, self.dim_u = dim_x, dim_z, dim_u
        self.x = zeros((dim_x, 1))
        self.P = eye(dim_x)
        self.Q = eye(dim_x)
        self.B = None
        self.F = eye(dim_x)
        self.H = zeros((dim_z, dim_x))
        self.R = eye(dim_z)
        self._alpha_sq = 1.0
        self.z = np.array([[None] * self.dim_z]).T
        self.K = np.zeros((dim_x, dim_z))
        self.y = zeros((dim_z, 1))
        self.S = np.zeros((dim_z, dim_z))
        self._I = np.eye(dim_x)
        self.x_prior = self.x.copy()
        self.P_prior = self.P.copy()
        self._log_likelihood = None
        self._mahalanobis = None
        self.inv = np.linalg.inv

    def predict(self, u=None, B=None, F=None, Q=None):
        if B is None:
            B = self.B
        if F is None:
            F = self.F
        if Q is None:
            Q = self.Q
        elif np.isscalar(Q):
            Q = eye(self.dim_x) * Q
        if B is not None and u is not None:
            self.x = dot(F, self.x) + dot(B, u)
        else:
            self.x = dot(F, self.x)
        self.P = self._alpha_sq * dot(dot(F, self.P), F.T) + Q
        self.x_prior = self.x.copy()
        self.P_prior = self.P.copy()

    def update(self, z, R=None, H=None):
        self._log_likelihood = None
        self._mahalanobis = None
        if z is None:
            self.z = np.array([[None] * self.dim_z]).T
            self.x_post = self.x.copy()
            self.y = zeros((self.dim_z, 1))
            return
        if R is None:
            R = self.R
        elif np.isscalar(R):
            R = eye(self.dim_z) * R
        if H is None:
            z = reshape_z(z, self.dim_z, self.x.ndim)
            H = self.H
        self.y = z - dot(H, self.x)
        PHT = dot(self.P, H.T)
        self.S = dot(H, PHT) + R
        self.SI = self.inv(self.S)
        self.K = dot(PHT, self.SI)
        self.x = self.x + dot(self.K, self.y)
        I_KH = self._I - dot(self.K, H)
        self.P = dot(dot(I_KH, self.P), I_KH.T) + dot(dot(self.K, R), self.K.T)
        self.z = deepcopy(z)

    @property
    def log_likelihood(self):
        if self._log_likelihood is None:
            n = self.dim_z
            S = self.S
            y = self.y.flatten()
            self._log_likelihood = -0.5 * (n * log(2 * pi) + np.log(np.linalg.det(S)) + dot(y, linalg.solve(S, y)))
        return self._log_likelihood

    @property
    def mahalanobis(self):
        if self._mahalanobis is None:
            self._mahalanobis = sqrt(float(dot(dot(self.y.T, self.SI), self.y)[0, 0]))
        return self._mahalanobis

    @property
    def alpha(self):
        return self._alpha_sq**0.5

    @alpha.setter
    def alpha(self, value):
        if not np.isscalar(value) or value < 1:
            raise ValueError("alpha must be a float greater than 1")
        self._alpha_sq = value**2


def tracked(q, r, zs):
    f = LinearFilter(dim_x=2, dim_z=1)
    f.x = np.array([[2.0], [0.0]])
    f.F = np.array([[1.0, 1.0], [0.0, 1.0]])
    f.H = np.array([[1.0, 0.0]])
    f.P *= 100.0
    f.R *= r
    f.Q = np.array([[0.25, 0.5], [0.5, 1.0]]) * q
    f.alpha = 1.02
    total, far = 0.0, 0
    xs, cov = [], []
    for z in zs:
        f.predict()
        f.update(z)
        if f.mahalanobis > 0.5:
            far += 1
        total += f.log_likelihood
        xs.append(f.x)
        cov.append(f.P)
    xs, cov = np.array(xs), np.array(cov)
    return total + far + xs[:, 0].mean() + np.trace(cov, axis1=1, axis2=2).sum()


def with_gaps(q, r, zs):
    f = LinearFilter(2, 1)
    f.F = np.array([[1.0, 0.5], [0.0, 1.0]])
    f.H[0, 0] = 1.0
    for k, z in enumerate(zs):
        f.predict(Q=q, u=None)
        f.update(None if k % 3 == 1 else z, R=r)
    return f.x[0, 0] * f.P[1, 1] + f.log_likelihood


def mod2pi(theta):
    return theta - 2.0 * math.pi * math.floor(theta / 2.0 / math.pi)


def left_straight_left(alpha, beta, d):
    sa, sb, ca, cb = sin(alpha), sin(beta), cos(alpha), cos(beta)
    mode = ["L", "S", "L"]
    p2 = 2 + d**2 - 2 * cos(alpha - beta) + 2 * d * (sa - sb)
    if p2 < 0:
        return None, None, None, mode
    t = atan2(cb - ca, d + sa - sb)
    return mod2pi(-alpha + t), sqrt(p2), mod2pi(beta - t), mode


def right_straight_right(alpha, beta, d):
    sa, sb, ca, cb = sin(alpha), sin(beta), cos(alpha), cos(beta)
    mode = ["R", "S", "R"]
    p2 = 2 + d**2 - 2 * cos(alpha - beta) + 2 * d * (sb - sa)
    if p2 < 0:
        return None, None, None, mode
    t = atan2(ca - cb, d - sa + sb)
    return mod2pi(alpha - t), sqrt(p2), mod2pi(-beta + t), mode


def left_straight_right(alpha, beta, d):
    sa, sb, ca, cb = sin(alpha), sin(beta), cos(alpha), cos(beta)
    p2 = -2 + d**2 + 2 * cos(alpha - beta) + 2 * d * (sa + sb)
    mode = ["L", "S", "R"]
    if p2 < 0:
        return None, None, None, mode
    p = sqrt(p2)
    t = atan2(-ca - cb, d + sa + sb) - atan2(-2.0, p)
    return mod2pi(-alpha + t), p, mod2pi(-mod2pi(beta) + t), mode


def right_left_right(alpha, beta, d):
    mode = ["R", "L", "R"]
    tmp = (6.0 - d**2 + 2.0 * cos(alpha - beta) + 2.0 * d * (sin(alpha) - sin(beta))) / 8.0
    if abs(tmp) > 1.0:
        return None, None, None, mode
    p = mod2pi(2 * math.pi - acos(tmp))
    t = mod2pi(alpha - atan2(cos(alpha) - cos(beta), d - sin(alpha) + sin(beta)) + p / 2.0)
    return t, p, mod2pi(alpha - beta - t + p), mode


def dubins(x, y, yaw, curvature):
    d = hypot(x, y) * curvature
    theta = mod2pi(atan2(y, x))
    alpha, beta = mod2pi(-theta), mod2pi(yaw - theta)
    best_cost = float("inf")
    bt, bp, bq = None, None, None
    for planner in [left_straight_left, right_straight_right, left_straight_right, right_left_right]:
        t, p, q, mode = planner(alpha, beta, d)
        if t is None:
            continue
        cost = abs(t) + abs(p) + abs(q)
        if best_cost > cost:
            bt, bp, bq = t, p, q
            best_cost = cost
    return best_cost / curvature + bt * 0.1 - bq * 0.05 * bp


def riccati_early(q, r, e0):
    A = np.array([[1.0, 0.1], [0.0, 1.0]])
    B = np.array([0.0, 0.1]).reshape(2, 1)

    def dare(Q, R):
        P = Q
        for _ in range(400):
            Pn = A.T @ P @ A - A.T @ P @ B @ np.linalg.pinv(R + B.T @ P @ B) @ B.T @ P @ A + Q
            if (abs(Pn - P)).max() < 1e-12:
                return Pn
            P = Pn
        return P

    P = dare(np.eye(2) * q, np.array([[r]]))
    K = np.linalg.pinv(np.array([[r]]) + B.T @ P @ B) @ B.T @ P @ A
    x = np.array([[e0], [0.0]])
    u = 0
    t, xs = 0.0, []
    while t <= 1.0:
        u = -K @ x
        u0 = float(u[0, 0])
        if u0 > 0.8:
            u0 = 0.8
        x = A @ x + B * u0
        xs.append(x[0, 0])
        t += 0.1
    return np.sum(np.square(xs)) + P[0, 1]


def hohmann(r1, r2, inc):
    def total(split):
        v1, v2 = math.sqrt(MU / r1), math.sqrt(MU / r2)
        at = (r1 + r2) / 2
        va, vb = math.sqrt(MU * (2 / r1 - 1 / at)), math.sqrt(MU * (2 / r2 - 1 / at))
        return math.sqrt(v1**2 + va**2 - 2 * v1 * va * math.cos(split * inc)) + math.sqrt(
            v2**2 + vb**2 - 2 * v2 * vb * math.cos((1 - split) * inc)
        )

    def slope(s, h=1e-4):
        return (total(s + h) - total(s - h)) / (2 * h)

    best = newton(slope, 0.05, tol=1e-10)
    res = root_scalar(slope, bracket=[0.0, 0.5], method="brentq", xtol=1e-12)
    return total(best) + res.root


Z = np.array([1.2, 2.1, 2.8, 4.4, 5.1])
CASES = [
    Case(tracked, (0.3, 2.0, Z)),
    Case(with_gaps, (0.3, 2.0, Z)),
    Case(dubins, (3.0, 2.0, 1.0, 0.8), step=1e-4),
    Case(riccati_early, (1.0, 0.5, 1.3), step=1e-4),
    Case(hohmann, (1.0, 3.0, 0.4), rtol=1e-9, gradient_rtol=1e-5),
]
