"""Gaps planted in real PyTorch models: found at their line? And models without: any alarm? With the cost of looking."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import torch  # pyright: ignore[reportMissingImports]

from benchmarks import _timing
from benchmarks._torch_models import measure
from benchmarks._torch_models.case import built
from benchmarks._torch_models.models import BUILDERS
from benchmarks._torch_models.mutate import Place, Plant, planted
from benchmarks._torch_models.plants import PLANTS

EXACT, SECONDS, OVERHEAD, MEMORY = 38, 10.0, 30.0, 2.0


class Found(NamedTuple):
    """`lines`: where a report sees the gradient die, or NaN begin."""

    lines: set[tuple[str, int]]
    seconds: float

    def text(self) -> str:
        return ", ".join(sorted(f"{Path(file).name}:{line}" for file, line in self.lines)) or "-"


def lines_of(report: Any) -> set[tuple[str, int]]:
    places = {(gap.file, gap.line) for gap in report.alarms}
    if report.not_finite is not None:
        places.add((report.not_finite.file, report.not_finite.line))
    return places


def look(model: str) -> Found:
    case, start = built(BUILDERS[model]), time.process_time()
    report = measure.report_of(case)
    return Found(lines_of(report), time.process_time() - start)


def look_at_planted(plant: Plant) -> tuple[Place, Found]:
    with planted(plant) as place:
        return place, look(plant.model)


def _clean(names: list[str], rounds: int) -> tuple[int, float, list[measure.Costs]]:
    """Alarms, the slowest, and costs of the models as they are."""
    rows, alarms, slowest, every = [], 0, 0.0, []
    for name in names:
        _timing.stage(name)
        found, cost = look(name), measure.costs(BUILDERS[name], rounds)
        alarms, slowest = alarms + len(found.lines), max(slowest, found.seconds)
        every.append(cost)
        numbers = [f"{cost.seconds:.2f}", f"{1e3 * cost.forward:.1f}", f"{cost.overhead:.1f}", f"{cost.memory:.2f}"]
        rows.append([name, found.text(), *numbers])
    _timing.table(["model as it is", "alarms", "seconds", "forward, ms", "times forward", "times memory"], rows)
    return alarms, slowest, every


def _planted(plants: list[Plant]) -> tuple[int, int, float]:
    """How many are found, how many at exactly their line and nowhere else, and the slowest."""
    rows, found_ones, exact_ones, slowest = [], 0, 0, 0.0
    for plant in plants:
        _timing.stage(f"{plant.model}: {plant.kind}")
        place, found = look_at_planted(plant)
        is_found = (place.file, place.line) in found.lines
        is_exact = is_found and len(found.lines) == 1
        found_ones, exact_ones = found_ones + is_found, exact_ones + is_exact
        slowest = max(slowest, found.seconds)
        said = "exact" if is_exact else f"{'and others' if is_found else 'MISSED'}: {found.text()}"
        where = f"{Path(place.file).name}:{place.line}"
        rows.append([f"{plant.model}: {plant.kind}", where, said, f"{found.seconds:.2f}"])
    _timing.table(["planted", "line", "found", "seconds"], rows)
    return found_ones, exact_ones, slowest


def main() -> None:
    options = _timing.parser(__doc__, repeats=5)
    options.add_argument("--models", nargs="*", default=list(BUILDERS), help="only these (default: all)")
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    torch.set_num_threads(1)  # of one core: a second one may only help
    _timing.versions("torch", "torchvision", "timm", "transformers", "numpy")

    alarms, slow_clean, costs = _clean(args.models, args.repeats)
    print()
    plants = [plant for plant in PLANTS if plant.model in args.models]
    found, exact, slow_planted = _planted(plants)
    print()
    _timing.verdict(f"of {len(plants)} planted, found at the line and nowhere else", exact, EXACT, at_least=True)
    _timing.verdict(f"of {len(plants)} planted, the line among those found", found, EXACT, at_least=True)
    _timing.verdict(f"alarms in {len(args.models)} models as they are", alarms, 0)
    _timing.verdict("slowest, seconds of one core", max(slow_clean, slow_planted), SECONDS)
    _timing.verdict("most times a forward pass", max(cost.overhead for cost in costs), OVERHEAD)
    _timing.verdict("most times the memory of a training step, weights included", max(c.memory for c in costs), MEMORY)


if __name__ == "__main__":
    main()
