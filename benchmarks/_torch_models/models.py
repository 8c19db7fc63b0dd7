"""The twenty, by name."""

from __future__ import annotations

from . import language, timm_models, vision
from .case import Builder

BUILDERS: dict[str, Builder] = vision.BUILDERS | timm_models.BUILDERS | language.BUILDERS
