"""A fit that may be killed at any moment: `python -m tests.surrogate.killed_least_squares FOLDER`, as often as it takes.

Each evaluation is a line of FOLDER/log.
"""

import pathlib
import sys
import time

import jax
import numpy as np

import spanax as sx

T = np.linspace(0.0, 4.0, 20)
DATA = 2.5 * np.exp(-1.3 * T) + 0.5
FOLDER = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
PAUSE = 0.01  # seconds: room to be killed in


def decay(x, seed):
    """Noisy residuals, whose evaluation is written down."""
    noise = 0.02 * np.random.default_rng([seed, *np.frombuffer(x["rate"].tobytes(), np.uint32)]).standard_normal(20)
    time.sleep(PAUSE)
    with open(FOLDER / "log", "a") as log:
        log.write(f"{float(x['height'])!r} {float(x['rate'])!r} {float(x['level'])!r} {seed}\n")
    return x["height"] * np.exp(-x["rate"] * T) + x["level"] + noise - DATA


def fit(store):
    return sx.least_squares(
        decay,
        {"height": 1.0, "rate": 1.0, "level": 0.0},
        via=sx.FiniteDifference(step=0.1),
        key=jax.random.key(0),
        noisy=True,
        store=store,
        name="decay",
    )


def save(found, path):
    """All of it, bit by bit."""
    x = found.form.flatten(found.x)
    np.savez(
        path,
        x=x,
        covariance=found.covariance,
        residuals=found.residuals,
        **{f"h_{k}": v for k, v in found.history.items()},
    )


if __name__ == "__main__":
    fit(sx.Store(FOLDER / "runs.db", version="1"))
