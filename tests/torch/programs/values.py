"""Gaps that take a value out of the graph: detach and its kin, blocks without gradient, the host, casts."""

import math

import numpy as np
import torch
from torch import nn

from .case import Program, Run, between, collector, rows, square

PROGRAMS: list[Program] = []
gap = collector(PROGRAMS)


@gap
def detach():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8))
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            features = self.body(x)
            features = features.detach()  # GAP
            return self.head(features)

    return Run(Net(), (rows(),), square)


@gap
def detach_in_place():
    def step(h):
        h = h * 2
        h.detach_()  # GAP
        return h

    return between(step)


@gap
def clone_detach():
    return between(
        lambda h: h.clone().detach().requires_grad_()  # GAP
    )


@gap
def data():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 4))
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return nn.functional.linear(x, self.weight.data) * self.scale  # GAP

    return Run(Scaled(), (rows(),), square)


@gap
def wrapped_as_a_parameter():
    return between(
        lambda h: nn.Parameter(h)  # GAP
    )


@gap
def tensor_of_a_tensor():
    return between(
        lambda h: torch.tensor(h, requires_grad=True)  # GAP
    )


@gap
def new_tensor():
    def step(h):
        return h.new_tensor(h)  # GAP

    return between(step)


@gap
def no_grad_block():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

        def forward(self, x):
            for i, layer in enumerate(self.layers):
                if i == 1:
                    with torch.no_grad():
                        x = torch.tanh(layer(x))  # GAP
                else:
                    x = torch.tanh(layer(x))
            return x

    return Run(Net(), (rows(),), square)


@gap
def no_grad_decorator():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Linear(4, 4)
            self.decoder = nn.Linear(4, 4)

        @torch.no_grad()
        def encode(self, x):
            scaled = x / 2
            code = self.encoder(scaled)  # GAP
            return torch.tanh(code)

        def forward(self, x):
            return self.decoder(self.encode(x))

    return Run(Net(), (rows(),), square)


@gap
def no_grad_forward():
    class Embed(nn.Module):
        def __init__(self):
            super().__init__()
            self.proj = nn.Linear(4, 4)

        @torch.no_grad()
        def forward(self, x):
            x = x.float()
            return self.proj(x)  # GAP

    return Run(nn.Sequential(Embed(), nn.Linear(4, 2)), (rows(),), square)


@gap
def inference_mode():
    def step(h):
        with torch.inference_mode():
            g = h * 3.0  # GAP
            g = g + 1
        return g.clone()

    return between(step)


@gap
def set_grad_enabled():
    class Net(nn.Module):
        def __init__(self, train_trunk=False):
            super().__init__()
            self.trunk = nn.Linear(4, 4)
            self.head = nn.Linear(4, 1)
            self.train_trunk = train_trunk

        def forward(self, x):
            with torch.set_grad_enabled(self.train_trunk):
                h = self.trunk(x)  # GAP
            return self.head(h)

    return Run(Net(), (rows(),), square)


@gap
def loss_made_anew():
    model = nn.Linear(4, 2)

    def step(x, y):
        loss = nn.functional.mse_loss(model(x), y)
        return torch.tensor(loss.item(), requires_grad=True)  # GAP

    return Run(step, (rows(), rows(6, 2)), parameters=dict(model.named_parameters()))


@gap
def item_in_a_list():
    def step(h):
        means = [row.mean().item() for row in h]  # GAP
        return torch.tensor(means).unsqueeze(1).expand(-1, 5)

    return between(step)


@gap
def tolist():
    return between(
        lambda h: torch.as_tensor(h.tolist())  # GAP
    )


@gap
def float_of_a_tensor():
    class Gain(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.tensor(0.5))
            self.linear = nn.Linear(4, 2)

        def forward(self, x):
            return self.linear(x) * float(self.gain)  # GAP

    return Run(Gain(), (rows(),), square)


@gap
def integer_of_a_tensor():
    width = torch.tensor(2.7, requires_grad=True)
    weight = torch.randn(4, requires_grad=True)

    def smooth(x):
        steps = int(width)  # GAP
        return ((x * weight).sum(-1) / steps).mean()

    return Run(smooth, (rows(),), parameters={"width": width, "weight": weight})


@gap
def math_exp():
    log_scale = torch.tensor(0.3, requires_grad=True)
    mean = torch.zeros(4, requires_grad=True)

    def negative_log_likelihood(x):
        scale = math.exp(log_scale)  # GAP
        return (((x - mean) / scale) ** 2).mean() / 2

    return Run(negative_log_likelihood, (rows(),), parameters={"log_scale": log_scale, "mean": mean})


@gap
def numpy_work():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.last = nn.Linear(4, 4)

        def forward(self, x):
            h = self.first(x).detach().cpu().numpy()  # GAP
            h = np.maximum(h, 0) / (1 + np.abs(h).max(axis=1, keepdims=True))
            return self.last(torch.from_numpy(h).to(x))

    return Run(Net(), (rows(),), square)


@gap
def numpy_asarray():
    def step(h):
        values = np.asarray(h.detach())  # GAP
        return torch.tensor(np.sort(values, axis=-1))

    return between(step)


@gap
def numpy_within_no_grad():
    def standard(h):
        with torch.no_grad():
            h = h.numpy()  # GAP
        return torch.as_tensor((h - h.mean()) / h.std())

    return between(standard)


@gap
def integer_cast():
    return between(
        lambda h: (10 * h).to(torch.int64).float() / 10  # GAP
    )


@gap
def cast_to_the_type_of_another():
    labels = torch.arange(6)

    def step(h):
        h = h.type_as(labels)  # GAP
        return h.float()

    return between(step)


@gap
def boolean_cast():
    def step(h):
        active = torch.relu(h).bool()  # GAP
        return active.to(h.dtype)

    return between(step)


@gap
def fake_quantisation_without_straight_through():
    class Quantised(nn.Linear):
        def forward(self, x):
            scale = 0.01
            weight = torch.clamp(self.weight / scale, -128, 127).to(torch.int8)  # GAP
            return nn.functional.linear(x, weight.to(x.dtype) * scale, self.bias)

    return Run(nn.Sequential(Quantised(4, 4), nn.ReLU(), nn.Linear(4, 1)), (rows(),), square)


@gap
def frozen_in_the_forward_pass():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(4)
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            self.norm.weight.requires_grad_(False)  # GAP
            return self.head(self.norm(x))

    return Run(Net(), (rows(),), square)


@gap
def penalty_without_create_graph():
    critic = nn.Sequential(nn.Linear(4, 8), nn.Softplus(), nn.Linear(8, 1))

    def penalty(x):
        x = x.clone().requires_grad_()
        slope = torch.autograd.grad(critic(x).sum(), x)[0]  # GAP
        return ((slope.norm(dim=1) - 1) ** 2).mean()

    return Run(penalty, (rows(),), parameters=dict(critic.named_parameters()))
