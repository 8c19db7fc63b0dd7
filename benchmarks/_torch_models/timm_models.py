"""Six of timm: transformers, convolutions, and hybrids of both. Three of them start with residual branches at zero."""

from __future__ import annotations

from . import schemas
from .case import Builder, Case, cross_entropy, images

schemas.declare()  # timm imports torchvision

import timm  # noqa: E402  # pyright: ignore[reportMissingImports]


def _builder(name: str, size: int = 64, **options) -> Builder:
    def build() -> Case:
        model = timm.create_model(name, pretrained=False, num_classes=10, **options)
        return Case(model, (images(2, size),), loss=cross_entropy)

    return build


BUILDERS: dict[str, Builder] = {
    "vit": _builder("vit_tiny_patch16_224", img_size=64, depth=3),
    "convnext": _builder("convnext_atto"),
    "efficientnet": _builder("efficientnet_b0", drop_path_rate=0.1),
    "mobilevit": _builder("mobilevit_xxs"),
    "levit": _builder("levit_128s", size=224),
    "maxvit": _builder("maxvit_rmlp_pico_rw_256", img_size=64),
}
