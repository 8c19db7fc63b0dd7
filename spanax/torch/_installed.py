"""Says what to install where PyTorch is missing; imported before anything that needs it."""

from .._errors import SpanaxError, installing

try:
    import torch as torch
except ModuleNotFoundError as error:
    if error.name != "torch":  # it is there, and what it needs is not
        raise
    raise SpanaxError("spanax.torch needs PyTorch", *installing("torch"), where="") from error
