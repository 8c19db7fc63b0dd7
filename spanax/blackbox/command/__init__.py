"""External programs as black boxes."""

from .command import Command as Command, Output as Output, command as command
