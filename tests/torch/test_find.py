"""`spanax.torch.find_gaps`: what it says of a program, and that it leaves the program as it was."""

import copy
import json
import random
import re
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import spanax as sx
import spanax.torch as st
from spanax.torch._finder import remedies, words


class Net(nn.Module):
    """Two layers with something between them."""

    def __init__(self, between=lambda h: h):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
        self.between = between

    def forward(self, x):
        return self.last(self.between(torch.tanh(self.first(x))))


X = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))
Y = torch.arange(16) % 3


def cross_entropy(output):
    return F.cross_entropy(output, Y)


def round_it(h):
    return torch.round(3 * h)


def test_the_report_names_line_operation_parameters_and_remedies():
    report = st.find_gaps(Net(round_it), X, loss=cross_entropy)
    (gap,) = report.gaps
    assert (gap.operation, gap.kind, gap.route) == ("round", "zero", "value")
    assert gap.file == __file__ and gap.source == "return torch.round(3 * h)"
    assert gap.leaf == report.starved == ("first.weight", "first.bias")
    assert report.verdict == "partial" and report.alarms == report.gaps
    assert report.per_leaf == {
        "first.weight": "dead",
        "first.bias": "dead",
        "last.weight": "alive",
        "last.bias": "alive",
    }
    assert gap.remedies and "round at test_find.py" in str(report)
    assert json.loads(report.to_json())["starved"] == ["first.weight", "first.bias"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_program_without_gaps(dtype):
    report = st.find_gaps(Net().to(dtype), X.to(dtype), loss=cross_entropy)
    assert report.verdict == "alive" and not report.gaps and not report.starved and report.checked


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, lambda: torch.device("meta")])
def test_inside_of_a_context_of_the_callers(context):
    net = Net(round_it)
    with context():
        report = st.find_gaps(net, X)
    assert report.starved == ("first.weight", "first.bias") and len(report.alarms) == 1


@pytest.mark.parametrize(
    "bridge",
    [
        lambda h: st.round(h, via=sx.StraightThrough()),
        lambda h: st.step(h, via=sx.Soft(0.1)),
        lambda h: st.clip(h, -1, 1),
        st.gumbel_softmax,
        st.reinmax,
        lambda h: st.soft_rank(h, 0.1),
        lambda h: st.soft_sort(h, 0.1),
    ],
)
def test_what_a_bridge_does_inside_is_not_listed(bridge):
    report = st.find_gaps(Net(bridge), X, loss=cross_entropy)
    assert report.verdict == "alive" and not report.gaps
    # Without a bridge it raises, which is the user's to see.
    assert st.find_gaps(Net(st.round), X, loss=cross_entropy).alarms


def test_one_gap_does_not_hide_another():
    deep = nn.Sequential(nn.Linear(4, 4), Net(torch.sign))

    def program(x):
        h = torch.floor(deep[0](x))
        return deep[1](h).detach().sum() + deep[1](h.cos()).sum()

    report = st.find_gaps(program, X)
    assert {gap.operation for gap in report.alarms} == {"floor", "sign"}


# -- that nothing is changed


class Writes(nn.Module):
    """Changes all that a forward pass may change."""

    def __init__(self):
        super().__init__()
        self.calls, self.log, self.cache, self.state = 0, [], {}, torch.zeros(4)
        self.norm, self.lin, self.drop = nn.BatchNorm1d(4), nn.Linear(4, 4), nn.Dropout()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x):
        self.count += 1
        self.calls += 1
        self.log.append(x.mean())
        self.cache["x"] = x
        self.state += x[0]
        self.new = self.state = self.state + 1
        self.seen = x[0].detach().clone()
        with torch.no_grad():
            self.lin.weight.mul_(0.9)
            self.lin.bias.data.add_(1.0)
        self.lin.bias.requires_grad_(False)
        self.drop.eval()
        x.mul_(2)
        noise = torch.randn(4) + random.random() + float(np.random.rand())
        return self.drop(self.lin(self.norm(x))) + noise


