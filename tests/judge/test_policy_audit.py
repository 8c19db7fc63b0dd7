"""`PolicyAudit`: the exact expectation beside a slow one, the draws beside their probabilities, and losses that are wrong."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

import spanax as sx
from spanax.judge._policy.sequences import count_sequences, every_sequence
from spanax.judge._policy.world import World

KEY = jax.random.key(0)


# Three tokens, three positions, 0 ends. What is drawn depends on the prompt and on the sum of the tokens before it.
def logits(params, tokens, prompt):
    before = jnp.cumsum(tokens, dtype=tokens.dtype) - tokens
    return (
        params["by position"]
        + jnp.sin(before.astype(params["by sum"].dtype) + prompt)[:, None] * params["by sum"][None]
    )


def reward(tokens, prompt):
    return jnp.sum(tokens, dtype=tokens.dtype) == jnp.asarray(2 + prompt).astype(tokens.dtype)


def parameters(dtype=jnp.float32, seed=0):
    random = np.random.default_rng(seed)
    shapes = {"by position": (3, 3), "by sum": (3,)}
    return {name: jnp.asarray(random.normal(size=shape), dtype) for name, shape in shapes.items()}


def audit(dtype=jnp.float32):
    return sx.judge.PolicyAudit(logits, reward, vocabulary=3, length=3, end=0, prompts=jnp.asarray([0.0, 1.0], dtype))


def plain(vocabulary=2, length=2, end=None, reward=lambda tokens: tokens[0]):
    """A table of logits by position."""
    return sx.judge.PolicyAudit(lambda params, tokens: params, reward, vocabulary=vocabulary, length=length, end=end)


def reinforce(logp, old_logp, rewards, mask):
    return -jnp.mean(rewards * jnp.sum(logp * mask, 1))


def slow_loss(params, prompt):
    """Minus the expected reward, token by token, in NumPy; and the probability of each sequence."""
    chances = {}
    for sequence in itertools.product(range(3), repeat=3):
        chance, written = 1.0, []
        for t, token in enumerate(sequence):
            row = params["by position"][t] + np.sin(sum(written) + prompt) * params["by sum"]
            if 0 in written:
                chance *= token == 0  # nothing but ends behind an end
            else:
                chance *= np.exp(row[token]) / np.exp(row).sum()
            written.append(token)
        chances[sequence] = chance
    return -sum(p for sequence, p in chances.items() if sum(sequence) == 2 + prompt), chances


def test_the_expected_loss_is_that_of_a_slow_sum_and_so_is_its_gradient(x64):
    params = parameters(jnp.float64)
    plain = {name: np.asarray(x) for name, x in params.items()}

    def slow(params):
        return np.mean([slow_loss(params, prompt)[0] for prompt in (0.0, 1.0)])

    value, slope = jax.value_and_grad(audit(jnp.float64).expected_loss)(params)
    assert value == pytest.approx(slow(plain), rel=1e-12)
    for name, x in plain.items():
        for at in np.ndindex(x.shape):
            step = np.zeros_like(x)
            step[at] = 1e-5
            difference = (slow({**plain, name: x + step}) - slow({**plain, name: x - step})) / 2e-5
            assert slope[name][at] == pytest.approx(difference, abs=1e-9)


@pytest.mark.parametrize("end", [None, 0, 2])
@pytest.mark.parametrize(("vocabulary", "length"), [(2, 1), (3, 4), (4, 3)])
def test_every_sequence_is_there_once(vocabulary, length, end):
    def cut(sequence):
        stop = sequence.index(end) if end in sequence else length
        return (*sequence[:stop], *[end] * (length - stop))

    wanted = {cut(sequence) for sequence in itertools.product(range(vocabulary), repeat=length)}
    found = [tuple(map(int, sequence)) for sequence in every_sequence(vocabulary, length, end)]
    assert len(found) == len(wanted) == count_sequences(vocabulary, length, end) and set(found) == wanted


def test_sequences_are_drawn_as_often_as_they_are_probable():
    """Pearson's test on 20,000 draws for each prompt, of sequences expected 5 times or more. False alarms: 2 in 10,000."""
    params, prompts = parameters(), jnp.asarray([0.0, 1.0])
    world = World(logits, reward, 3, 3, 0, prompts)
    drawn = world.by_prompt(
        lambda noise, prompt: world.draw(params, noise, (prompt,)), world.noise(params, KEY, 20_000)
    )
    for prompt, tokens in zip((0.0, 1.0), np.asarray(drawn), strict=True):
        _, chances = slow_loss({name: np.asarray(x) for name, x in params.items()}, prompt)
        sequences, counts = np.unique(tokens, axis=0, return_counts=True)
        seen = dict(zip(map(tuple, sequences.tolist()), counts, strict=True))
        assert all(chances[sequence] > 0 for sequence in seen)
        often = {sequence: 20_000 * p for sequence, p in chances.items() if 20_000 * p >= 5}
        distance = sum((seen.get(sequence, 0) - n) ** 2 / n for sequence, n in often.items())
        assert distance < chi2.ppf(1 - 1e-4, len(often) - 1)


