"""`spanax gallery vae` as a library call: a few steps of every bridge, what it writes, and Ctrl-C."""

import json
import math

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest

import spanax as sx
from spanax.gallery import vae
from spanax.gallery._vae import digits
from spanax.gallery._vae.figures import Curve, keep_apart, learning_curves
from spanax.gallery._vae.model import LATENTS, VAE, BernoulliLatents, GaussianLatents, elbos
from spanax.gallery._vae.training import Training, setup
from spanax.gallery.names import VaeBridge

TINY = {"steps": 2, "samples": 2, "variance_repeats": 2}


@pytest.fixture(scope="module")
def data():
    return digits.load(0)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A tiny run of every bridge, its folder and the progress it reported."""
    out, progress = tmp_path_factory.mktemp("vae") / "new" / "folder", []
    return vae.run(out, on_progress=progress.append, **TINY), out, progress


@pytest.mark.slow
def test_every_bridge_is_trained_and_judged(everything):
    result, _, _ = everything
    assert [figures.name for figures in result.bridges] == list(VaeBridge)
    assert not result.interrupted
    for figures in result.bridges:
        assert figures.steps == 2
        # An untrained decoder codes each of the 64 pixels as a fair coin: 44 nats, and a few for the latents.
        assert -70 < figures.elbo < -20
        assert 0 < figures.elbo_se < 2
        assert 0 < figures.gradient_variance < math.inf
        assert figures.step_ms > 0


@pytest.mark.slow
def test_progress_starts_and_ends_each_bridge(everything):
    _, _, progress = everything
    assert [(p.bridge, p.step, p.steps) for p in progress] == [(b, n, 2) for b in VaeBridge for n in (0, 2)]
    assert all((p.elbo is None) == (p.step == 0) for p in progress)


@pytest.mark.slow
def test_result_json_holds_settings_versions_figures_and_curves(everything):
    result, out, _ = everything
    content = json.loads((out / "result.json").read_text())
    assert content["settings"] == {"bridges": [b.value for b in VaeBridge], "seed": 0, **TINY}
    assert content["versions"]["jax"] == jax.__version__
    assert content["interrupted"] is False
    for written, figures in zip(content["bridges"], result.bridges, strict=True):
        assert written["name"] == figures.name
        assert written["elbo"] == figures.elbo
        assert written["curve"] == [[2, figures.curve[0][1]]]


@pytest.mark.slow
def test_pictures_are_written(everything):
    result, out, _ = everything
    assert set(result.files) == {out / name for name in ("reconstructions.png", "curves.png", "result.json")}
    for picture in out.glob("*.png"):
        pixels = matplotlib.image.imread(picture)
        assert min(pixels.shape[:2]) > 300
        assert np.std(pixels) > 0.01


def test_ctrl_c_keeps_finished_and_partly_trained_bridges(tmp_path):
    def press(progress):
        if (progress.bridge, progress.step) == (VaeBridge.REINMAX, 50):
            raise KeyboardInterrupt

    settings = {**TINY, "steps": 60, "via": ("straight-through", "reinmax", "disarm")}
    result = vae.run(tmp_path, on_progress=press, **settings)
    assert result.interrupted
    assert [(f.name, f.steps) for f in result.bridges] == [("straight-through", 60), ("reinmax", 50)]
    content = json.loads((tmp_path / "result.json").read_text())
    assert content["interrupted"] is True
    assert [figures["steps"] for figures in content["bridges"]] == [60, 50]
    assert (tmp_path / "curves.png").exists() and (tmp_path / "reconstructions.png").exists()


def test_ctrl_c_before_the_first_step_writes_only_the_report(tmp_path):
    def press(progress):
        raise KeyboardInterrupt

    result = vae.run(tmp_path, on_progress=press, **TINY)
    assert result.interrupted and result.bridges == ()
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"via": ["disarmed"]}, "named disarmed(.|\n)*leave-one-out, disarm"),
        ({"samples": 3}, "even"),
        ({"via": []}, "nothing to train"),
        ({"steps": 0}, "nothing to train"),
        ({"variance_repeats": 1}, "nothing to train"),
    ],
)
def test_wrong_settings_are_refused_before_any_work(tmp_path, wrong, words):
    with pytest.raises(sx.SpanaxError, match=words):
        vae.run(tmp_path / "out", **{**TINY, **wrong})
    assert not (tmp_path / "out").exists()


def test_training_learns_and_its_seed_fixes_it(data):
    def trained():
        training = Training(VaeBridge.REINMAX, setup(VaeBridge.REINMAX, 4), data, seed=3)
        return list(training.chunks(100, 50))

    start = float(
        jnp.mean(elbos(VAE(BernoulliLatents(), key=jax.random.key(0)), data.held_out, draws=4, key=jax.random.key(1)))
    )
    first = trained()
    assert start + 10 < first[0] < first[1]
    assert trained() == first


def test_a_moving_average_learns_the_cost(data):
    training = Training(VaeBridge.MOVING_AVERAGE, setup(VaeBridge.MOVING_AVERAGE, 2), data, seed=0)
    list(training.chunks(50, 50))
    average = training.state.via.baseline
    assert abs(float(average.value) + training.curve[-1][1]) < 4


def test_digits_are_binary_disjoint_and_one_of_each(data):
    assert data.train.shape == (1500, 64) and data.held_out.shape == (297, 64)
    assert set(np.unique(data.train)) == {0.0, 1.0}
    assert data.one_of_each().shape == (10, 64)
    assert not np.array_equal(digits.load(1).train, data.train)


@pytest.mark.few(1)
@pytest.mark.parametrize("latents", [BernoulliLatents(), GaussianLatents()])
def test_kl_is_that_of_its_samples(latents):
    """KL = E_q[log q(z) - log p(z)] by 4,000 draws, within 4.5 standard errors: a false alarm in 150,000."""
    import numpyro.distributions as dist

    encoded = 0.5 * jax.random.normal(jax.random.key(0), (latents.outputs,))
    prior = dist.Bernoulli(probs=0.5) if isinstance(latents, BernoulliLatents) else dist.Normal(0.0, 1.0)
    posterior = latents.posterior(encoded)
    zs = posterior.sample(jax.random.key(1), (4000,))
    ratios = posterior.log_prob(zs) - prior.expand((LATENTS,)).to_event(1).log_prob(zs)
    assert abs(np.mean(ratios) - latents.kl(encoded)) < 4.5 * np.std(ratios) / math.sqrt(4000)


def test_names_at_the_ends_of_curves_keep_apart_and_below_the_top():
    assert keep_apart([0.1, 0.5], 0.05) == pytest.approx([0.1, 0.5])
    heights = keep_apart([0.3, 0.31, 0.32, 0.97, 0.98], 0.05)
    assert np.all(np.diff(heights) > 0.05 - 1e-9) and heights[-1] <= 1
    assert np.mean(heights[:3]) == pytest.approx(0.31)  # moved both ways


def test_the_curves_say_which_bridges_are_biased(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *args, **options: drawn.append(figure))
    curves = {"exact": Curve([100, 200], [-30.0, -20.0], [0.5, 0.4], False)}
    curves["relaxed"] = Curve([100, 200], [-28.0, -20.1], [0.5, 0.4], True)
    learning_curves(tmp_path / "curves.png", curves, 297)
    (ax,) = drawn[0].axes
    assert [text.get_text() for text in ax.texts] == ["relaxed (biased)", "exact"]
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--"] and len(ax.collections) == 2