def test_everything_is_as_it_was():
    model, x = Writes(), X.clone()
    model(x.clone()).sum().backward()
    model.lin.bias.requires_grad_()
    model.train()
    model.norm.eval()
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    grads = {name: p.grad if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    same_grads = {name: p.grad for name, p in model.named_parameters()}
    state = model.state.clone()
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    memory = {name: p.data_ptr() for name, p in model.named_parameters()}
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()

    st.find_gaps(model, x)

    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for name, p in model.named_parameters():
        assert p.requires_grad and p.data_ptr() == memory[name] and p.grad is same_grads[name]
        assert grads[name] is None or torch.equal(p.grad, grads[name])
    assert (model.calls, len(model.log), list(model.cache)) == (1, 1, ["x"])
    assert torch.equal(model.state, state) and torch.equal(model.new, state)
    assert torch.equal(x, X) and not x.requires_grad
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[2]
    assert np.array_equal(np.random.get_state()[1], states[1])


def test_a_program_that_fails_is_left_as_it_was_too():
    model = Writes()

    def program(x):
        model(x)
        raise RuntimeError("no such thing")

    before = copy.deepcopy(model.state_dict())
    with pytest.raises(sx.SpanaxError, match="program fails when it is called: RuntimeError: no such thing"):
        st.find_gaps(program, X.clone())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_generator_among_the_arguments_goes_on_where_it_was():
    generator = torch.Generator().manual_seed(5)
    state = generator.get_state()
    st.find_gaps(lambda x, g: Net()(x) * torch.rand(3, generator=g), X, generator)
    assert torch.equal(generator.get_state(), state)


# -- what it can be asked about


def test_a_function_of_tensors():
    report = st.find_gaps(lambda x, y: (x.floor() * y).sum(), torch.ones(3) * 0.5 + 1, torch.ones(3))
    assert report.per_leaf == {"x": "dead", "y": "alive"}


def test_whole_numbers_that_come_back_only_choose():
    net, gate = Net(), nn.Linear(4, 1)

    def program(x):
        score = gate(x)
        first = (score > 0).sum().item()
        best = score.argmax().item()
        return net(x[:first]).sum() + 2 * net(x[first:]).sum() + score[best].sum() + score.square().mean()

    report = st.find_gaps(program, X)
    assert not report.alarms and {gap.kind for gap in report.gaps} == {"piecewise"}


def test_named_parameters_of_a_function():
    w, b = torch.randn(4, 3), torch.zeros(3)
    report = st.find_gaps(lambda x: (x @ w).sign() + b, X, parameters={"w": w, "b": b})
    assert report.starved == ("w",) and not w.requires_grad


def test_modules_in_a_closure_are_named_by_their_variables():
    encoder, decoder = nn.Linear(4, 2), nn.Linear(2, 4)
    report = st.find_gaps(lambda x: decoder(encoder(x).detach()), X)
    assert report.starved == ("encoder.weight", "encoder.bias")


def test_a_method_and_its_keywords():
    class Step:
        def __init__(self):
            self.net = Net(round_it)

        def loss(self, x, *, scale, loss=1.0):
            return F.cross_entropy(self.net(x) * scale * loss, Y)

    report = st.find_gaps(Step().loss, X, scale=2.0, kwargs={"loss": 3.0})
    assert report.starved == ("first.weight", "first.bias")
    assert st.find_gaps(Net(round_it).forward, X, loss=cross_entropy).starved


def test_outputs_of_any_form_and_a_loss_of_their_own():
    net = Net(round_it)

    class Output(dict):
        loss = None

    def program(x):
        output = Output(logits=net(x))
        output.loss = cross_entropy(output["logits"])
        return output

    assert st.find_gaps(program, X).starved == ("first.weight", "first.bias")
    assert st.find_gaps(lambda x: {"a": [net(x)], "b": 3}, X).starved == ("first.weight", "first.bias")
    # The sum of a softmax has no derivative: a random combination has.
    assert st.find_gaps(lambda x: Net()(x).softmax(-1), X).verdict == "alive"


def test_the_optimizer_that_holds_a_part():
    net = Net()
    report = st.find_gaps(net, X, loss=cross_entropy, optimizer=torch.optim.SGD(net.last.parameters(), lr=0.1))
    (gap,) = report.alarms
    assert gap.operation == "left out of the optimizer" and gap.leaf == ("first.weight", "first.bias")
    assert not report.starved
    whole = torch.optim.Adam(net.parameters())
    assert not st.find_gaps(net, X, loss=cross_entropy, optimizer=whole).gaps


def test_frozen_and_evaluating_parts_are_listed_and_are_no_alarm():
    backbone = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).requires_grad_(False).eval()
    model = nn.Sequential(backbone, nn.Linear(4, 3))
    report = st.find_gaps(model, X, loss=cross_entropy)
    assert [gap.operation for gap in report.gaps] == ["frozen module 0", "eval() module 0"]
    assert not report.alarms and report.verdict == "alive"
    above = nn.Sequential(nn.Linear(4, 4), backbone, nn.Linear(4, 3))
    assert not st.find_gaps(above, X, loss=cross_entropy).alarms


def test_a_parameter_that_is_not_used_has_a_name_and_no_line():
    net = Net()
    net.extra = nn.Linear(2, 2)
    report = st.find_gaps(net, X, loss=cross_entropy)
    (gap,) = report.gaps
    assert gap.kind == "unused" and gap.leaf == report.starved == ("extra.weight", "extra.bias") and gap.line == 0
    assert not report.alarms and report.verdict == "alive" and report.per_leaf["extra.weight"] == "independent"