def test_a_loss_sees_arrays_of_a_group_with_the_prompts_apart_or_pooled():
    seen = {}

    def spy(logp, old_logp, rewards, mask):
        seen[len(seen)] = [(x.shape, str(x.dtype)) for x in (logp, old_logp, rewards, mask)]
        return jnp.sum(logp)

    for pooled in (False, True):
        jax.eval_shape(
            lambda p, pooled=pooled: audit().candidate(spy, group=5, pooled=pooled)(p, key=KEY), parameters()
        )
    assert seen[0] == [((5, 3), "float32"), ((5, 3), "float32"), ((5,), "float32"), ((5, 3), "float32")]
    assert [shape for shape, _ in seen[1]] == [(10, 3), (10, 3), (10,), (10, 3)]


def test_the_mean_of_many_draws_is_the_exact_gradient_and_one_draw_is_that_of_its_key(dtype):
    params = parameters(dtype)
    candidate = jax.jit(jax.grad(audit(dtype).candidate(reinforce, group=50)))
    one, same, other = candidate(params, key=KEY), candidate(params, key=KEY), candidate(params, key=jax.random.key(1))
    assert one["by sum"].dtype == dtype
    assert all((one[name] == same[name]).all() and (one[name] != other[name]).any() for name in params)
    found = sx.compare(
        audit(dtype).expected_loss, params, key=KEY, vias={"reinforce": audit(dtype).candidate(reinforce)}
    )
    (row,) = found.rows
    assert found.truth.kind == "enumeration" and found.truth.how == "every sequence of the policy enumerated"
    # Within 4 standard errors, and they are small.
    assert (
        row.verdict == "no bias found" and abs(row.scale.estimate - 1) < 2 * (row.scale.high - row.scale.estimate) < 0.2
    )


def test_an_old_policy_draws_and_gives_its_log_probabilities():
    params, old = jnp.asarray([[0.0, 1.0]]), jnp.asarray([[2.0, -3.0]])
    seen = []

    def spy(logp, old_logp, rewards, mask):
        seen.append((logp, old_logp, rewards))
        return jnp.sum(logp)

    plain(length=1).candidate(spy, group=1000, sampled_by=old, pooled=True)(params, key=KEY)
    logp, old_logp, rewards = (np.asarray(x) for x in seen[0])
    assert rewards.mean() < 0.05  # the present policy draws token 1 in 73% of all cases
    for found, table in ((logp, params), (old_logp, old)):
        np.testing.assert_allclose(
            found[:, 0], np.asarray(jax.nn.log_softmax(table))[0, rewards.astype(int)], rtol=1e-5
        )


def test_the_present_policy_as_the_old_one_changes_nothing():
    params = parameters()

    def ratio(logp, old_logp, rewards, mask):
        return -jnp.mean(rewards * jnp.sum(jnp.exp(logp - old_logp) * mask, 1))

    ways = (audit().candidate(ratio), audit().candidate(ratio, sampled_by=params), audit().candidate(reinforce))
    first, *others = (jax.grad(way)(params, key=KEY) for way in ways)
    for other in others:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), first, other)


def test_an_audit_may_be_made_while_a_program_is_traced():
    slope = jax.jit(lambda params, key: jax.grad(audit().candidate(reinforce))(params, key=key))(parameters(), KEY)
    expected = jax.grad(audit().candidate(reinforce))(parameters(), key=KEY)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), slope, expected)


