"""The `sx.sample` call to paste for a draw that nobody marked."""

from __future__ import annotations

# A person pastes this line: it names the bridge to begin with, and in a comment those to try next.
_BERNOULLI = (
    "sx.ScoreFunction(), sx.DisARM(), sx.LeaveOneOut(), sx.Enumerate(), sx.GumbelSoftmax(0.5) or sx.StraightThrough()"
)
_DRAWS = {
    "Bernoulli": f'dist.Bernoulli(logits=logits), via=sx.DisARM(), name="z")  # or {_BERNOULLI}',
    "Categorical": 'dist.Categorical(logits=logits), via=sx.ScoreFunction(), name="z")  # or sx.Enumerate(), sx.LeaveOneOut()',
    "Choice": 'dist.Categorical(probs=p), via=sx.ScoreFunction(), name="z")  # and a[z]',
    "Poisson": 'dist.Poisson(rate), via=sx.ScoreFunction(), name="z")',
    "Binomial": 'dist.Binomial(n, logits=logits), via=sx.ScoreFunction(), name="z")  # or sx.Enumerate(), sx.LeaveOneOut()',
    "Geometric": 'dist.GeometricLogits(logits), via=sx.ScoreFunction(), name="z")',
    "Multinomial": 'dist.Multinomial(n, logits=logits), via=sx.ScoreFunction(), name="z")',
}


def sample_call(family: str) -> str:
    """For a draw of that family, such as "Bernoulli"."""
    rest = _DRAWS.get(family, f'dist.{family}(...), via=sx.ScoreFunction(), name="z")')
    return f"z = sx.sample(key, {rest}"