def test_tensors_without_numbers():
    net = Net(lambda h: h.detach()).to("meta")
    report = st.find_gaps(net, X.to("meta"))
    assert report.starved == ("first.weight", "first.bias") and not report.checked
    (gap,) = report.alarms
    assert gap.operation == "detach"
    rounding = st.find_gaps(Net(round_it).to("meta"), X.to("meta"))
    assert [gap.operation for gap in rounding.alarms] == ["round"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: st.find_gaps(3), "cannot be called"),
        (lambda: st.find_gaps(nn.LazyLinear(3), X), "no shape yet"),
        (lambda: st.find_gaps(Net(), X, loss=3), "loss=3"),
        (lambda: st.find_gaps(Net(), X, parameters=[X]), "parameters=list"),
        (lambda: st.find_gaps(Net(), X, optimizer=3), "optimizer=3"),
        (lambda: st.assert_alive(Net(), X, allow="first.*"), "allow="),
        (lambda: st.find_gaps(Net(), X, loss=lambda output: output), "of shape .16, 3."),
        (lambda: st.find_gaps(Net(), X, loss=lambda output: 3.0), "loss.output. is float"),
        (lambda: st.find_gaps(lambda: 3), "no parameter and no floating-point argument"),
        (lambda: st.find_gaps(Net(), X, parameters={"w": 3}), "w: not a tensor"),
        (lambda: st.find_gaps(Net(), X[:, :2]), "fails when it is called"),
        (lambda: st.find_gaps(lambda x: Net()(x).argmax(), X), "no floating-point tensor"),
        (lambda: st.hidden_gradient(Net(), X, pairs=2), "pairs"),
        (lambda: st.hidden_gradient(Net(), X, sigma=-1.0), "sigma"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(sx.SpanaxError, match=message):
        call()


# -- exceptions and numbers that are none


def test_a_custom_function_that_gives_zeros():
    class Zeros(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, grad):
            return torch.zeros_like(grad)

    (gap,) = st.find_gaps(Net(Zeros.apply), X, loss=cross_entropy).alarms
    assert (gap.operation, gap.kind) == ("Zeros", "zero") and "backward" in gap.remedies[0]


def test_a_derivative_that_raises_is_named():
    class Raises(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            raise NotImplementedError("not yet")

    report = st.find_gaps(Net(Raises.apply), X, loss=cross_entropy)
    (gap,) = report.alarms
    assert gap.kind == "no-rule" and "not yet" in gap.note and set(report.starved) >= {"first.weight", "first.bias"}


def test_the_first_operation_that_makes_nan():
    forward = st.find_gaps(Net(lambda h: torch.log(h - 2)), X, loss=cross_entropy)
    assert (forward.not_finite.of, forward.not_finite.makes, forward.not_finite.operation) == ("value", "nan", "log")
    backward = st.find_gaps(Net(lambda h: torch.sqrt(h - h.detach()) + h), X, loss=cross_entropy)
    assert (backward.not_finite.of, backward.not_finite.operation) == ("derivative", "sqrt")
    mask = torch.eye(8, dtype=torch.bool).repeat(2, 1)
    masked = st.find_gaps(Net(lambda h: torch.softmax(h.masked_fill(mask, -torch.inf), -1)), X, loss=cross_entropy)
    assert masked.not_finite is None


# -- for tests


def test_behind_a_gate_that_begins_at_zero_nothing_is_wrong():
    class Adapted(nn.Module):
        def __init__(self):
            super().__init__()
            self.base, self.down, self.up = nn.Linear(4, 4), nn.Linear(4, 2, bias=False), nn.Linear(2, 4, bias=False)
            nn.init.zeros_(self.up.weight)

        def forward(self, x):
            return (self.base(x) + self.up(self.down(x))).square().mean()

    report = st.find_gaps(Adapted(), X)
    assert report.starved == report.asleep == ("down.weight",) and not report.alarms and not report.flat
    assert "not after a step: down.weight" in str(report)
    st.assert_alive(Adapted(), X)
    # What is 0 nearby as well is behind no such gate.
    dead = Net(lambda h: (h.register_hook(lambda slope: 0 * slope), h)[1])
    report = st.find_gaps(dead, X, loss=cross_entropy)
    assert report.starved == report.flat == ("first.weight", "first.bias") and report.asleep == ()
    with pytest.raises(sx.SpanaxError, match=r"first\.weight, first\.bias"):
        st.assert_alive(dead, X, loss=cross_entropy)


def test_assert_alive():
    st.assert_alive(Net(), X, loss=cross_entropy)
    with pytest.raises(sx.SpanaxError, match=r"no whole gradient reaches first\.weight, first\.bias"):
        st.assert_alive(Net(round_it), X, loss=cross_entropy)
    st.assert_alive(Net(round_it), X, loss=cross_entropy, allow=["first.*"])
    with pytest.raises(sx.SpanaxError, match="not finite"):
        st.assert_alive(Net(lambda h: h * torch.inf), X, loss=cross_entropy)


pytest_plugins = ["spanax.torch.fixtures"]


def test_the_fixture(alive):
    alive(Net(), X, loss=cross_entropy)
    with pytest.raises(pytest.fail.Exception, match="round at test_find"):
        alive(Net(round_it), X, loss=cross_entropy)


def test_what_a_remedy_names_is_there():
    operations = [
        *("round", "detach", ".data", "argmax", "histc", "item", "comparison", "cast to int64", "Bernoulli draw"),
        *("relu", "softmax", "x", "torch.no_grad block", "heaviside", "sign"),
    ]
    for operation in operations:
        for kind in ("zero", "saturated", "no-rule"):
            for route in ("value", "index", "branch"):
                for text in remedies.remedies(operation, kind, route):
                    for name in re.findall(r"spanax\.torch\.(\w+)", text):
                        assert hasattr(st, name), text
                    for name in re.findall(r"spanax\.([A-Z]\w+)", text):
                        assert hasattr(sx, name), text
    assert words.operation("__setitem__", "", None) == "assignment to elements"


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "hardshrink"])
def test_what_is_pasted_for_a_step_keeps_its_value(name):
    """Rounding in the place of a floor would be another program."""
    (first, *_) = remedies.remedies(name, "zero", "value")
    x = torch.tensor([-1.7, -0.4, 0.6, 2.5], requires_grad=True)
    hard = getattr(torch, name, None) or getattr(F, name)
    scope = {"torch": torch, "spanax": sx, "x": x}
    exec(first, scope)
    assert torch.equal(scope["y"], hard(x)) and scope["y"].requires_grad


