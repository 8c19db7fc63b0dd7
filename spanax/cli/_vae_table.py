"""What `spanax gallery vae` prints at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from ..gallery._names import VaeBridge

if TYPE_CHECKING:
    from ..gallery.vae import Result

WIDTH = 80
LEGEND = (
    "ELBO: mean ± standard error over held-out images, always with true draws; higher is better.",
    "Variance: trace of the covariance of the encoder's gradient, each at its own trained parameters; "
    "it does not show bias.",
)
GAUSSIAN = "gaussian is another model: its latents are Normal, so that its draws have a derivative of their own."


def print_vae_table(result: Result) -> None:
    """One row for each bridge, then what the columns mean and where the files are; 80 columns wide."""
    console = Console(width=WIDTH, highlight=False)
    if result.bridges:
        console.print(_table(result))
        for line in LEGEND:
            console.print(line)
    if any(figures.name == VaeBridge.GAUSSIAN for figures in result.bridges):
        console.print(GAUSSIAN)
    for path in result.files:
        console.print(f"Wrote {path}", soft_wrap=True)


def _table(result: Result) -> Table:
    settings = result.settings
    title = f"VAE, {settings.samples} evaluations a gradient, seed {settings.seed}"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("bridge", no_wrap=True, vertical="bottom")
    for heading in ("training\nsteps", "held-out ELBO\n(nats)", "gradient\nvariance", "milliseconds\na step"):
        table.add_column(heading, justify="right", no_wrap=True)
    for figures in result.bridges:
        table.add_row(
            figures.name,
            str(figures.steps),
            f"{figures.elbo:.2f} ± {figures.elbo_se:.2f}",
            f"{figures.gradient_variance:.3g}",
            f"{figures.step_ms:.2f}",
        )
    return table
