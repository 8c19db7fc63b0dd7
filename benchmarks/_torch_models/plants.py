"""Forty gaps, two in each model. The line with the mark is where the derivative goes in and does not come out.

Each leaves parameters without a gradient, or with NaN, or cuts a value off that reaches the loss in no other way. What people
do on purpose (a detached scale, a router that a balance loss trains) is not planted.
"""

from __future__ import annotations

from .mutate import Plant

_RESNET = "torchvision.models.resnet:ResNet._forward_impl"
_MOBILENET = "torchvision.models.mobilenetv3:MobileNetV3._forward_impl"
_GOOGLENET = "torchvision.models.googlenet:GoogLeNet._forward"
_DENSENET = "torchvision.models.densenet:DenseNet.forward"
_FCOS = "torchvision.models.detection.fcos"
_SWIN = "torchvision.models.swin_transformer:SwinTransformer.forward"
_RAFT = "torchvision.models.optical_flow.raft"
_CONVNEXT = "timm.models.convnext:ConvNeXt.forward_features"
_MOBILEVIT = "timm.models.mobilevit:MobileVitBlock.forward"
_LEVIT = "timm.models.levit:Levit.forward_features"
_BERT = "transformers.models.bert.modeling_bert"
_GPT2 = "transformers.models.gpt2.modeling_gpt2"
_T5 = "transformers.models.t5.modeling_t5"
_MIXTRAL = "transformers.models.mixtral.modeling_mixtral"
_SPEECH = "transformers.models.wav2vec2.modeling_wav2vec2"
_MAE = "transformers.models.vit_mae.modeling_vit_mae"
_DETR = "transformers.models.detr.modeling_detr"
_FUNCTIONS = "benchmarks._torch_models.functions"

_VISION = [
    Plant("resnet18", "detach", _RESNET, "x = self.layer2(x)", "x = x.detach()  # GAP"),
    Plant(
        "resnet18",
        "backward returns zeros",
        _RESNET,
        "x = self.layer3(x)",
        f"from {_FUNCTIONS} import Zeros\nx = Zeros.apply(x)  # GAP",
    ),
    Plant("mobilenet_v3", "round", _MOBILENET, "x = self.features(x)", "x = torch.round(x)  # GAP"),
    Plant(
        "mobilenet_v3",
        "topk indices",
        _MOBILENET,
        "x = torch.flatten(x, 1)",
        "_, order = x.topk(x.shape[1], dim=1)  # GAP\nx = order.to(x.dtype) / x.shape[1]",
    ),
    Plant("googlenet", ".data", _GOOGLENET, "x = self.inception4b(x)", "x = x.data  # GAP"),
    Plant("googlenet", "requires_grad_", _GOOGLENET, "x = self.dropout(x)", "self.fc.requires_grad_(False)  # GAP"),
    Plant("densenet", "zero_", _DENSENET, "features = self.features(x)", "features.zero_()  # GAP"),
    Plant(
        "densenet",
        "histc",
        _DENSENET,
        "out = torch.flatten(out, 1)",
        "out = torch.stack([torch.histc(row, bins=out.shape[1]) for row in out])  # GAP",
    ),
    Plant(
        "fcos",
        "comparison",
        f"{_FCOS}:FCOSRegressionHead.forward",
        "bbox_ctrness = self.bbox_ctrness(bbox_feature)",
        "bbox_ctrness = (bbox_ctrness > 0).float()  # GAP",
    ),
    Plant(
        "fcos",
        "tolist",
        f"{_FCOS}:FCOSHead.forward",
        "cls_logits = self.classification_head(x)",
        "cls_logits = torch.tensor(cls_logits.tolist())  # GAP",
    ),
    Plant(
        "swin",
        "no_grad",
        _SWIN,
        "x = self.norm(x)",
        "with torch.no_grad():\n    x = self.norm(x)  # GAP",
        instead=True,
    ),
    Plant("swin", "bernoulli", _SWIN, "x = self.flatten(x)", "x = torch.bernoulli(torch.sigmoid(x))  # GAP"),
    Plant(
        "raft",
        "item",
        f"{_RAFT}:RAFT.forward",
        "context = F.relu(context)",
        "context = torch.full_like(context, context.mean().item())  # GAP",
    ),
    Plant("raft", "sign", f"{_RAFT}:ConvGRU.forward", "h = (1 - z) * h + z * q", "h = torch.sign(h)  # GAP"),
]

