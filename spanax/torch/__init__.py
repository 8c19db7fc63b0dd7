"""Spanax for PyTorch: where a model's gradient dies, and every bridge from a torch program. Needs `pip install 'spanax[torch]'`.

`import spanax` does not import it, nor PyTorch.
"""

from .._errors import SpanaxError, installing

try:
    import torch as _torch
except ModuleNotFoundError as error:
    if error.name != "torch":  # it is there, and what it needs is not
        raise
    raise SpanaxError("spanax.torch needs PyTorch", *installing("torch"), where="") from error

del _torch

from .compare import compare as compare  # noqa: E402
from .disarm import disarm as disarm  # noqa: E402
from .gumbel_softmax import gumbel_softmax as gumbel_softmax  # noqa: E402
from .order import soft_rank as soft_rank, soft_sort as soft_sort, top_k as top_k  # noqa: E402
from .reinmax import reinmax as reinmax  # noqa: E402
from .sample import Sample as Sample, sample as sample  # noqa: E402
from .smooth import smooth as smooth  # noqa: E402
from .steps import clip as clip, round as round, sign as sign, step as step  # noqa: E402
from .straight_through import straight_through as straight_through  # noqa: E402
from .surrogate_loss import surrogate_loss as surrogate_loss  # noqa: E402
