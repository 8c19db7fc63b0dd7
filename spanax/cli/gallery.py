"""`spanax gallery`: the worked problems."""

import typer

from ..gallery.problems import BY_NAME, PROBLEMS

# Each of these adds its commands.
from ._gallery import attention, calibrate, control, renderer, sorting, torch, vae
from ._gallery.running import gallery
from ._messages import show_help

__all__ = ["attention", "calibrate", "control", "gallery", "renderer", "sorting", "torch", "vae"]


def _name(command: typer.models.CommandInfo) -> str:
    return command.name or getattr(command.callback, "__name__", "")


# In the order of the registry, however the files above are imported: the help shows the tour first.
gallery.registered_commands.sort(key=lambda command: PROBLEMS.index(BY_NAME[_name(command)]))
for _command in gallery.registered_commands:
    _command.rich_help_panel = BY_NAME[_name(_command)].group


@gallery.callback(invoke_without_command=True)
def _gallery(context: typer.Context) -> None:
    """Worked problems on real data, and in simulated worlds."""
    show_help(context)