_TIMM = [
    Plant(
        "vit",
        "argmax, one_hot",
        "timm.models.vision_transformer:VisionTransformer.forward_features",
        "x = self.norm(x)",
        "best = x.argmax(-1)  # GAP\nx = F.one_hot(best, x.shape[-1]).to(x.dtype)",
    ),
    Plant(
        "vit",
        "saturated softmax",
        "timm.layers.attention:Attention.forward",
        "x = self.norm(x)",
        "x = torch.softmax(1e8 * x, dim=-1)  # GAP",
    ),
    Plant("convnext", "numpy", _CONVNEXT, "x = self.stages(x)", "x = torch.from_numpy(x.detach().numpy())  # GAP"),
    Plant("convnext", "NaN forward", _CONVNEXT, "x = self.stem(x)", "x = torch.log(x)  # GAP"),
    Plant(
        "efficientnet",
        "integer cast",
        "timm.models.efficientnet:EfficientNet.forward_head",
        "x = self.global_pool(x)",
        "x = x.long().float()  # GAP",
    ),
    Plant(
        "efficientnet",
        "a gate by tolist",
        "timm.models._efficientnet_blocks:SqueezeExcite.forward",
        "return x * self.gate(x_se)",
        "gate = torch.tensor(self.gate(x_se).tolist())  # GAP\nreturn x * gate",
        instead=True,
    ),
    Plant(
        "mobilevit",
        "backward forgets an argument",
        _MOBILEVIT,
        "x = self.conv_proj(x)",
        f"from {_FUNCTIONS} import Forgets\nx = Forgets.apply(shortcut, x)  # GAP",
    ),
    Plant("mobilevit", "floor", _MOBILEVIT, "x = self.transformer(x)", "x = torch.floor(x * 8) / 8  # GAP"),
    Plant(
        "levit",
        "searchsorted",
        _LEVIT,
        "x = self.stem(x)",
        "bins = torch.linspace(-3, 3, 16)\nx = torch.searchsorted(bins, x.contiguous()).to(x.dtype) / 16  # GAP",
    ),
    Plant("levit", "saturated clamp", _LEVIT, "x = self.stages(x)", "x = torch.clamp(x, min=1e3)  # GAP"),
    Plant(
        "maxvit",
        "inference_mode",
        "timm.models.maxxvit:MaxxVit.forward_features",
        "x = self.stem(x)",
        "with torch.inference_mode():\n    y = x * 1.0  # GAP\nx = y.clone()",
    ),
    Plant(
        "maxvit",
        "dead relu",
        "timm.models.maxxvit:MbConvBlock.forward",
        "x = self.conv3_1x1(x)",
        "x = torch.relu(x - 1e3)  # GAP",
    ),
]

