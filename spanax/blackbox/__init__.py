"""Functions that JAX cannot see: called from a traced program, on workers, remembered, with a derivative."""

from .call import BlackBox as BlackBox, blackbox as blackbox
from .check import Check as Check
from .command import Command as Command, Output as Output, command as command
from .processes import processes as processes
from .ray import ray_executor as ray_executor
from .run import Run as Run
from .stats import Stats as Stats
from .store import Store as Store
