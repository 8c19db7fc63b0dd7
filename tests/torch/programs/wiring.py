"""Gaps by overwriting, by functions with a backward pass of their own, in hooks and checkpoints, saturated ones, and NaN."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.utils.checkpoint import checkpoint

from .case import Between, Program, Run, between, collector, rows, square

PROGRAMS: list[Program] = []
gap = collector(PROGRAMS)


@gap
def zeroed():
    def step(h):
        h = h.clone()
        h.zero_()  # GAP
        return h + 1

    return between(step)


@gap
def overwritten():
    def step(h):
        h[:] = torch.linspace(0, 1, h.shape[-1])  # GAP
        return h

    return between(step)


@gap
def copied_over():
    noise = torch.randn(6, 5)

    def step(h):
        return h.copy_(noise)  # GAP

    return between(step)


@gap
def filled():
    return between(
        lambda h: h.masked_fill(torch.ones_like(h, dtype=torch.bool), 0.3)  # GAP
    )


@gap
def filled_through_data():
    def step(h):
        out = torch.zeros_like(h)
        out.data.copy_(h)  # GAP
        return out

    return between(step)


@gap
def buffer_filled_under_no_grad():
    class Memory(nn.Module):
        def __init__(self):
            super().__init__()
            self.write = nn.Linear(4, 4)
            self.read = nn.Linear(4, 2)
            self.register_buffer("memory", torch.zeros(6, 4))

        def forward(self, x):
            h = self.write(x)
            with torch.no_grad():
                self.memory.copy_(h)  # GAP
            return self.read(self.memory.clone())

    return Run(Memory(), (rows(),), square)


@gap
def out_argument():
    buffer = torch.empty(6, 5)

    def step(h):
        with torch.no_grad():
            torch.mul(h, 2, out=buffer)  # GAP
        return buffer.clone()

    return between(step)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(weight)
        return x * weight

    @staticmethod
    def backward(ctx, gradient):
        (weight,) = ctx.saved_tensors
        return gradient * weight, None


@gap
def function_that_forgets_an_argument():
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)
            self.gate = nn.Parameter(torch.randn(4))

        def forward(self, x):
            h = self.linear(x)
            return _Product.apply(h, self.gate)  # GAP

    return Run(Gate(), (rows(),), square)


class _Zeros(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.exp()

    @staticmethod
    def backward(ctx, gradient):
        return torch.zeros_like(gradient)


@gap
def function_that_returns_zeros():
    return between(
        lambda h: _Zeros.apply(h)  # GAP
    )


class _Marked(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return x * 2

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2


@gap
def function_marked_non_differentiable():
    apply = _Marked.apply

    def step(h):
        return apply(h)  # GAP

    return between(step)


@gap
def hook_that_detaches():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))

    def keep(module, inputs, output):
        return output.detach()  # GAP

    model[1].register_forward_hook(keep)
    return Run(model, (rows(),), square)


class _Lambda(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@gap
def lambda_in_a_sequential():
    return Run(
        nn.Sequential(
            nn.Linear(4, 4),
            _Lambda(lambda x: x.clamp(0, 1).round()),  # GAP
            nn.Linear(4, 2),
        ),
        (rows(),),
        square,
    )


@gap
def within_a_checkpoint():
    def body(h):
        h = torch.tanh(h)
        return h.ceil()  # GAP

    return between(lambda h: checkpoint(body, h, use_reentrant=False))


@gap
def within_a_reentrant_checkpoint():
    def body(h):
        h = torch.tanh(h)
        return torch.floor(h)  # GAP

    return between(lambda h: checkpoint(body, h, use_reentrant=True))


@gap
def reentrant_checkpoint_without_a_gradient_at_its_input():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            h = checkpoint(self.body, x, use_reentrant=True)  # GAP
            return self.head(h)

    return Run(Net(), (rows(),), square)


@gap
def recurrent_state():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Linear(4, 4)
            self.lstm = nn.LSTM(4, 6, batch_first=True)
            self.head = nn.Linear(6, 1)

        def forward(self, x):
            tokens = self.encoder(x)
            tokens = tokens.detach()  # GAP
            out, _ = self.lstm(tokens.unsqueeze(0))
            return self.head(out[:, -1])

    return Run(Net(), (rows(),), square)


@gap
def attention_with_hard_weights():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.key = nn.Linear(8, 8)

        def forward(self, x):
            y, _ = self.attention(x, x, x)
            scores = self.key(y) @ x.transpose(1, 2)
            hard = (scores == scores.amax(-1, keepdim=True)).to(x.dtype)  # GAP
            return hard @ y

    return Run(Net(), (torch.randn(2, 5, 8),), square)


@gap
def under_autocast():
    class Net(Between):
        def forward(self, x):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                h = self.first(x)
                h = h.round()  # GAP
                return self.last(h).float()

    return Run(Net(None), (rows(),), square)


@gap
def functional_call():
    model = nn.Linear(4, 2)
    weights = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}

    def loss(x):
        rounded = {name: torch.trunc(8 * w) / 8 for name, w in weights.items()}  # GAP
        return square(torch.func.functional_call(model, rounded, (x,)))

    return Run(loss, (rows(),), parameters=weights)


@gap
def dictionary_of_outputs():
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = nn.Linear(4, 6)
            self.heads = nn.ModuleDict({"boxes": nn.Linear(6, 4), "classes": nn.Linear(6, 3)})

        def forward(self, x):
            h = F.relu(self.trunk(x))
            out = {name: head(h) for name, head in self.heads.items()}
            out["boxes"] = out["boxes"].detach()  # GAP
            return out

    return Run(Heads(), (rows(),), lambda out: square(out["boxes"]) + square(out["classes"]))


@gap
def one_of_a_list():
    class Pyramid(nn.Module):
        def __init__(self):
            super().__init__()
            self.levels = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])

        def forward(self, x):
            outs = [level(x) for level in self.levels]
            outs[1] = torch.sign(outs[1])  # GAP
            return torch.cat(outs, -1)

    return Run(Pyramid(), (rows(),), square)


@gap
def dead_relu():
    class Net(Between):
        def forward(self, x):
            return self.last(F.relu(self.first(x) - 50))  # GAP

    return Run(Net(None), (rows(),), square)


@gap
def saturated_sigmoid():
    return between(
        lambda h: torch.sigmoid(1e4 * (h + 10))  # GAP
    )


@gap
def saturated_softmax():
    class Attend(nn.Module):
        def __init__(self):
            super().__init__()
            self.score = nn.Linear(4, 1)

        def forward(self, x):
            logits = self.score(x).squeeze(-1)
            weights = F.softmax(logits * 1e6, dim=0)  # GAP
            return weights @ x

    return Run(Attend(), (rows(),), square)


@gap
def clamped_away():
    def step(h):
        return h.clamp_(min=100.0)  # GAP

    return between(step)


@gap
def logarithm_of_the_negative():
    return between(
        lambda h: torch.log(h - 100)  # GAP
    )


@gap
def normalised_over_a_batch_of_one():
    def step(h):
        one = h[:1]
        return (one - one.mean(0)) / one.std(0, unbiased=False)  # GAP

    return between(step)


@gap
def root_at_zero():
    def step(h):
        far = h - h[:1]  # the first is at no distance from itself
        return far + far.pow(2).sum(-1, keepdim=True).sqrt()  # GAP

    return between(step)


@gap
def row_of_nothing_but_padding():
    padding = torch.zeros(6, 5, dtype=torch.bool)
    padding[2] = True

    def step(h):
        masked = h.masked_fill(padding, -torch.inf)
        return masked.softmax(-1)  # GAP

    return between(step)


@gap
def overflow_in_exp():
    def step(h):
        e = torch.exp(h + 1000)  # GAP
        return e / e.sum(-1, keepdim=True)

    return between(step)