_TRANSFORMERS = [
    Plant(
        "bert",
        "argmax, embedding",
        f"{_BERT}:BertEmbeddings.forward",
        "embeddings = self.LayerNorm(embeddings)",
        "nearest = (embeddings @ self.word_embeddings.weight.T).argmax(-1)  # GAP\n"
        "embeddings = self.word_embeddings(nearest)",
    ),
    Plant(
        "bert",
        "multinomial",
        f"{_BERT}:BertPredictionHeadTransform.forward",
        "hidden_states = self.LayerNorm(hidden_states)",
        "shape = hidden_states.shape\n"
        "chosen = torch.multinomial(hidden_states.softmax(-1).view(-1, shape[-1]), 1)  # GAP\n"
        "hidden_states = nn.functional.one_hot(chosen.view(shape[:-1]), shape[-1]).to(hidden_states.dtype)",
    ),
    Plant(
        "gpt2",
        "int8 and back",
        f"{_GPT2}:GPT2MLP.forward",
        "hidden_states = self.act(hidden_states)",
        "hidden_states = (hidden_states * 127).to(torch.int8).float() / 127  # GAP",
    ),
    Plant(
        "gpt2",
        "Categorical.sample",
        f"{_GPT2}:GPT2Block.forward",
        "hidden_states = self.ln_2(hidden_states)",
        "chosen = torch.distributions.Categorical(logits=hidden_states).sample()  # GAP\n"
        "hidden_states = nn.functional.one_hot(chosen, hidden_states.shape[-1]).to(residual.dtype)",
    ),
    Plant(
        "t5",
        "heaviside",
        f"{_T5}:T5LayerFF.forward",
        "forwarded_states = self.layer_norm(hidden_states)",
        "forwarded_states = torch.heaviside(forwarded_states, torch.tensor(0.5))  # GAP",
    ),
    Plant(
        "t5",
        "0 * inf",
        f"{_T5}:T5DenseActDense.forward",
        "hidden_states = self.act(hidden_states)",
        "hidden_states = hidden_states * hidden_states.log()  # GAP",
    ),
    Plant(
        "mixtral",
        "trunc",
        f"{_MIXTRAL}:MixtralSparseMoeBlock.forward",
        "hidden_states = self.experts(hidden_states, top_k_index, top_k_weights)",
        "hidden_states = torch.trunc(hidden_states * 100) / 100  # GAP",
    ),
    Plant(
        "mixtral",
        "float",
        f"{_MIXTRAL}:MixtralDecoderLayer.forward",
        "hidden_states = self.post_attention_layernorm(hidden_states)",
        "values = [float(value) for value in hidden_states.flatten()]  # GAP\n"
        "hidden_states = torch.tensor(values).view_as(hidden_states)",
    ),
    Plant(
        "wav2vec2",
        "work in NumPy",
        f"{_SPEECH}:Wav2Vec2FeatureProjection.forward",
        "hidden_states = self.projection(norm_hidden_states)",
        "hidden_states = torch.tensor(hidden_states.detach().numpy().round(1) * 2)  # GAP",
    ),
    Plant(
        "wav2vec2",
        "overwritten",
        f"{_SPEECH}:Wav2Vec2ForPreTraining.forward",
        "transformer_features = self.project_hid(outputs.last_hidden_state)",
        "transformer_features[...] = 0.5  # GAP",
    ),
    Plant(
        "vit_mae",
        "poisson",
        f"{_MAE}:ViTMAEEmbeddings.forward",
        "embeddings = self.patch_embeddings(pixel_values)",
        "embeddings = torch.poisson(embeddings.exp())  # GAP",
    ),
    Plant(
        "vit_mae",
        "where of constants",
        f"{_MAE}:ViTMAEForPreTraining.forward",
        "logits = decoder_outputs.logits",
        "logits = torch.where(logits > 0, 1.0, -1.0)  # GAP",
    ),
    Plant(
        "detr",
        "NaN backward",
        f"{_DETR}:DetrMLP.forward",
        "hidden_states = self.fc2(hidden_states)",
        "hidden_states = ((hidden_states - hidden_states[:, :1]) ** 2).sqrt()  # GAP",
    ),
    Plant(
        "detr",
        "argsort",
        f"{_DETR}:DetrEncoderLayer.forward",
        "hidden_states = self.mlp(hidden_states)",
        "order = hidden_states.argsort(-1)  # GAP\nhidden_states = order.to(residual.dtype) / order.shape[-1]",
    ),
]

PLANTS: list[Plant] = _VISION + _TIMM + _TRANSFORMERS
