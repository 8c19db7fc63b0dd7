"""Seven of torchvision: classifiers, one with auxiliary heads, a detector, a transformer, optical flow."""

from __future__ import annotations

import torch  # pyright: ignore[reportMissingImports]

from . import schemas
from .case import Builder, Case, cross_entropy, images

schemas.declare()

from torchvision import models  # noqa: E402  # pyright: ignore[reportMissingImports]
from torchvision.models.detection import fcos  # noqa: E402  # pyright: ignore[reportMissingImports]
from torchvision.models.detection.backbone_utils import (  # noqa: E402  # pyright: ignore[reportMissingImports]
    _resnet_fpn_extractor,
)
from torchvision.ops.feature_pyramid_network import LastLevelP6P7  # noqa: E402  # pyright: ignore[reportMissingImports]


def resnet18() -> Case:
    return Case(models.resnet18(num_classes=10), (images(2, 64),), loss=cross_entropy)


def mobilenet_v3() -> Case:
    return Case(models.mobilenet_v3_small(num_classes=10), (images(4, 64),), loss=cross_entropy)


def googlenet() -> Case:
    def loss(output):
        auxiliary = cross_entropy(output.aux_logits1) + cross_entropy(output.aux_logits2)
        return cross_entropy(output.logits) + 0.3 * auxiliary

    return Case(models.GoogLeNet(num_classes=10, init_weights=False), (images(2, 64),), loss=loss)


def densenet() -> Case:
    model = models.DenseNet(growth_rate=8, block_config=(2, 2, 2, 2), num_init_features=16, num_classes=10)
    return Case(model, (images(2, 64),), loss=cross_entropy)


def fcos_detector() -> Case:
    # Its first layers are frozen, as torchvision's own builders freeze them.
    backbone = _resnet_fpn_extractor(
        models.resnet18(), 3, returned_layers=[2, 3, 4], extra_blocks=LastLevelP6P7(256, 256)
    )
    model = fcos.FCOS(backbone, num_classes=4, min_size=64, max_size=96)
    first = {"boxes": torch.tensor([[5.0, 5, 40, 45], [20, 10, 60, 30]]), "labels": torch.tensor([1, 2])}
    second = {"boxes": torch.tensor([[8.0, 3, 30, 60]]), "labels": torch.tensor([3])}
    pictures = [torch.rand(3, 64, 80), torch.rand(3, 64, 64)]
    return Case(model, (pictures, [first, second]), loss=lambda losses: torch.stack(list(losses.values())).sum())


def swin() -> Case:
    model = models.SwinTransformer([4, 4], 24, [2, 2], [2, 4], [4, 4], stochastic_depth_prob=0.1, num_classes=10)
    return Case(model, (images(2, 64),), loss=cross_entropy)


def raft() -> Case:
    target = torch.randn(1, 2, 128, 128)

    def loss(flows):  # later refinements weigh more, as in the paper
        far = [0.8 ** (len(flows) - i) * (flow - target).abs().mean() for i, flow in enumerate(flows)]
        return torch.stack(far).sum()

    pair = (torch.rand(1, 3, 128, 128) * 2 - 1, torch.rand(1, 3, 128, 128) * 2 - 1)
    return Case(models.optical_flow.raft_small(), pair, {"num_flow_updates": 3}, loss)


BUILDERS: dict[str, Builder] = {
    "resnet18": resnet18,
    "mobilenet_v3": mobilenet_v3,
    "googlenet": googlenet,
    "densenet": densenet,
    "fcos": fcos_detector,
    "swin": swin,
    "raft": raft,
}
