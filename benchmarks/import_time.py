"""What `import spanax` adds to `import jax`, in fresh processes, interleaved."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time

from benchmarks import _timing

TARGET = 0.35
PROGRAMS = {
    "import jax": "import jax",
    "import jax, equinox": "import jax, equinox",
    "import spanax": "import spanax",
    "import numpyro.distributions": "import numpyro.distributions",
    "import spanax, numpyro.distributions": "import spanax, numpyro.distributions",
}


def seconds(program: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - start


def added(row: dict[str, list[float]], name: str) -> float:
    """The median over rounds of what a program takes beyond `import jax` of the same round."""
    return statistics.median(a - b for a, b in zip(row[name], row["import jax"], strict=True))


def contributors(program: str) -> dict[str, float]:
    """Seconds of each package's own modules, of those that `program` imports after `import jax`."""
    command = [sys.executable, "-X", "importtime", "-c", f"import jax\n{program}"]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    lines = re.findall(r"import time:\s+(\d+) \|\s+\d+ \| +(\S+)", report)
    after = max(i for i, (_, module) in enumerate(lines) if module == "jax") + 1
    own: dict[str, float] = {}
    for microseconds, module in lines[after:]:
        package = module.split(".")[0]
        own[package] = own.get(package, 0.0) + int(microseconds) / 1e6
    return own


def main() -> None:
    args = _timing.parser(__doc__, repeats=15).parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("jax", "numpyro", "equinox", "jaxtyping")

    for program in PROGRAMS.values():
        seconds(program)  # byte-compiles, warms the file cache
    found: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for r in range(args.repeats):
        _timing.stage(f"round {r + 1} of {args.repeats}")
        for name, program in PROGRAMS.items():
            found[name].append(seconds(program))

    rows = [[name, _timing.spread(found[name], 1), f"{added(found, name):+.3f}"] for name in PROGRAMS]
    _timing.table(["fresh process", "s  min..max", "beyond import jax"], rows)
    print()
    _timing.verdict("seconds that import spanax adds to import jax", added(found, "import spanax"), TARGET)

    own = contributors("import spanax")
    largest = sorted(own.items(), key=lambda item: -item[1])[:8]
    print("\nlargest packages, milliseconds of their own modules under `-X importtime`:")
    print(", ".join(f"{package} {1e3 * t:.0f}" for package, t in largest))


if __name__ == "__main__":
    main()
