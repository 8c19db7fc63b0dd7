"""Random programs: their language, how they grow, their Spanax source, an independent reference, the verdict."""

import tests.conftest  # noqa: F401  (how tests compile, before jax is imported)
