"""Seven of transformers: text, speech, masked images, detection; with losses that the models compute themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]

from . import schemas
from .case import Builder, Case

schemas.declare()  # some of transformers imports torchvision

import transformers  # noqa: E402  # pyright: ignore[reportMissingImports]
from transformers.models.wav2vec2 import modeling_wav2vec2 as speech  # noqa: E402  # pyright: ignore[reportMissingImports]

WORDS = 99
BATCH, LENGTH = 2, 12
ENCODER: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def _words() -> torch.Tensor:
    return torch.randint(1, WORDS, (BATCH, LENGTH))


def bert() -> Case:
    model = transformers.BertForMaskedLM(
        transformers.BertConfig(vocab_size=WORDS, max_position_embeddings=64, **ENCODER)
    )
    words = _words()
    labels = torch.where(torch.rand(BATCH, LENGTH) < 0.4, words, -100)
    padding = (torch.arange(LENGTH)[None] < torch.tensor([[LENGTH], [LENGTH - 3]])).long()
    return Case(model, (), {"input_ids": words, "attention_mask": padding, "labels": labels})


def gpt2() -> Case:
    config = transformers.GPT2Config(
        vocab_size=WORDS, n_positions=64, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0
    )
    words = _words()
    return Case(transformers.GPT2LMHeadModel(config), (), {"input_ids": words, "labels": words})


def t5() -> Case:
    config = transformers.T5Config(
        vocab_size=WORDS, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, **_T5_START
    )
    model = transformers.T5ForConditionalGeneration(config)
    return Case(model, (), {"input_ids": _words(), "labels": _words()[:, :7].contiguous()})


def mixtral() -> Case:
    config = transformers.MixtralConfig(
        vocab_size=WORDS,
        num_key_value_heads=2,
        num_local_experts=4,
        num_experts_per_tok=2,
        max_position_embeddings=64,
        output_router_logits=True,  # with it, the loss contains the routers' balance loss
        **ENCODER,
    )
    words = _words()
    return Case(transformers.MixtralForCausalLM(config), (), {"input_ids": words, "labels": words})


def wav2vec2() -> Case:
    config = transformers.Wav2Vec2Config(
        conv_dim=(32, 32, 32),
        conv_stride=(5, 4, 4),
        conv_kernel=(10, 8, 4),
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        codevector_dim=32,
        proj_codevector_dim=32,
        num_codevectors_per_group=16,
        num_negatives=5,
        **ENCODER,
    )
    model = transformers.Wav2Vec2ForPreTraining(config)
    samples = 4000
    frames = int(model._get_feat_extract_output_lengths(samples))
    np.random.seed(0)  # the two functions below draw from it
    mask = speech._compute_mask_indices((BATCH, frames), mask_prob=0.2, mask_length=2)
    negatives = speech._sample_negative_indices((BATCH, frames), 5, mask_time_indices=mask)
    keywords = {"mask_time_indices": torch.tensor(mask), "sampled_negative_indices": torch.tensor(negatives)}
    return Case(model, (), {"input_values": torch.randn(BATCH, samples), **keywords})


def vit_mae() -> Case:
    decoder: dict[str, Any] = {f"decoder_{name}": value for name, value in ENCODER.items()}
    model = transformers.ViTMAEForPreTraining(
        transformers.ViTMAEConfig(image_size=32, patch_size=4, **ENCODER, **decoder)
    )
    return Case(model, (torch.rand(BATCH, 3, 32, 32),))


def detr() -> Case:
    backbone = transformers.ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", **_DETR_BACKBONE
    )
    layers: dict[str, Any] = {
        f"{side}_{name}": n for side in ("encoder", "decoder") for name, n in _DETR_LAYERS.items()
    }
    layers["num_labels"] = 5
    model = transformers.DetrForObjectDetection(
        transformers.DetrConfig(backbone_config=backbone, d_model=32, num_queries=10, auxiliary_loss=True, **layers)
    )
    first = {"class_labels": torch.tensor([1, 3]), "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.3], [0.3, 0.6, 0.2, 0.2]])}
    second = {"class_labels": torch.tensor([2]), "boxes": torch.tensor([[0.4, 0.4, 0.5, 0.5]])}
    return Case(model, (torch.rand(2, 3, 64, 64),), {"labels": [first, second]})


# Options that the configurations take and their annotations leave out.
_T5_START: dict[str, Any] = {"decoder_start_token_id": 0}
_DETR_BACKBONE: dict[str, Any] = {"out_features": ["stage2"]}
_DETR_LAYERS: dict[str, Any] = {"layers": 2, "ffn_dim": 64, "attention_heads": 4}

BUILDERS: dict[str, Builder] = {
    "bert": bert,
    "gpt2": gpt2,
    "t5": t5,
    "mixtral": mixtral,
    "wav2vec2": wav2vec2,
    "vit_mae": vit_mae,
    "detr": detr,
}
