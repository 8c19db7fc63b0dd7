"""Spanax for PyTorch: where a model's gradient dies, and every bridge from a torch program. Needs `pip install 'spanax[torch]'`.

`import spanax` does not import it, nor PyTorch.
"""

from . import _installed as _installed  # first: says what is missing
from .compare import compare as compare
from .disarm import disarm as disarm
from .find import assert_alive as assert_alive, find_gaps as find_gaps
from .from_torch import from_torch as from_torch
from .gumbel_softmax import gumbel_softmax as gumbel_softmax
from .hidden import HiddenGap as HiddenGap, hidden_gradient as hidden_gradient
from .order import soft_rank as soft_rank, soft_sort as soft_sort, top_k as top_k
from .reinmax import reinmax as reinmax
from .sample import Sample as Sample, sample as sample
from .smooth import smooth as smooth
from .steps import clip as clip, round as round, sign as sign, step as step
from .straight_through import straight_through as straight_through
from .surrogate_loss import surrogate_loss as surrogate_loss
from .to_torch import to_torch as to_torch
