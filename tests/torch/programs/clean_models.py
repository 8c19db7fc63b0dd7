"""Programs without a gap, of models and training: frozen parts, teachers, masks, gates, checkpoints, starts at zero."""

import copy

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from .case import Between, Program, Run, between, collector, rows, square

PROGRAMS: list[Program] = []
clean = collector(PROGRAMS)


def _named(**modules):
    return {f"{name}.{key}": p for name, m in modules.items() for key, p in m.named_parameters() if p.requires_grad}


@clean
def causal_attention():
    class Attend(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(8, 24)
            self.out = nn.Linear(8, 8)

        def forward(self, x):
            q, k, v = self.qkv(x).chunk(3, -1)
            scores = q @ k.transpose(-2, -1) / 8**0.5
            causal = torch.triu(torch.ones(x.shape[1], x.shape[1]), 1).bool()
            scores = scores.masked_fill(causal, float("-inf"))
            return self.out(scores.softmax(-1) @ v)

    return Run(Attend(), (torch.randn(2, 5, 8),), square)


@clean
def padding_mask_of_multihead_attention():
    class Encode(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
            self.embed = nn.Embedding(10, 8, padding_idx=0)

        def forward(self, words):
            padding = words == 0
            h = self.layer(self.embed(words), src_key_padding_mask=padding)
            keep = (~padding).unsqueeze(-1)
            return (h * keep).sum(1) / keep.sum(1).clamp(min=1)

    return Run(Encode(), (torch.tensor([[1, 2, 3, 0], [4, 5, 0, 0]]),), square)


@clean
def lengths_of_a_packed_sequence():
    class Read(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(4, 6, num_layers=2, batch_first=True, dropout=0.1)
            self.head = nn.Linear(6, 1)

        def forward(self, x, lengths):
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            out, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
            return self.head(out[torch.arange(len(x)), lengths - 1])

    return Run(Read(), (torch.randn(3, 5, 4), torch.tensor([5, 2, 3])), square)


@clean
def dropout_and_batch_norm():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(0.3), nn.Flatten(),
        nn.LazyLinear(3),
    )  # fmt: skip
    model(torch.randn(4, 3, 8, 8))
    return Run(model, (torch.randn(4, 3, 8, 8),), lambda y: F.cross_entropy(y, torch.tensor([0, 1, 2, 0])))


@clean
def piecewise_functions():
    def step(h):
        a = torch.maximum(h, 0.1 * h).abs() + h.clamp(-1, 1) + F.relu(h) + h.clamp(min=0).sqrt() * 0
        b = h.sort(-1).values + h.cummax(-1).values + h.amax(-1, keepdim=True)
        return torch.where(a > b, a, b) + F.hardtanh(h) + h.topk(3, -1).values.sum(-1, keepdim=True)

    return between(lambda h: step(h.abs() + 0.1))


@clean
def boolean_indexing():
    def step(h):
        positive = h[h > 0]
        h = h.clone()
        h[h < -1] = -1
        return h + positive.mean()

    return between(step)


@clean
def spectral_and_weight_norm():
    model = nn.Sequential(
        parametrizations.spectral_norm(nn.Linear(4, 6)), nn.Tanh(), parametrizations.weight_norm(nn.Linear(6, 2))
    )
    return Run(model, (rows(),), square)


@clean
def residual_branch_that_starts_at_zero():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.inner, self.outer = nn.LayerNorm(4), nn.Linear(4, 8), nn.Linear(8, 4)
            self.gate = nn.Parameter(torch.zeros(4))

        def forward(self, x):
            return x + self.gate * self.outer(F.gelu(self.inner(self.norm(x))))

    return Run(nn.Sequential(Block(), Block(), nn.Linear(4, 1)), (rows(),), square)


@clean
def batch_norm_that_starts_at_zero():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv1d(3, 3, 3, padding=1), nn.BatchNorm1d(3)
            nn.init.zeros_(self.norm.weight)

        def forward(self, x):
            return F.relu(x + self.norm(self.conv(x)))

    return Run(nn.Sequential(Block(), nn.Conv1d(3, 1, 1)), (torch.randn(4, 3, 6),), square)


@clean
def low_rank_adapter():
    class Adapted(nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base = base.requires_grad_(False)
            self.a = nn.Parameter(torch.randn(2, 4) / 2)
            self.b = nn.Parameter(torch.zeros(4, 2))

        def forward(self, x):
            return self.base(x) + x @ self.a.T @ self.b.T

    return Run(nn.Sequential(Adapted(nn.Linear(4, 4)), nn.Linear(4, 1)), (rows(),), square)


@clean
def frozen_backbone_and_head():
    class Tuned(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
            self.head = nn.Linear(8, 3)
            for p in self.backbone.parameters():
                p.requires_grad = False
            self.backbone.eval()

        def forward(self, x):
            with torch.no_grad():
                h = self.backbone(x)
            return self.head(h)

    return Run(Tuned(), (rows(),), lambda y: F.cross_entropy(y, torch.arange(6) % 3))


@clean
def frozen_perceptual_network_behind():
    generator = nn.Linear(4, 4)
    critic = nn.Sequential(nn.Linear(4, 8), nn.Tanh()).requires_grad_(False).eval()
    x = rows()

    def loss():
        return F.mse_loss(critic(generator(x)), critic(x))

    return Run(loss, parameters=_named(generator=generator))


@clean
def teacher_and_student():
    student, teacher = nn.Linear(4, 3), nn.Linear(4, 3).eval()

    def loss(x):
        with torch.no_grad():
            target = F.softmax(teacher(x) / 2, -1)
        logits = student(x)
        hard = F.cross_entropy(logits, target.argmax(-1))
        return hard + 4 * F.kl_div(F.log_softmax(logits / 2, -1), target, reduction="batchmean")

    return Run(loss, (rows(),), parameters=_named(student=student))


class _Momentum(nn.Module):
    def __init__(self):
        super().__init__()
        self.online, self.predictor = nn.Linear(4, 3), nn.Linear(3, 3)
        self.target = copy.deepcopy(self.online)
        for p in self.target.parameters():
            p.requires_grad_(False)

    @torch.no_grad()
    def update(self):
        for ours, theirs in zip(self.target.parameters(), self.online.parameters(), strict=True):
            ours.data.mul_(0.99).add_(theirs.data, alpha=0.01)


@clean
def byol():
    class Byol(_Momentum):
        def forward(self, x):
            self.update()
            p = F.normalize(self.predictor(self.online(x)), dim=-1)
            with torch.no_grad():
                z = F.normalize(self.target(x + 0.1), dim=-1)
            return 2 - 2 * (p * z).sum(-1).mean()

    return Run(Byol(), (rows(),))


@clean
def momentum_contrast_with_a_queue():
    class MoCo(_Momentum):
        def __init__(self):
            super().__init__()
            self.predictor = nn.Identity()
            self.register_buffer("queue", F.normalize(torch.randn(3, 12), dim=0))
            self.register_buffer("pointer", torch.zeros(1, dtype=torch.long))

        def forward(self, x):
            q = F.normalize(self.online(x), dim=1)
            with torch.no_grad():
                self.update()
                k = F.normalize(self.target(x), dim=1)
            positive = torch.einsum("nc,nc->n", q, k).unsqueeze(-1)
            negative = q @ self.queue.clone().detach()
            at = int(self.pointer)
            self.queue[:, at : at + len(k)] = k.T
            self.pointer[0] = (at + len(k)) % 12
            logits = torch.cat([positive, negative], 1) / 0.07
            return F.cross_entropy(logits, torch.zeros(len(x), dtype=torch.long))

    return Run(MoCo(), (rows(),))


@clean
def simsiam():
    encoder, predictor = nn.Linear(4, 3), nn.Linear(3, 3)

    def loss(x):
        first, second = encoder(x), encoder(x + 0.1)
        p, q = predictor(first), predictor(second)
        a = F.cosine_similarity(p, second.detach(), dim=-1).mean()
        return -(a + F.cosine_similarity(q, first.detach(), dim=-1).mean()) / 2

    return Run(loss, (rows(),), parameters=_named(encoder=encoder, predictor=predictor))


@clean
def dino_with_centering():
    student, teacher = nn.Linear(4, 5), nn.Linear(4, 5).requires_grad_(False)
    center = torch.zeros(1, 5)

    def loss(x):
        target = F.softmax((teacher(x) - center) / 0.04, -1).detach()
        with torch.no_grad():
            center.mul_(0.9).add_(teacher(x).mean(0, keepdim=True), alpha=0.1)
        return -(target * F.log_softmax(student(x) / 0.1, -1)).sum(-1).mean()

    return Run(loss, (rows(),), parameters=_named(student=student))


@clean
def mixture_of_experts():
    class Mixture(nn.Module):
        def __init__(self, top=2):
            super().__init__()
            self.router = nn.Linear(4, 4, bias=False)
            self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(4))
            self.top = top

        def forward(self, x):
            probabilities = self.router(x).softmax(-1)
            weights, chosen = probabilities.topk(self.top, -1)
            weights = weights / weights.sum(-1, keepdim=True)
            out = torch.zeros_like(x)
            for i, expert in enumerate(self.experts):
                row, slot = torch.where(chosen == i)
                if row.numel() == 0:
                    continue
                out.index_add_(0, row, weights[row, slot, None] * expert(x[row]))
            share = F.one_hot(chosen, 4).float().sum(1).mean(0)
            return square(out) + 0.01 * 4 * (share * probabilities.mean(0)).sum()

    return Run(Mixture(), (rows(24),))


@clean
def switch_router_with_a_gate():
    class Switch(nn.Module):
        def __init__(self):
            super().__init__()
            self.router = nn.Linear(4, 3)
            self.experts = nn.Parameter(torch.randn(3, 4, 4))

        def forward(self, x):
            gate, index = self.router(x).softmax(-1).max(-1)
            return gate.unsqueeze(-1) * torch.einsum("ni,nio->no", x, self.experts[index])

    return Run(Switch(), (rows(24),), square)


@clean
def quantisation_aware_training():
    class Quantised(nn.Linear):
        def forward(self, x):
            scale = self.weight.detach().abs().max() / 127
            weight = torch.fake_quantize_per_tensor_affine(self.weight, scale.item(), 0, -128, 127)
            return F.linear(x, weight, self.bias)

    return Run(nn.Sequential(Quantised(4, 4), nn.ReLU(), nn.Linear(4, 1)), (rows(),), square)


@clean
def learned_step_size():
    class Lsq(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.step = nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.tensor(0.1))

        def forward(self, x):
            scaled = (self.weight / self.step).clamp(-8, 7)
            rounded = (scaled.round() - scaled).detach() + scaled
            return x @ (rounded * self.step).T

    return Run(Lsq(), (rows(),), square)


@clean
def gradient_checkpointing():
    body = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Dropout(0.2))

    class Net(Between):
        def __init__(self):
            super().__init__(None)
            self.body = body

        def forward(self, x):
            h = checkpoint(self.body, self.first(x), use_reentrant=False)
            return self.last(checkpoint(self.body, h, use_reentrant=True))

    return Run(Net(), (rows(),), square)


@clean
def tied_weights():
    class Language(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(9, 4), nn.Linear(4, 9, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, words):
            return F.cross_entropy(self.head(self.embed(words[:, :-1])).flatten(0, 1), words[:, 1:].flatten())

    return Run(Language(), (torch.randint(9, (3, 5)),))


@clean
def a_head_that_this_loss_does_not_use():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk, self.classes, self.boxes = nn.Linear(4, 4), nn.Linear(4, 3), nn.Linear(4, 4)

        def forward(self, x):
            h = F.relu(self.trunk(x))
            return {"classes": self.classes(h), "boxes": self.boxes(h)}

    return Run(Two(), (rows(),), lambda out: F.cross_entropy(out["classes"], torch.arange(6) % 3))


@clean
def truncated_backpropagation_through_time():
    cell, head = nn.GRUCell(2, 5), nn.Linear(5, 1)

    def loss(x):
        h, total = torch.zeros(3, 5), torch.zeros(())
        for t in range(x.shape[1]):
            if t and t % 2 == 0:
                h = h.detach()
            h = cell(x[:, t], h)
            total = total + square(head(h))
        return total

    return Run(loss, (torch.randn(3, 6, 2),), parameters=_named(cell=cell, head=head))


@clean
def discriminator_step():
    generator, discriminator = nn.Linear(3, 4), nn.Linear(4, 1)

    def loss(real, noise):
        fake = generator(noise).detach()
        return F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake)).mean()

    return Run(loss, (rows(), torch.randn(6, 3)), parameters=_named(discriminator=discriminator))


@clean
def scheduled_sampling():
    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.cell, self.out = nn.Embedding(7, 4), nn.GRUCell(4, 6), nn.Linear(6, 7)

        def forward(self, words):
            h, word, loss = torch.zeros(len(words), 6), words[:, 0], 0.0
            for t in range(1, words.shape[1]):
                h = self.cell(self.embed(word), h)
                logits = self.out(h)
                loss = loss + F.cross_entropy(logits, words[:, t])
                word = logits.argmax(-1) if t % 2 else words[:, t]
            return loss

    return Run(Decoder(), (torch.randint(7, (3, 5)),))


@clean
def deep_supervision_with_detached_refinement():
    class Refine(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode, self.update = nn.Linear(4, 6), nn.Linear(8, 2)

        def forward(self, x):
            h, flow, flows = torch.tanh(self.encode(x)), torch.zeros(len(x), 2), []
            for _ in range(3):
                flow = flow.detach()
                flow = flow + self.update(torch.cat([h, flow], -1))
                flows.append(flow)
            return flows

    return Run(Refine(), (rows(),), lambda flows: sum(square(f - 1) for f in flows))


@clean
def model_agnostic_meta_learning():
    weight = torch.randn(4, requires_grad=True)

    def loss(x, y):
        inner = F.mse_loss(x @ weight, y)
        (slope,) = torch.autograd.grad(inner, weight, create_graph=True)
        return F.mse_loss((x.flip(0) + 0.1) @ (weight - 0.1 * slope), y)

    return Run(loss, (rows(), torch.randn(6)), parameters={"weight": weight})


@clean
def first_order_meta_learning():
    net = nn.Linear(4, 1)

    def loss(x):
        names, weights = zip(*net.named_parameters(), strict=True)
        slopes = torch.autograd.grad(square(net(x)), weights)
        fast = {n: w - 0.1 * g for n, w, g in zip(names, weights, slopes, strict=True)}
        return square(torch.func.functional_call(net, fast, (x,)))

    return Run(loss, (rows(),), parameters=_named(net=net))


@clean
def half_precision_within():
    class Mixed(Between):
        def forward(self, x):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                h = F.gelu(self.first(x))
                y = self.last(h)
            return y.float() + x.half().float()[:, :2].to(torch.bfloat16)

    return Run(Mixed(None), (rows(),), square)


@clean
def shapes_and_positions_from_values():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.position, self.proj = nn.Embedding(16, 4), nn.Linear(4, 4)

        def forward(self, words, lengths):
            longest = int(lengths.max())
            h = self.position(torch.arange(longest)).expand(len(words), -1, -1)
            mask = torch.arange(longest)[None] < lengths[:, None]
            return self.proj(h)[mask]

    return Run(Positions(), (torch.zeros(2, 6), torch.tensor([3, 5])), square)


@clean
def complex_numbers_and_fourier():
    class Filter(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(5, 2))

        def forward(self, x):
            return torch.fft.irfft(torch.fft.rfft(x, dim=-1) * torch.view_as_complex(self.weight), n=8, dim=-1)

    return Run(Filter(), (torch.randn(3, 8),), square)


@clean
def gradients_clipped_by_a_hook():
    def step(h):
        if h.requires_grad:
            h.register_hook(lambda g: g.clamp(-1, 1))
        return h

    return between(step)


@clean
def clip_model_with_a_clamped_temperature():
    image, text = nn.Linear(4, 3), nn.Linear(4, 3)
    log_scale = torch.tensor(2.0, requires_grad=True)

    def loss(x, y):
        a, b = F.normalize(image(x), dim=-1), F.normalize(text(y), dim=-1)
        logits = log_scale.clamp(max=4.6).exp() * a @ b.T
        labels = torch.arange(len(x))
        return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2

    return Run(loss, (rows(), rows()), parameters=_named(image=image, text=text) | {"log_scale": log_scale})


@clean
def embedding_with_sparse_gradients():
    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(20, 8, sparse=True)
            self.out = nn.Linear(8, 1)

        def forward(self, words):
            return self.out(self.table(words).mean(1))

    return Run(Bag(), (torch.randint(20, (12, 3)),), square)


@clean
def graph_with_learned_weights_of_its_edges():
    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.weigh, self.out = nn.Linear(8, 1), nn.Linear(4, 2)

        def forward(self, x, edges):
            weights = self.weigh(torch.cat([x[edges[0]], x[edges[1]]], 1))[:, 0]
            adjacency = torch.sparse_coo_tensor(edges, weights, (len(x), len(x)), check_invariants=False)
            return torch.sparse.mm(adjacency, self.out(x))

    return Run(Graph(), (rows(12), torch.randint(12, (2, 40))), square)
