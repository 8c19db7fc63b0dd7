"""Drawings, films and plots: what they show, in which files, and what is refused."""

import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from PIL import Image, ImageSequence

from spanax import SpanaxError, control

from .envs import Line

RED = np.array([214, 39, 40])  # of the arrows
ENVS = {"pendulum": control.Pendulum(), "cartpole": control.CartPole(), "trebuchet": control.Trebuchet()}
STATES = {
    "pendulum": jnp.array([2.0, 0.0]),
    "cartpole": jnp.array([0.5, 0.0, 0.1, 0.0]),
    "trebuchet": control.trebuchet.Shot(jnp.array(2.0), jnp.array(60.0), jnp.array(0.0)),
}
ACTIONS = {"pendulum": jnp.array([1.5]), "cartpole": jnp.array(1), "trebuchet": jnp.array([40.0, 250.0])}


class Dots(Line):
    """Draws itself, on 8 x 4 pixels: the state as so many lit columns."""

    def render(self, state):
        return np.repeat((np.arange(8) < 8 * float(state))[None, :, None], 4, 0).repeat(3, 2).astype(np.uint8) * 255


def swing(steps=6):
    return control.rollout(ENVS["pendulum"], lambda o: 2 * jnp.sign(o[2:]), jnp.array([3.0, 0.5]), steps)


def frames(path):
    with Image.open(path) as film:
        return [(np.asarray(f.convert("RGB")), f.info["duration"]) for f in ImageSequence.Iterator(film)]


def centre(mask):
    """x and y, from -1 to 1."""
    y, x = np.nonzero(mask)
    return 2 * x.mean() / mask.shape[1] - 1, 1 - 2 * y.mean() / mask.shape[0]


def is_dark(picture):
    return picture.max(-1) < 90


def has_red(picture):
    return bool(np.any(np.abs(picture.astype(int) - RED).max(-1) < 12))


@pytest.mark.parametrize("name", ENVS)
def test_a_picture_is_one_of_gymnasiums_kind(name, dtype):
    state = jax.tree.map(lambda x: x.astype(dtype), STATES[name])
    for action in (None, ACTIONS[name]):
        picture = ENVS[name].render(state, action)
        assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
        assert np.std(picture) > 5
    if name != "trebuchet":  # its projectile is red
        assert has_red(picture) and not has_red(ENVS[name].render(state))


def test_the_rod_points_where_the_angle_says():
    pictures = [is_dark(control.Pendulum().render(jnp.array([a, 0.0]))) for a in (0.0, np.pi / 2, np.pi, -np.pi / 2)]
    centres = np.array([centre(x) for x in pictures])
    # Upright, to the left (a positive angle turns against the clock), down, to the right.
    np.testing.assert_allclose(centres, 0.4 * np.array([[0, 1], [-1, 0], [0, -1], [1, 0]]), atol=0.06)


def test_the_cart_is_where_the_state_says():
    at = lambda x: centre(is_dark(control.CartPole().render(jnp.array([x, 0.0, 0.0, 0.0]))))[0]
    assert at(-1.5) < -0.3 and abs(at(0.0)) < 0.02 and at(1.5) > 0.3
    mirrored = [control.CartPole().render(jnp.array([0.0, 0.0, a, 0.0]))[:, ::s] for a, s in ((0.2, 1), (-0.2, -1))]
    assert np.mean(np.abs(mirrored[0].astype(int) - mirrored[1])) < 2  # up to the pixel's edge


def test_weights_of_two_are_drawn_as_their_push():
    one_hot, number = (control.CartPole().render(STATES["cartpole"], a) for a in (np.array([0.0, 1.0]), 1))
    np.testing.assert_array_equal(one_hot, number)


def test_wrappers_draw_what_they_hold(key):
    timed = control.TimeLimit(control.Pendulum(), 3)
    state = timed.reset(key)
    np.testing.assert_array_equal(timed.render(state), control.Pendulum().render(state.state))
    again = control.AutoReset(timed)
    state = again.reset(key)
    np.testing.assert_array_equal(again.render(state), timed.render(state.state))
    many = control.Batched(timed, 3)
    state, actions = many.reset(key), jnp.ones((3, 1))
    sheet = many.render(state, actions)
    assert sheet.shape == (700, 720, 3)
    first = jax.tree.map(lambda x: x[0], state)
    np.testing.assert_array_equal(sheet[:350, :360], timed.render(first, actions[0]))
    assert np.all(sheet[350:, 360:] == 255)


