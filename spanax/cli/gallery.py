"""`spanax gallery`: the worked problems."""

import typer

# Each of these adds its commands, in the order of the help.
from ._gallery import calibrate, control, renderer, torch, vae
from ._gallery.running import gallery
from ._messages import show_help

__all__ = ["calibrate", "control", "gallery", "renderer", "torch", "vae"]


@gallery.callback(invoke_without_command=True)
def _gallery(context: typer.Context) -> None:
    """Worked problems on real data, and in simulated worlds."""
    show_help(context)
