"""What `spanax gallery torch-attention` and `torch-router` print at their ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._tables import console, show_files, show_rows, show_text

if TYPE_CHECKING:
    from ...gallery import torch_attention, torch_router
    from ...gallery.torch_attention import Learner
    from ...gallery.torch_router import Way

ROUTER_LEGEND = (
    "Cosine: of the router's gradient with the exact one, for one gradient and for the mean of 100, where only its bias is left; "
    "later: after 100 steps. Right: of the held-out digits. Entropy: of the shares of the experts, 3 bits if all are used alike."
)


def print_torch_attention(result: torch_attention.Result) -> None:
    """What the finder says, one row for each way of training, and where the files are."""
    where = console()
    if result.found is not None:
        for gap in result.found.alarms:
            show_text(where, f"The gradient ends at {gap.place}, in {gap.operation}:")
            show_text(where, f"    {gap.source}")
        show_text(where, f"Starved: {', '.join(result.found.starved)}")
        show_text(where, "")
    if result.learners:
        settings = result.settings
        heads = "trained by", "right\n(%)", "over the\nseeds", "seconds\na seed"
        seeds = _seeds([learner.outcomes for learner in result.learners])
        title = f"Two glimpses: {settings.steps:,} steps, {seeds}"
        show_rows(where, title, heads, [_attention_row(learner) for learner in result.learners])
        show_text(
            where,
            "Right: of the held-out digits, looking where the scores are highest; soft attention looks everywhere.",
        )
    show_files(where, result.files)


def _attention_row(learner: Learner) -> tuple[str, ...]:
    return (
        learner.name,
        f"{100 * learner.accuracy:.1f}",
        _range(learner.accuracies),
        f"{learner.seconds:.1f}",
    )


def print_torch_router(result: torch_router.Result) -> None:
    """A table for top-1 and one for top-2, then what the columns mean and where the files are."""
    where = console()
    heads = (
        "router learns by",
        "cosine,\nuntrained",
        "cosine,\nlater",
        "right\n(%)",
        "worst\nseed",
        "entropy\n(bits)",
        "most\nused",
    )
    for k in sorted({way.k for way in result.ways}):
        some = [way for way in result.ways if way.k == k]
        title = f"Top-{k} of 8 experts: {result.settings.steps:,} steps, {_seeds([way.outcomes for way in some])}"
        show_rows(where, title, heads, [row for way in some for row in _rows(way)])
    if result.ways:
        show_text(where, ROUTER_LEGEND)
    show_files(where, result.files)


def _rows(way: Way) -> list[tuple[str, ...]]:
    cosines = [
        "/".join(f"{way.cosine(later=later, of_the_mean=of_the_mean):.2f}" for of_the_mean in (False, True))
        for later in (False, True)
    ]
    routed = f"{100 * way.accuracy:.1f}", f"{100 * min(one.accuracy for one in way.outcomes):.1f}"
    rows = [(way.name, *cosines, *routed, f"{way.entropy:.2f}", f"{100 * way.shares[0]:.0f}%")]
    if way.name == "dense":
        # As it was trained: another model, with no choice in it.
        worst = min(one.everyone for one in way.outcomes)
        rows.append((" all experts", "", "", f"{100 * way.everyone:.1f}", f"{100 * worst:.1f}", "", ""))
    return rows


def _seeds(outcomes: Sequence[Sequence[Any]]) -> str:
    """Of the first way, which nothing ended early: how many, and the first of them."""
    first = outcomes[0]
    return f"seed {first[0].seed}" if len(first) == 1 else f"{len(first)} seeds from {first[0].seed} on"


def _range(accuracies: list[float]) -> str:
    """Of several seeds."""
    return f"{100 * min(accuracies):.1f} to {100 * max(accuracies):.1f}" if len(accuracies) > 1 else ""
