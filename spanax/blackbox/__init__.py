"""Functions that JAX cannot see: called from a traced program, on workers, remembered, with a derivative."""

from .call import BlackBox as BlackBox, blackbox as blackbox
from .check import Check as Check
from .command.command import Command as Command, Output as Output, command as command
from .stats import Stats as Stats
from .store.store import Store as Store
from .workers.processes import processes as processes
from .workers.ray import ray_executor as ray_executor
from .workers.run import Run as Run