def test_a_remedy_for_a_draw_is_one_that_its_distribution_has():
    for family, first in (
        ("Normal", "rsample"),
        ("Gamma", "rsample"),
        ("Poisson", "surrogate_loss"),
        ("Bernoulli", "surrogate"),
    ):
        texts = remedies.remedies(f"{family} draw", "zero", "value")
        assert first in texts[0] and "gumbel" not in str(texts)
    assert "gumbel" in str(remedies.remedies("Categorical draw", "zero", "value"))


def test_threads_and_programs_that_ask_themselves_do_not_disturb_each_other():
    layer, wrong = nn.Linear(4, 2), []

    def ask(round_it):
        for _ in range(4):
            found = st.find_gaps(lambda x: (layer(x).round() if round_it else layer(x).sin()).sum(), X)
            if (found.verdict == "dead") != round_it:
                wrong.append(found)

    threads = [threading.Thread(target=ask, args=(bool(number % 2),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def itself(x):
        st.find_gaps(layer, x)
        return layer(x).round().sum()

    assert not wrong and st.find_gaps(itself, X).verdict == "dead"
    assert "apply" not in vars(torch.utils.checkpoint.CheckpointFunction)


# -- what a gap hides


def test_hidden_gradient_of_a_step_beside_a_slope():
    """E[step(v + sigma u)] has the slope phi(v / sigma) / sigma, and autograd sees the other term's alone."""
    v = torch.zeros(200, dtype=torch.float64)
    sigma = 0.5
    (hidden,) = st.hidden_gradient(lambda x: ((x > 0).double() + 0.3 * x).mean(), v, sigma=sigma, pairs=400)
    slope = 1 / (sigma * np.sqrt(2 * np.pi))
    expected = slope / (slope + 0.3)
    # False alarm: 6e-5, at four standard errors.
    assert abs(hidden.share - expected) < 4 * hidden.standard_error < 0.2
    assert hidden.gap.operation == "comparison" and hidden.sigma == sigma


def test_gaps_are_ranked_by_what_they_hide():
    def program(x):
        return ((x > 0).float() + 0.01 * (2 * x).floor()).mean()

    hidden = st.hidden_gradient(program, torch.linspace(-0.3, 0.3, 20), sigma=0.2, pairs=64)
    assert {h.gap.operation for h in hidden} == {"comparison", "floor"}
    straight = st.hidden_gradient(lambda x: (x + (x.round() - x).detach()).mean(), torch.linspace(-3, 3, 20), sigma=0.7)
    assert all(abs(h.share) < 0.2 or np.isnan(h.share) for h in straight)
