"""What `spanax gallery vae` prints at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...gallery.names import VaeBridge
from .._tables import console, show_files, show_rows, show_text

if TYPE_CHECKING:
    from ...gallery.vae import BridgeFigures, Result

HEADS = "bridge", "training\nsteps", "held-out ELBO\n(nats)", "gradient\nvariance", "milliseconds\na step"
LEGEND = (
    "ELBO: mean ± standard error over held-out images, always with true draws; higher is better.",
    "Variance: trace of the covariance of the encoder's gradient, each at its own trained parameters; "
    "it does not show bias.",
)
GAUSSIAN = "gaussian is another model: its latents are Normal, so that its draws have a derivative of their own."


def print_vae_table(result: Result) -> None:
    """One row for each bridge, then what the columns mean and where the files are."""
    where = console()
    if result.bridges:
        title = f"VAE, {result.settings.samples} evaluations a gradient, seed {result.settings.seed}"
        show_rows(where, title, HEADS, [_row(figures) for figures in result.bridges])
        for line in LEGEND:
            show_text(where, line)
    # Its ELBO cannot be compared with the others' without that.
    if any(figures.name == VaeBridge.GAUSSIAN for figures in result.bridges):
        show_text(where, GAUSSIAN)
    show_files(where, result.files)


def _row(figures: BridgeFigures) -> tuple[str, ...]:
    return (
        figures.name,
        f"{figures.steps:,}",
        f"{figures.elbo:.2f} ± {figures.elbo_se:.2f}",
        _three_digits(figures.gradient_variance),
        f"{figures.step_ms:.2f}",
    )


def _three_digits(x: float) -> str:
    return f"{x:,.0f}" if 1000 <= abs(x) < 1e6 else f"{x:.3g}"
