"""The methods of SciPy's distributions whose values and derivatives, by the shapes as well, were checked against SciPy's."""

from __future__ import annotations

# The methods, and the distributions that have them.
_CHECKED = {
    "pdf logpdf cdf sf logcdf logsf ppf isf mean var std median entropy": (
        "norm lognorm expon gamma chi2 uniform weibull_min weibull_max laplace logistic gumbel_r gumbel_l "
        "rayleigh invgamma halfnorm powerlaw maxwell f chi fisk hypsecant"
    ),
    "pdf logpdf cdf sf logcdf logsf ppf isf median entropy": ("t pareto gompertz halfcauchy"),
    "pdf logpdf entropy": ("truncnorm vonmises"),
    "pmf logpmf mean var std": ("poisson nbinom"),
    "pmf logpmf mean var std entropy": ("binom bernoulli"),
    "pdf logpdf cdf sf logcdf logsf isf mean var std": ("beta"),
    "pdf logpdf cdf sf logcdf logsf entropy": ("cauchy"),
    "ppf isf mean var std median entropy": ("triang"),
    "pmf logpmf cdf sf logcdf logsf mean var std entropy": ("geom"),
    "pdf logpdf mean var std": ("skewnorm"),
    "pdf logpdf cdf sf logcdf logsf mean var std": ("exponnorm"),
    "mean var std entropy": ("genextreme"),
    "pdf logpdf logsf mean var std entropy": ("genpareto"),
    "pdf logpdf cdf sf logcdf logsf ppf isf median": ("levy"),
    "pdf logpdf cdf sf logcdf logsf ppf isf mean median entropy": ("lomax"),
    "pdf logpdf cdf sf logcdf logsf ppf isf mean var std entropy": ("gennorm"),
}
ALLOWED = {name: methods for methods, names in _CHECKED.items() for name in names.split()}
