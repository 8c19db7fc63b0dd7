"""Operations whose derivative is zero or has a kink, mirrored from jax.numpy, with a bridge: `sx.hard.round(x, via=...)`.

Their value is the exact one, unless the bridge is `Soft` or `Perturbed`. Truth values and indices come as weights,
which are floats.
"""

from .choice import argmax as argmax, argmin as argmin, max as max, min as min, one_hot as one_hot
from .comparisons import (
    equal as equal,
    greater as greater,
    greater_equal as greater_equal,
    isclose as isclose,
    less as less,
    less_equal as less_equal,
    not_equal as not_equal,
)
from .counts import bincount as bincount, histogram as histogram, searchsorted as searchsorted
from .kinks import abs as abs, clip as clip, maximum as maximum, minimum as minimum, relu as relu
from .logic import (
    all as all,
    any as any,
    logical_and as logical_and,
    logical_not as logical_not,
    logical_or as logical_or,
    logical_xor as logical_xor,
    select as select,
    where as where,
)
from .order import argsort as argsort, rank as rank, sort as sort, top_k as top_k
from .quantiles import median as median, percentile as percentile, quantile as quantile
from .steps import (
    ceil as ceil,
    floor as floor,
    heaviside as heaviside,
    round as round,
    sign as sign,
    trunc as trunc,
)
from .taking import (
    choose as choose,
    dynamic_index as dynamic_index,
    take as take,
    take_along_axis as take_along_axis,
)
