"""Which probe? The cosine to the gradient of a problem in 100 dimensions that lives on 10 directions, by evaluations.

The problem, its start and the widths are in tests/bridges/submanifold.py. Sobol directions do not fit: they end at 64 dimensions.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks import _timing
from tests.bridges.submanifold import CHOSEN, FIXED, ROWS, SIGMA, cosines

EVALUATIONS = (50, 200, 400)
NOISES = (0.0, 1.0)
TARGET = 0.5


def main() -> None:
    options = _timing.parser(__doc__, repeats=1)
    options.add_argument("--problems", type=int, default=200, help="problems for each mean (default: %(default)s)")
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("jax", "jaxlib", "numpy")

    rows, error = [], 0.0
    for name, row in ROWS.items():
        _timing.stage(name)
        cells = []
        for n in EVALUATIONS:
            found = cosines(row(n), NOISES, args.problems)
            error = max(error, float(np.max(found.std(1, ddof=1))) / math.sqrt(args.problems))
            cells.append("/".join(f"{mean:.2f}" for mean in found.mean(1)))
        rows.append([name, *cells])
    _timing.table(["noise 0 / noise 1", *(f"{n} evaluations" for n in EVALUATIONS)], rows)
    print(f"\nsigma = step = {SIGMA}, of the differences {FIXED}; standard errors up to {error:.3f}\n")
    for name, (count, estimate) in CHOSEN.items():
        found = cosines(estimate, NOISES, args.problems).mean(1)
        print(f"{name}, {count} evaluations, the pilot among them: {found[0]:.3f} without noise")
        _timing.verdict("    cosine under noise 1", found[1], TARGET, at_least=True)


if __name__ == "__main__":
    main()
