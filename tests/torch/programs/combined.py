"""Gaps and clean programs in which one part of the library meets another, or one gap another."""

import jax
import jax.numpy as jnp
import torch
from torch import nn

from spanax.torch import from_torch, straight_through, to_torch

from .case import Program, Run, between, collector, rows, square

GAPS: list[Program] = []
CLEAN: list[Program] = []
gap, clean = collector(GAPS), collector(CLEAN)


@gap
def round_in_jax():
    f = to_torch(jnp.round)
    return between(lambda h: f(h))  # GAP


@gap
def argmax_in_jax():
    f = to_torch(lambda h: jax.nn.one_hot(jnp.argmax(h, -1), 5))

    def step(h):
        return f(h)  # GAP

    return between(step)


@gap
def one_of_two_arguments_in_jax():
    f = to_torch(lambda h, g: jnp.sign(h) * g)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.sign, self.size = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return f(self.sign(x), self.size(x))  # GAP

    return Run(Net(), (rows(),), square)


@gap
def detached_in_a_torch_network_in_jax():
    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 5)

        def forward(self, x):
            return self.layer(x.detach())

    network, params = from_torch(Detached())
    f = to_torch(lambda h: network(params, h))
    return between(lambda h: f(h))  # GAP


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, field, z):
        for _ in range(3):
            z = z + 0.1 * field(z)
        return z

    @staticmethod
    def backward(ctx, *grads):
        return None, grads[0]


@gap
def weights_that_a_function_gets_hold_of():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.field, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.last(_Adjoint.apply(self.field, self.first(x)))  # GAP

    return Run(Net(), (rows(),), square)


@gap
def rounds_with_a_gap_each():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.drift, self.jump = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            for _ in range(300):
                x = x + 0.01 * self.drift(x) + 0.01 * self.jump(x).sign()  # GAP
            return x

    return Run(Net(), (rows(),), square)


@gap
def weights_set_by_another_network():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.maker, self.layer, self.last = nn.Linear(3, 8), nn.Linear(4, 2), nn.Linear(2, 1)

        def forward(self, z, x):
            self.layer.weight.data = self.maker(z).view(2, 4)  # GAP
            return self.last(self.layer(x))

    return Run(Net(), (torch.randn(3), rows()), square)


@clean
def moving_average_by_data():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.student, self.teacher = nn.Linear(4, 3), nn.Linear(4, 3).requires_grad_(False)

        def forward(self, x):
            for mine, its in zip(self.student.parameters(), self.teacher.parameters(), strict=True):
                its.data = 0.9 * its.data + 0.1 * mine.data
            return self.student(x) - self.teacher(x)

    return Run(Net(), (rows(),), square)


@clean
def straight_through_of_ours():
    return between(lambda h: straight_through(h.round(), h))


@clean
def straight_through_of_a_choice():
    return between(lambda h: straight_through(nn.functional.one_hot(h.argmax(-1), 5).float(), h.softmax(-1)))


@clean
def index_and_value_in_jax():
    f = to_torch(lambda h: {"value": jnp.tanh(h), "index": jnp.argmax(h, -1)})

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.table = nn.Linear(4, 5), nn.Embedding(5, 5)

        def forward(self, x):
            found = f(self.first(x))
            return found["value"] + self.table(found["index"])

    return Run(Net(), (rows(),), square)


@clean
def sparse_embedding():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(7, 4, sparse=True), nn.Linear(4, 2)

        def forward(self, tokens):
            return self.head(self.table(tokens))

    return Run(Net(), (torch.randint(0, 7, (3, 5)),), square)


def two_gaps_of_layers_alike() -> nn.Module:
    """The first layer looks like a target network: no derivative, and of the form of the last one."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            with torch.no_grad():
                h = self.first(x)
            return self.last(torch.tensor(self.second(h).tolist()))

    return Net()