def test_what_a_loss_may_be_used_in():
    params = jnp.zeros((2, 2))
    candidate = plain().candidate(reinforce, group=3)
    both = jax.vmap(lambda key: jax.grad(candidate)(params, key=key))(jax.random.split(KEY, 2))
    np.testing.assert_allclose(both[1], jax.grad(candidate)(params, key=jax.random.split(KEY, 2)[1]), rtol=1e-6)
    assert np.isfinite(jax.hessian(plain().expected_loss)(params)).all()
    step = lambda p, key: (p - jax.grad(candidate)(p, key=key), None)
    assert jax.lax.scan(step, params, jax.random.split(KEY, 5))[0].shape == (2, 2)


# -- losses that are wrong


def without_mask(logp, old_logp, rewards, mask):
    return -jnp.mean((rewards - jnp.mean(rewards)) * jnp.sum(logp, 1)) * (len(rewards) / (len(rewards) - 1))


def wrong_sign(logp, old_logp, rewards, mask):
    return -reinforce(logp, old_logp, rewards, mask)


def detached(logp, old_logp, rewards, mask):
    return reinforce(jax.lax.stop_gradient(logp), old_logp, rewards, mask)


def not_a_number(logp, old_logp, rewards, mask):
    return reinforce(logp, old_logp, rewards, mask) / jnp.std(rewards)


def test_losses_that_are_wrong_are_found_biased():
    world = plain(vocabulary=3, length=3, end=0, reward=lambda tokens: jnp.sum(tokens) == 2)
    params = 0.3 * jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)), jnp.float32)
    losses = without_mask, wrong_sign, detached, not_a_number, reinforce
    vias = {loss.__name__: world.candidate(loss, group=2) for loss in losses}
    rows = {row.label: row for row in sx.compare(world.expected_loss, params, key=KEY, vias=vias, draws=2000).rows}
    verdicts = {label: row.verdict for label, row in rows.items()}
    assert verdicts.pop("reinforce") == "no bias found"
    assert set(verdicts.values()) == {"biased"}
    assert rows["wrong_sign"].scale.estimate == pytest.approx(-1, abs=0.1)
    assert rows["detached"].scale.estimate == 0 and rows["detached"].variance == 0
    assert np.isnan(rows["not_a_number"].bias.estimate) and np.isnan(rows["not_a_number"].scale.estimate)
    assert rows["without_mask"].across.low > 0


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda logp, rewards: 0.0, "cannot be called with four arrays: too many positional arguments"),
        (lambda a, b, c, d, e: 0.0, "cannot be called with four arrays: missing a required argument: 'e'"),
        (3.0, r"candidate\(loss=3.0\), which cannot be called"),
    ],
)
def test_what_does_not_take_four_arrays_is_refused_at_once(loss, message):
    with pytest.raises(sx.SpanaxError, match=message):
        plain().candidate(loss)


@pytest.mark.parametrize(
    ("loss", "got"),
    [
        (lambda logp, old_logp, rewards, mask: logp, r"float32\[8, 2\]"),
        (lambda logp, old_logp, rewards, mask: (jnp.sum(logp), mask), "tuple"),
        (lambda logp, old_logp, rewards, mask: jnp.sum(logp > 0), r"int32\[\]"),
        (lambda logp, old_logp, rewards, mask: None, "NoneType"),
    ],
)
def test_a_loss_returns_a_scalar(loss, got):
    with pytest.raises(
        sx.SpanaxError, match=rf"no candidate fits: the loss <lambda> must return .*, and it returned {got}"
    ):
        sx.compare(plain().expected_loss, jnp.zeros((2, 2)), key=KEY, vias={"mine": plain().candidate(loss)})


def test_a_mistake_inside_a_loss_leaves_it_out_and_the_others_are_judged():
    def broken(logp, old_logp, rewards, mask):
        return jnp.sum(logp @ rewards)

    vias = {"broken": plain().candidate(broken), "reinforce": plain().candidate(reinforce)}
    found = sx.compare(plain().expected_loss, jnp.zeros((2, 2)), key=KEY, vias=vias, draws=200)
    assert [row.label for row in found.rows] == ["reinforce"] and "broken is left out: TypeError" in found.warnings[0]


# -- worlds that are none


