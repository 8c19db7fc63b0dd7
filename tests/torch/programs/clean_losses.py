"""Programs without a gap, of losses and estimators: what is cut there is cut on purpose."""

import copy

import torch
import torch.nn.functional as F  # noqa: N812
from torch import distributions, nn

from .case import Program, Run, between, collector, rows, square

PROGRAMS: list[Program] = []
clean = collector(PROGRAMS)


def _mlp(width=4, out=2):
    return nn.Sequential(nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, out))


def _named(**modules):
    return {f"{name}.{key}": p for name, m in modules.items() for key, p in m.named_parameters() if p.requires_grad}


@clean
def targets_under_no_grad():
    online = _mlp()
    reward, done = torch.rand(6), torch.zeros(6)

    def loss(state, following):
        with torch.no_grad():
            best = online(following).max(1).values
            target = reward + 0.9 * (1 - done) * best
        chosen = online(state).gather(1, torch.tensor([[0], [1], [0], [1], [1], [0]])).squeeze(1)
        return F.smooth_l1_loss(chosen, target)

    return Run(loss, (rows(), rows()), parameters=_named(online=online))


@clean
def double_q_learning_with_a_target_network():
    online = _mlp()
    target = copy.deepcopy(online)
    target.load_state_dict(online.state_dict())
    for p in target.parameters():
        p.requires_grad = False
    action = torch.randint(2, (6, 1))

    def loss(state, following):
        best = online(following).argmax(1, keepdim=True)
        expected = torch.ones(6, 1) + 0.99 * target(following).gather(1, best)
        return F.mse_loss(online(state).gather(1, action), expected)

    return Run(loss, (rows(), rows()), parameters=_named(online=online))


@clean
def accuracy_is_logged():
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = _mlp(4, 3)
            self.log = []

        def forward(self, x, y):
            logits = self.net(x)
            loss = F.cross_entropy(logits, y)
            accuracy = (logits.argmax(-1) == y).float().mean()
            self.log.append({"loss": loss.item(), "accuracy": accuracy.item(), "top": logits.detach().numpy().max()})
            return loss

    return Run(Classifier(), (rows(), torch.arange(6) % 3))


@clean
def running_average_of_the_loss():
    net = _mlp()
    history = {"average": 0.0, "histogram": None}

    def loss(x):
        value = square(net(x))
        history["average"] = 0.9 * history["average"] + 0.1 * float(value.detach())
        history["histogram"] = torch.histc(net(x).detach(), 5).tolist()
        if torch.isnan(value) or value.item() > 1e6:
            raise ValueError("diverged")
        return value

    return Run(loss, (rows(),), parameters=_named(net=net))


@clean
def straight_through_round():
    return between(lambda h: h + (h.round() - h).detach())


@clean
def straight_through_the_other_way():
    return between(lambda h: (h.round() - h).detach() + h)


@clean
def straight_through_with_data():
    def step(h):
        return h - h.data + torch.sign(h).data

    return between(step)


@clean
def straight_through_with_soft_values():
    def step(h):
        soft = h.softmax(-1)
        hard = F.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft.dtype)
        return hard.detach() - soft.detach() + soft

    return between(step)


@clean
def straight_through_under_no_grad():
    def step(h):
        with torch.no_grad():
            shift = torch.floor(h) - h
        return h + shift

    return between(step)


