"""Checks for bridges of your own: `spanax.testing.check_bridge`."""

from .check_bridge import check_bridge as check_bridge
from .report import ContractError as ContractError, Outcome as Outcome, Report as Report
