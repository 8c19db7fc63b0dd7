"""Gaps whose operation has no slope: indices, draws, comparisons, rounding, counts."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import distributions, nn

from .case import Program, Run, between, collector, rows, square

PROGRAMS: list[Program] = []
gap = collector(PROGRAMS)


@gap
def argmax_one_hot():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.scores = nn.Linear(4, 6)
            self.vectors = nn.Parameter(torch.randn(6, 3))

        def forward(self, x):
            logits = self.scores(x)
            best = logits.argmax(dim=-1)  # GAP
            chosen = F.one_hot(best, num_classes=6)
            return chosen.float() @ self.vectors

    return Run(Words(), (rows(),), square)


@gap
def argmax_then_embedding():
    class Speaker(nn.Module):
        def __init__(self):
            super().__init__()
            self.speak = nn.Linear(4, 9)
            self.embed = nn.Embedding(9, 4)
            self.hear = nn.Linear(4, 2)

        def forward(self, x):
            message = torch.argmax(self.speak(x), -1)  # GAP
            return self.hear(self.embed(message))

    return Run(Speaker(), (rows(),), square)


@gap
def nearest_code():
    class Quantiser(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Linear(4, 3)
            self.codes = nn.Embedding(8, 3)
            self.decoder = nn.Linear(3, 4)

        def forward(self, x):
            z = self.encoder(x)
            distances = torch.cdist(z, self.codes.weight)
            index = distances.min(dim=1).indices  # GAP
            return self.decoder(self.codes(index))

    x = rows()
    return Run(Quantiser(), (x,), lambda y: F.mse_loss(y, x))


@gap
def indices_of_top_k():
    class Pointer(nn.Module):
        def __init__(self):
            super().__init__()
            self.score = nn.Linear(4, 1)
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            scores = self.score(x).squeeze(-1)
            _, index = torch.topk(scores, k=3)  # GAP
            return self.head(x[index])

    return Run(Pointer(), (rows(),), square)


@gap
def ranks_by_argsort():
    def step(h):
        ranks = h.argsort(-1)  # GAP
        ranks = ranks.argsort(-1)
        return ranks.float() / h.shape[-1]

    return between(step)


@gap
def indices_of_sort():
    def spearman(scores, weight):
        predicted = scores * weight
        order = torch.sort(predicted, descending=True)[1]  # GAP
        return (order.to(torch.float32) * scores).mean()

    weight = torch.randn(6, requires_grad=True)
    return Run(spearman, (torch.randn(6), weight), parameters={"weight": weight})


@gap
def embedding_of_a_computed_index():
    class Time(nn.Module):
        def __init__(self):
            super().__init__()
            self.clock = nn.Linear(4, 1)
            self.embedding = nn.Embedding(10, 3)

        def forward(self, x):
            t = torch.sigmoid(self.clock(x)) * 9
            return self.embedding(t.long())  # GAP

    return Run(Time(), (rows(),), square)


@gap
def index_arithmetic():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.locate = nn.Linear(4, 2)
            self.grid = nn.Parameter(torch.randn(3, 8, 8))

        def forward(self, x):
            where = (self.locate(x).sigmoid() * 7).int()  # GAP
            flat = where[:, 0] * 8 + where[:, 1]
            return self.grid.flatten(1)[:, flat.long()]

    return Run(Table(), (rows(),), square)


@gap
def multinomial():
    class Sampler(nn.Module):
        def __init__(self):
            super().__init__()
            self.policy = nn.Linear(4, 5)
            self.values = nn.Parameter(torch.randn(5))

        def forward(self, x):
            probabilities = F.softmax(self.policy(x), dim=-1)
            action = torch.multinomial(probabilities, num_samples=1)  # GAP
            return self.values[action.squeeze(1)]

    return Run(Sampler(), (rows(),), square)


@gap
def bernoulli():
    return between(
        lambda h: torch.bernoulli(torch.sigmoid(h))  # GAP
    )


@gap
def bernoulli_distribution():
    def step(h):
        gate = distributions.Bernoulli(logits=h)
        return gate.sample() * 2  # GAP

    return between(step)


@gap
def categorical_sample():
    def step(h):
        policy = distributions.Categorical(probs=h.softmax(-1))
        action = policy.sample()  # GAP
        return F.one_hot(action, h.shape[-1]).float()

    return between(step)


@gap
def normal_sample():
    class Vae(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Linear(4, 6)
            self.decode = nn.Linear(3, 4)

        def forward(self, x):
            mean, log_std = self.encode(x).chunk(2, dim=-1)
            z = distributions.Normal(mean, log_std.exp()).sample()  # GAP
            return self.decode(z)

    x = rows()
    return Run(Vae(), (x,), lambda y: F.mse_loss(y, x))


@gap
def torch_normal():
    def step(h):
        return torch.normal(h, 0.1)  # GAP

    return between(step)


@gap
def poisson():
    return between(
        lambda h: torch.poisson(F.softplus(h)) / 3  # GAP
    )


@gap
def uniform_below_probability():
    def step(h):
        keep = torch.rand_like(h) < torch.sigmoid(h)  # GAP
        return keep.float()

    return between(step)


@gap
def comparison():
    def accuracy(x, y):
        return 1 - ((model(x).squeeze() > 0) == y).float().mean()  # GAP

    model = nn.Linear(4, 1)
    return Run(accuracy, (rows(), torch.arange(6) % 2 == 0), parameters=dict(model.named_parameters()))


@gap
def ge_method():
    return between(
        lambda h: h.ge(0.5).type(torch.float32)  # GAP
    )


@gap
def where_of_constants():
    def step(h):
        return torch.where(h > 0, 1.0, -1.0)  # GAP

    return between(step)


@gap
def sign():
    class Binary(nn.Linear):
        def forward(self, x):
            return F.linear(x, torch.sign(self.weight), self.bias)  # GAP

    return Run(Binary(4, 2), (rows(),), square)


@gap
def round_in_place():
    def step(h):
        h = 4 * h
        h.round_()  # GAP
        return h / 4

    return between(step)


@gap
def round_to_decimals():
    return between(
        lambda h: torch.round(h, decimals=2)  # GAP
    )


@gap
def floor():
    def step(h):
        scaled = h * 255
        return scaled.floor() / 255  # GAP

    return between(step)


@gap
def floor_division():
    return between(
        lambda h: h // 0.25 * 0.25  # GAP
    )


@gap
def division_with_a_rounding_mode():
    return between(
        lambda h: torch.div(h, 0.1, rounding_mode="trunc")  # GAP
    )


@gap
def ceil_and_trunc():
    def step(h):
        up = h.ceil()  # GAP
        return up.trunc()

    return between(step)


@gap
def heaviside():
    threshold = torch.tensor(1.0)

    def step(h):
        return torch.heaviside(h, threshold)  # GAP

    return between(step)


@gap
def histogram():
    def loss(x):
        h = model(x)
        counts = torch.histc(h, bins=5, min=-2, max=2)  # GAP
        return ((counts / h.numel() - 0.2) ** 2).sum()

    model = nn.Linear(4, 3)
    return Run(loss, (rows(),), parameters=dict(model.named_parameters()))


@gap
def bincount():
    def balance(x):
        chosen = router(x).argmax(-1)  # GAP
        load = torch.bincount(chosen, minlength=4).float()
        return ((load / load.sum() - 0.25) ** 2).sum()

    router = nn.Linear(4, 4)
    return Run(balance, (rows(),), parameters=dict(router.named_parameters()))


@gap
def searchsorted():
    edges = torch.linspace(-2, 2, 9)

    def step(h):
        bins = torch.searchsorted(edges, h)  # GAP
        return bins / 8

    return between(step)


@gap
def bucketize():
    return between(
        lambda h: torch.bucketize(h, torch.tensor([-1.0, 0.0, 1.0])).float()  # GAP
    )


@gap
def count_of_the_large():
    def sparsity(x):
        h = model(x)
        return torch.count_nonzero(h > 0.1, dim=-1).float().mean()  # GAP

    model = nn.Linear(4, 4)
    return Run(sparsity, (rows(),), parameters=dict(model.named_parameters()))


@gap
def vmapped_round():
    def one(row):
        h = torch.tanh(row)
        return torch.round(h * 3)  # GAP

    return between(torch.vmap(one))