class _RoundStraight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.round(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


@clean
def straight_through_function():
    return between(_RoundStraight.apply)


@clean
def binary_weights():
    class Sign(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sign()

        @staticmethod
        def backward(ctx, gradient):
            (x,) = ctx.saved_tensors
            return gradient * (x.abs() <= 1)

    class Binary(nn.Linear):
        def forward(self, x):
            return F.linear(x, Sign.apply(self.weight), self.bias)

    return Run(nn.Sequential(Binary(4, 4), nn.ReLU(), nn.Linear(4, 1)), (rows(),), square)


@clean
def gradient_reversal():
    class Reverse(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, strength):
            ctx.strength = strength
            return x.view_as(x)

        @staticmethod
        def backward(ctx, gradient):
            return -ctx.strength * gradient, None

    return between(lambda h: Reverse.apply(h, 0.3))


@clean
def vector_quantisation():
    class VectorQuantised(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = nn.Linear(4, 3), nn.Linear(3, 4)
            self.codes = nn.Embedding(8, 3)

        def forward(self, x):
            z = self.encoder(x)
            distance = (z**2).sum(1, keepdim=True) - 2 * z @ self.codes.weight.T + (self.codes.weight**2).sum(1)
            index = torch.argmin(distance, dim=1)
            q = self.codes(index)
            losses = F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())
            q = z + (q - z).detach()
            return F.mse_loss(self.decoder(q), x) + losses

    return Run(VectorQuantised(), (rows(),))


@clean
def vector_quantisation_with_a_moving_codebook():
    class MovingCodes(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = nn.Linear(4, 3), nn.Linear(3, 4)
            self.register_buffer("codes", torch.randn(8, 3))

        def forward(self, x):
            z = self.encoder(x)
            index = torch.cdist(z.detach(), self.codes).argmin(1)
            q = self.codes[index]
            commitment = F.mse_loss(z, q.detach())
            with torch.no_grad():
                one_hot = F.one_hot(index, 8).to(z.dtype)
                counts = one_hot.sum(0, keepdim=True).T
                moved = torch.where(counts > 0, one_hot.T @ z / counts.clamp(min=1), self.codes)
                self.codes.mul_(0.99).add_(moved, alpha=0.01)
            return F.mse_loss(self.decoder(z + (q - z).detach()), x) + 0.25 * commitment

    return Run(MovingCodes(), (rows(),))


@clean
def finite_scalar_quantisation():
    def step(h):
        bounded = torch.tanh(h) * 3.5
        quantised = bounded + (bounded.round() - bounded).detach()
        return quantised / 3.5

    return between(step)


@clean
def reinforce():
    policy = _mlp()

    def loss(state):
        pi = distributions.Categorical(logits=policy(state))
        action = pi.sample()
        reward = (action == 1).float()
        return -(pi.log_prob(action) * (reward - reward.mean())).mean()

    return Run(loss, (rows(),), parameters=_named(policy=policy))


@clean
def reinforce_of_a_normal():
    policy = nn.Linear(4, 2)

    def loss(state):
        mean, log_std = policy(state).unbind(-1)
        pi = distributions.Normal(mean, log_std.exp())
        action = pi.sample()
        cost = (action - 1) ** 2
        return (pi.log_prob(action) * cost).mean() - 0.01 * pi.entropy().mean()

    return Run(loss, (rows(),), parameters=_named(policy=policy))


@clean
def actor_and_critic():
    actor, critic = _mlp(4, 3), _mlp(4, 1)

    def loss(state):
        pi = distributions.Categorical(logits=actor(state))
        action = pi.sample()
        value = critic(state).squeeze(-1)
        advantage = action.float() - value
        return -(pi.log_prob(action) * advantage.detach()).mean() + 0.5 * advantage.pow(2).mean()

    return Run(loss, (rows(),), parameters=_named(actor=actor, critic=critic))


@clean
def proximal_policy():
    policy = _mlp(4, 3)
    action, advantage = torch.tensor([0, 1, 2, 0, 1, 2]), torch.randn(6)

    def loss(state):
        with torch.no_grad():
            old = distributions.Categorical(logits=policy(state)).log_prob(action)
        new = distributions.Categorical(logits=policy(state)).log_prob(action)
        ratio = (new - old).exp()
        clipped = ratio.clamp(0.8, 1.2)
        return -torch.min(ratio * advantage, clipped * advantage).mean()

    return Run(loss, (rows(),), parameters=_named(policy=policy))


@clean
def gumbel_softmax():
    return between(lambda h: F.gumbel_softmax(h, tau=0.7, hard=True))


@clean
def reparameterised_normal():
    class Vae(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode, self.decode = nn.Linear(4, 6), nn.Linear(3, 4)

        def forward(self, x):
            mean, log_variance = self.encode(x).chunk(2, -1)
            z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
            kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(-1).mean()
            return F.binary_cross_entropy_with_logits(self.decode(z), (x > 0).float()) + 0.1 * kl

    return Run(Vae(), (rows(),))


@clean
def focal_loss_with_detached_weights():
    net = _mlp(4, 3)

    def loss(x):
        cross = F.cross_entropy(net(x), torch.arange(6) % 3, reduction="none")
        weight = (1 - torch.exp(-cross)).pow(2).detach()
        return (weight * cross).mean()

    return Run(loss, (rows(),), parameters=_named(net=net))


@clean
def hardest_negatives():
    net = _mlp(4, 1)

    def loss(x):
        each = F.binary_cross_entropy_with_logits(
            net(x).squeeze(1), torch.tensor([1.0, 0, 0, 0, 0, 0]), reduction="none"
        )
        hardest = each[1:].topk(2).indices
        return each[0] + each[1:][hardest].mean()

    return Run(loss, (rows(),), parameters=_named(net=net))


@clean
def levels_that_no_hard_negative_is_from():
    near, far = nn.Linear(4, 3), nn.Linear(4, 3)

    def loss(x):
        logits = torch.cat([near(x), far(x) - 5])
        each = F.binary_cross_entropy_with_logits(logits, torch.zeros(12, 3), reduction="none").sum(-1)
        mined = each.clone()
        mined[0] = -torch.inf
        ranks = mined.sort(descending=True)[1].sort()[1]
        return each[0] + each[ranks < 2].sum()

    return Run(loss, (rows(),), parameters=_named(near=near, far=far))


@clean
def triplets_mined_under_no_grad():
    net = _mlp(4, 3)

    def loss(x):
        z = F.normalize(net(x), dim=-1)
        with torch.no_grad():
            distance = torch.cdist(z, z) + 10 * torch.eye(6)
            nearest = distance.argmin(1)
        positive, negative = z.roll(1, 0), z[nearest]
        return F.triplet_margin_loss(z, positive, negative, margin=5.0)

    return Run(loss, (rows(),), parameters=_named(net=net))


@clean
def uncertainty_weighting_and_scaling_by_a_detached_value():
    net = _mlp()
    log_variance = torch.zeros(2, requires_grad=True)

    def loss(x):
        first, second = net(x).pow(2).mean(0)
        second = second * (first.detach() / second.detach())
        return (torch.stack([first, second]) * torch.exp(-log_variance) + log_variance).sum()

    return Run(loss, (rows(),), parameters=_named(net=net) | {"log_variance": log_variance})


@clean
def log_sum_exp_with_a_detached_maximum():
    def step(h):
        top = h.max(-1, keepdim=True).values.detach()
        return h - top - (h - top).exp().sum(-1, keepdim=True).log()

    return between(step)


@clean
def label_smoothing():
    net = _mlp(4, 3)

    def loss(x):
        labels = torch.arange(6) % 3
        with torch.no_grad():
            soft = torch.full((6, 3), 0.05)
            soft.scatter_(1, labels.unsqueeze(1), 0.9)
        return -(soft * net(x).log_softmax(-1)).sum(-1).mean()

    return Run(loss, (rows(),), parameters=_named(net=net))


@clean
def wasserstein_gradient_penalty():
    critic = nn.Sequential(nn.Linear(4, 8), nn.Softplus(), nn.Linear(8, 1))

    def loss(x):
        x = x.clone().requires_grad_()
        score = critic(x)
        (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
        return score.mean() + 10 * ((slope.norm(dim=1) - 1) ** 2).mean()

    return Run(loss, (rows(),), parameters=_named(critic=critic))