def test_a_film_has_a_frame_a_step_and_the_end(tmp_path):
    control.animate(control.Pendulum(), swing(), tmp_path / "a.gif", title="A swing")
    shown = frames(tmp_path / "a.gif")
    assert len(shown) == 7 and {duration for _, duration in shown} == {50}
    assert shown[0][0].shape == (384, 360, 3)
    assert np.std(shown[0][0][:34, :180]) > 5  # the title
    assert has_red(shown[0][0]) and not has_red(shown[-1][0])  # no action any more
    control.animate(control.Pendulum(), swing(), tmp_path / "b.gif", every=3)
    assert [duration for _, duration in frames(tmp_path / "b.gif")] == [150] * 3
    control.animate(control.Pendulum(), swing(3), str(tmp_path / "c.GIF"), fps=10)
    assert frames(tmp_path / "c.GIF")[0][1] == 100


def test_a_film_ends_with_the_episode(tmp_path):
    pole = control.rollout(control.CartPole(), lambda o: jnp.ones(()), jnp.zeros(4), 30)
    control.animate(control.CartPole(), pole, tmp_path / "pole.gif")
    assert pole.alive.sum() == 9
    # Two that look alike are held as one.
    assert sum(duration for _, duration in frames(tmp_path / "pole.gif")) == 10 * 20


def test_a_drawing_of_ones_own(tmp_path):
    found = control.rollout(Dots(), lambda o: 0.1 + 0 * o, jnp.array(0.2), 3)
    control.animate(Dots(), found, tmp_path / "dots.gif")
    shown = frames(tmp_path / "dots.gif")
    assert [duration for _, duration in shown] == [50] * 4
    assert shown[0][0].shape == (34 + 4 * 30, 240, 3)  # enlarged by a whole factor
    lit = [(picture[40:] > 128).mean() for picture, _ in shown]
    np.testing.assert_allclose(lit, [2 / 8, 3 / 8, 3 / 8, 4 / 8], atol=0.02)


@pytest.mark.slow
def test_a_throw_is_shown_as_a_whole(tmp_path):
    env = control.TimeLimit(control.Trebuchet())
    state = env.reset(jax.random.key(1))._replace(state=STATES["trebuchet"])
    thrown = control.rollout(env, lambda o: ACTIONS["trebuchet"], state, 1)
    control.animate(env, thrown, tmp_path / "throw.gif", title="A throw", every=10)
    shown = frames(tmp_path / "throw.gif")
    assert 8 < len(shown) < 15
    assert np.abs(shown[0][0].astype(float) - shown[5][0]).max() > 100