def test_logits_that_see_the_token_itself_are_refused():
    def peeks(params, tokens):
        return params * tokens[:, None].astype(params.dtype)

    world = sx.judge.PolicyAudit(peeks, lambda tokens: 1.0, vocabulary=2, length=2)
    for run in (world.expected_loss, lambda params: world.candidate(reinforce)(params, key=KEY)):
        for f in (run, jax.grad(run), jax.jit(run)):
            with pytest.raises(sx.SpanaxError, match="depend on that token or on later ones"):
                f(jnp.ones((2, 2)))


def test_probabilities_that_do_not_sum_to_1_give_nan_and_no_silent_zero(monkeypatch):
    monkeypatch.setattr(World, "check", lambda self, params: None)  # as if nothing could be tried
    world = sx.judge.PolicyAudit(lambda p, tokens: p * tokens[:, None], lambda tokens: 1.0, vocabulary=2, length=2)
    with jax.numpy_dtype_promotion("standard"):
        value, slope = jax.value_and_grad(world.expected_loss)(jnp.asarray([[0.1, 0.9], [0.5, -0.5]]))
    assert np.isnan(value) and np.isnan(slope).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocabulary": 1}, r"PolicyAudit\(vocabulary=1\)"),
        ({"length": 0}, r"PolicyAudit\(length=0\)"),
        ({"length": 2.0}, r"PolicyAudit\(length=2.0\)"),
        ({"end": 2}, r"PolicyAudit\(end=2\)"),
        ({"end": True}, r"PolicyAudit\(end=True\)"),
        ({"logits": jnp.ones(2)}, "which cannot be called"),
        ({"reward": None}, r"PolicyAudit\(reward=None\), which cannot be called"),
        ({"prompts": {"a": jnp.ones(2), "b": jnp.ones(3)}}, "prompts= must be arrays with one leading axis"),
        ({"prompts": jnp.ones(())}, "prompts= must be arrays with one leading axis"),
        ({"prompts": jnp.ones((0, 2))}, "prompts= must be arrays with one leading axis"),
        ({"prompts": {}}, "prompts= must be arrays with one leading axis"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    fit = {"logits": lambda p, tokens: p, "reward": lambda tokens: 1.0, "vocabulary": 2, "length": 2}
    with pytest.raises(sx.SpanaxError, match=message):
        sx.judge.PolicyAudit(**{**fit, **arguments})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"logits": lambda p, tokens: p[0]}, r"floats of shape \[2, 2\], and it returned float32\[2\]"),
        ({"logits": lambda p, tokens: [p]}, r"floats of shape \[2, 2\], and it returned list"),
        ({"logits": lambda p, tokens: tokens[:, None] + tokens}, r"it returned int32\[2, 2\]"),
        ({"reward": lambda tokens: tokens}, r"reward must return one number, and it returned \[2\]"),
        ({"reward": lambda tokens: float(np.sum(tokens))}, "it is traced: it must be a JAX function"),
        ({"reward": lambda tokens: 1.0 if tokens[0] else 0.0}, "it is traced: it must be a JAX function"),
        ({"reward": lambda tokens: None}, "reward must return one number, and it returned NoneType"),
    ],
)
def test_what_is_no_policy_is_refused(changed, message):
    fit = {"logits": lambda p, tokens: p, "reward": lambda tokens: 1.0}
    world = sx.judge.PolicyAudit(**{**fit, **changed}, vocabulary=2, length=2)
    with jax.numpy_rank_promotion("allow"), pytest.raises(sx.SpanaxError, match=message):
        world.expected_loss(jnp.zeros((2, 2)))
    with jax.numpy_rank_promotion("allow"), pytest.raises(sx.SpanaxError, match=message):
        world.candidate(reinforce)(jnp.zeros((2, 2)), key=KEY)


def test_a_large_world_is_refused_with_what_to_do_and_an_unbiased_loss_is_its_truth():
    world = plain(vocabulary=50, length=6)
    params = jnp.zeros((6, 50))
    with pytest.raises(sx.SpanaxError, match="15,625,000,000 sequences, and 100,000 can be summed over"):
        world.expected_loss(params)
    vias = {"mine": world.candidate(wrong_sign)}
    found = sx.compare(world.candidate(reinforce), params, key=KEY, vias=vias, draws=200)
    assert found.rows[0].verdict == "biased" and found.truth.kind == "unbiased bridge"
