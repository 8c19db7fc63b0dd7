"""Plain Python and NumPy programs: lifted to JAX by their source."""

from .gradient import gradient as gradient, value_and_gradient as value_and_gradient
from .lift import lift as lift