def test_an_mp4_goes_through_ffmpeg(tmp_path, monkeypatch):
    """A stand-in that keeps what it is given: pixels, their size and the rate."""
    program = tmp_path / "ffmpeg"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nopen(sys.argv[-1], 'wb').write((' '.join(sys.argv) + '|').encode()"
        " + sys.stdin.buffer.read())\nsys.exit('no' in sys.argv[-1])\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    control.animate(Dots(), control.rollout(Dots(), lambda o: o, jnp.array(0.5), 2), tmp_path / "dots.mp4", fps=5)
    command, _, film = (tmp_path / "dots.mp4").read_bytes().partition(b"|")
    assert b"-s 240x154 -r 5 " in command and len(film) == 3 * 240 * 154 * 3
    with pytest.raises(SpanaxError, match="ffmpeg could not write"):
        control.animate(Dots(), control.rollout(Dots(), lambda o: o, jnp.array(0.5), 2), tmp_path / "no.mp4")


def test_an_mp4_without_ffmpeg(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(SpanaxError, match=r"(?s)ffmpeg.*pip install imageio-ffmpeg.*\.gif"):
        control.animate(control.Pendulum(), swing(), tmp_path / "a.mp4")
    brought = types.SimpleNamespace(get_ffmpeg_exe=lambda: "/nowhere/ffmpeg")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", brought)
    with pytest.raises(SpanaxError, match="cannot be written"):
        control.animate(control.Pendulum(), swing(), tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda at: Line().render(jnp.zeros(())), r"Line has no drawing(.|\n)*render\(self, state"),
        (lambda at: control.animate(Line(), swing(), at / "a.gif"), "Line has no drawing"),
        (lambda at: control.Pendulum().render(jnp.zeros((3, 2))), r"one state of shape \[2\](.|\n)*Batched"),
        (lambda at: jax.jit(control.Pendulum().render)(jnp.zeros(2)), "by jit"),
        (lambda at: jax.jit(control.Trebuchet().render)(STATES["trebuchet"]), "by jit"),
        (lambda at: control.animate(control.Pendulum(), swing(), at / "a.png"), r"ends in \"\.gif\""),
        (lambda at: control.animate(control.Pendulum(), swing(), at / "none" / "a.gif"), "cannot be written"),
        (lambda at: control.animate(control.Pendulum(), swing(), at / "a.gif", fps=0), "fps=0"),
        (lambda at: control.animate(control.Pendulum(), swing(), at / "a.gif", every=0.5), "every=0.5"),
        (lambda at: control.animate(control.Pendulum(), swing().states, at / "a.gif"), "rollout"),
        (lambda at: control.animate("Pendulum", swing(), at / "a.gif"), "not a control.Env"),
        (lambda at: jax.tree.map(lambda x: x[None], swing()).plot(at / "a.png"), "one of a batch"),
        (lambda at: control.animate(Dots(), jax.tree.map(lambda x: x[None], swing()), at / "a.gif"), "one of a batch"),
        (lambda at: swing().plot(at / "none" / "a.png"), "cannot be written"),
        (lambda at: swing().plot(at / "a.xyz"), r"a\.xyz(.|\n)*\.png"),
        (lambda at: jax.jit(lambda t: t.plot(at / "a.png"))(swing()), "Trajectory is traced"),
        (lambda at: jax.jit(lambda t: control.animate(control.Pendulum(), t, at / "a.gif"))(swing()), "is traced"),
        (lambda at: control.animate(control.Pendulum(), swing(), at / "a.gif", fps=1e-3), "0.01 or more"),
    ],
)
def test_what_cannot_be_shown(tmp_path, make, said):
    with pytest.raises(SpanaxError, match=said):
        make(tmp_path)


def test_no_steps(tmp_path):
    nothing = control.rollout(control.Pendulum(), lambda x: x[:1], jnp.array([2.0, 0.0]), 0)
    nothing.plot(tmp_path / "a.png")
    control.animate(control.Pendulum(), nothing, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 1


@pytest.mark.parametrize("title", ["$\\frac{$", "from $3 to $5", "\N{SNOWMAN}"])
def test_a_title_is_no_formula(tmp_path, title):
    control.animate(control.Pendulum(), swing(), tmp_path / "a.gif", title=title)


@pytest.mark.parametrize("name", ["-x.mp4", "run:1.mp4"])
def test_ffmpeg_takes_a_name_for_a_file(tmp_path, monkeypatch, name):
    """And not for an option, or a protocol."""
    called = []
    monkeypatch.setattr("shutil.which", lambda _: "ffmpeg")
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: called.append(command) or types.SimpleNamespace(returncode=0)
    )
    monkeypatch.chdir(tmp_path)
    control.animate(control.Pendulum(), swing(), name)
    assert called[0][-1] == str(tmp_path / name)


def test_what_is_no_picture(tmp_path):
    class Grey(Dots):
        def render(self, state):
            return super().render(state)[..., 0]

    found = control.rollout(Grey(), lambda o: o, jnp.array(0.5), 2)
    with pytest.raises(SpanaxError, match=r"Grey.render returns uint8\[4, 8\]"):
        control.animate(Grey(), found, tmp_path / "a.gif")


@pytest.mark.parametrize("shape", [(3,), (7,), (5, 6)])
def test_a_plot_of_any_environment(tmp_path, shape):
    class Wide(Line):
        def observe(self, state):
            return jnp.full(shape, state)

        @property
        def observation_space(self):
            return control.Box(-np.full(shape, np.inf), np.full(shape, np.inf))

    found = control.rollout(Wide(edge=1.5), lambda o: o.ravel()[:1], jnp.array(0.5), 9)
    found.plot(str(tmp_path / "a.png"))
    pixels = matplotlib.image.imread(tmp_path / "a.png")
    assert min(pixels.shape[:2]) > 300 and np.std(pixels) > 0.01


def test_without_matplotlib_it_says_what_to_install():
    script = """
import sys
sys.modules["matplotlib"] = sys.modules["matplotlib.figure"] = None
import jax.numpy as jnp
import spanax as sx
try:
    sx.control.Pendulum().render(jnp.zeros(2))
except sx.SpanaxError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install 'spanax[plots]'" in out.stdout
