"""`spanax gallery renderer`: its rasteriser, the derivatives of its images, a tiny run, and Ctrl-C."""

import itertools
import json
import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax.gallery import renderer
from spanax.gallery._renderer.fits import Fit
from spanax.gallery._renderer.image_derivative import ImageDerivative
from spanax.gallery._renderer.raster import Rasteriser
from spanax.gallery._renderer.scenes import DEPTHS, rasteriser, start_scene, target_scene

from .pictures import check_motion, check_picture

NEAR_AND_FAR = Rasteriser((2.0, 1.0), background=(10, 20, 30), side=16)
TWO = {
    "vertices": np.array([[[0.1, 0.1], [0.9, 0.2], [0.3, 0.8]], [[0.5, 0.05], [0.95, 0.9], [0.2, 0.6]]], np.float32),
    "colours": np.array([[0.8, 0.1, 0.3], [0.2, 0.6, 0.9]], np.float32),
}


def random_scene(seed, triangles=4, lead=()):
    rng = np.random.default_rng(seed)
    return {
        "vertices": rng.uniform(-0.2, 1.2, (*lead, triangles, 3, 2)).astype(np.float32),
        "colours": rng.uniform(0, 1, (*lead, triangles, 3)).astype(np.float32),
    }


def slow_image(rasterise, scene):
    """One pixel after the other, one triangle after the other: inside is where all barycentric coordinates are positive."""
    image = np.zeros((3, rasterise.side, rasterise.side), np.uint8)
    for row, column in itertools.product(range(rasterise.side), repeat=2):
        at = (np.array([column, row]) + 0.5) / rasterise.side
        shown, nearest = np.array(rasterise.background), math.inf
        for vertices, colour, depth in zip(scene["vertices"], scene["colours"], rasterise.depths, strict=True):
            system = np.vstack([vertices.T.astype(float), np.ones(3)])
            if np.all(np.linalg.solve(system, [*at, 1.0]) > 0) and depth < nearest:
                shown, nearest = np.round(255 * colour), depth
        image[:, row, column] = shown
    return image


@pytest.mark.few(2)
@pytest.mark.parametrize("seed", range(6))
def test_images_are_those_of_a_slow_reference(seed):
    rasterise = Rasteriser((2.0, 0.5, 3.0, 1.0), background=(200, 0, 7), side=16)
    scene = random_scene(seed)
    image = rasterise(scene)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, slow_image(rasterise, scene))


def test_a_batch_has_the_images_of_its_scenes_and_jax_the_same():
    rasterise, scenes = Rasteriser((2.0, 0.5, 3.0, 1.0), side=32), random_scene(1, lead=(3,))
    images = rasterise(scenes)
    assert images.shape == (3, 3, 32, 32)
    for i in range(3):
        np.testing.assert_array_equal(images[i], rasterise({name: leaf[i] for name, leaf in scenes.items()}))
    np.testing.assert_array_equal(images, rasterise(jax.tree.map(jnp.asarray, scenes)))


def test_neither_the_orientation_nor_the_order_matters():
    turned = {**TWO, "vertices": TWO["vertices"][:, ::-1]}
    np.testing.assert_array_equal(NEAR_AND_FAR(TWO), NEAR_AND_FAR(turned))
    swapped = {name: leaf[::-1] for name, leaf in TWO.items()}
    np.testing.assert_array_equal(NEAR_AND_FAR(TWO), replace(NEAR_AND_FAR, depths=(1.0, 2.0))(swapped))
    assert np.any(NEAR_AND_FAR(TWO) != replace(NEAR_AND_FAR, depths=(1.0, 2.0))(TWO))


@pytest.mark.parametrize(
    "corners", [[[0.2, 0.2], [0.4, 0.4], [0.8, 0.8]], [[0.5, 0.5]] * 3, [[1.2, 0], [2, 0], [2, 2]]]
)
def test_without_an_area_or_outside_a_triangle_shows_nothing(corners):
    scene = {"vertices": np.array([corners], np.float32), "colours": np.ones((1, 3), np.float32)}
    rasterise = Rasteriser((1.0,), side=16)
    assert not np.any(rasterise(scene))
    slope = ImageDerivative(rasterise)(scene, None, np.ones((3, 16, 16)))
    assert not np.any(slope["vertices"]) and not np.any(slope["colours"])


def test_its_derivative_is_zero_everywhere():
    scene = jax.tree.map(jnp.asarray, TWO)
    slope = jax.grad(lambda scene: jnp.sum(NEAR_AND_FAR(scene).astype(jnp.float32)))(scene)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(slope))


def supersampled(rasterise, scene, ct, factor=64):
    """<ct, image> of the means over pixels of factor^2 samples each."""
    image = replace(rasterise, side=rasterise.side * factor)(scene).reshape(3, rasterise.side, factor, -1, factor)
    return np.sum(ct * image.mean((2, 4)))


@pytest.mark.parametrize("orientation", [1, -1])
@pytest.mark.parametrize(("triangle", "vertex"), [(0, 1), (0, 2), (1, 0), (1, 2)])
def test_by_a_vertex_it_is_the_difference_of_supersampled_images(triangle, vertex, orientation):
    """Over half a pixel, against the mean derivative on the way: edges are seen where they are not hidden, and only there."""
    ct = np.random.default_rng(3).normal(size=(3, 16, 16))
    scene = {"vertices": TWO["vertices"][:, ::orientation].astype(float), "colours": TWO["colours"]}
    vertex = vertex if orientation == 1 else 2 - vertex
    step = np.zeros((2, 3, 2))
    step[triangle, vertex] = np.array([0.6, -0.8]) / 64

    def moved(share):
        return {**scene, "vertices": scene["vertices"] + share * step}

    derivative = ImageDerivative(NEAR_AND_FAR)
    change = supersampled(NEAR_AND_FAR, moved(1.0), ct) - supersampled(NEAR_AND_FAR, moved(-1.0), ct)
    slopes = [np.sum(derivative(moved(share), None, ct)["vertices"] * step) for share in (np.arange(20) + 0.5) / 10 - 1]
    # Both are quadratures: of 1,024 rows, and of 768 points an edge.
    assert abs(change - 2 * np.mean(slopes)) < 0.02 * abs(change) + 1.0


def test_hidden_edges_do_not_count():
    covered = {**TWO, "vertices": np.stack([TWO["vertices"][1] * 0.5 + 0.28, TWO["vertices"][1]])}
    assert np.array_equal(NEAR_AND_FAR(covered), replace(NEAR_AND_FAR, depths=(3000.0, 1.0))(covered))
    slope = ImageDerivative(NEAR_AND_FAR)(covered, None, np.random.default_rng(0).normal(size=(3, 16, 16)))
    assert not np.any(slope["vertices"][0]) and np.any(slope["vertices"][1])
    assert not np.any(slope["colours"][0]) and np.any(slope["colours"][1])


def test_by_a_colour_it_is_the_change_of_the_pixels_that_show_it():
    ct = np.random.default_rng(4).normal(size=(3, 16, 16))
    lighter = {**TWO, "colours": TWO["colours"] + np.float32(10 / 255)}
    change = np.sum(ct * (NEAR_AND_FAR(lighter).astype(float) - NEAR_AND_FAR(TWO)))
    slope = ImageDerivative(NEAR_AND_FAR)(TWO, None, ct)["colours"]
    np.testing.assert_allclose(np.sum(slope) * 10 / 255, change, rtol=1e-5)


def test_a_black_box_with_it_is_differentiated():
    render = renderer.renderers(rasteriser())["edge sampling"]
    scene, ct = jax.tree.map(jnp.asarray, start_scene(0)), np.random.default_rng(5).normal(size=(3, 64, 64))
    slope = jax.jit(jax.grad(lambda scene: jnp.sum(render(scene) * jnp.asarray(ct, jnp.float32))))(scene)
    expected = ImageDerivative(rasteriser())(start_scene(0), None, ct.astype(np.float32))
    for name in expected:
        np.testing.assert_allclose(slope[name], expected[name], rtol=1e-4, atol=1e-2)


def test_softened_an_edge_is_the_normal_distribution_function_and_the_image_stays():
    """Half of the picture, cut by a vertical edge at 5.25 pixels that is far from its other two."""
    rasterise = Rasteriser((1.0,), background=(100, 100, 100), side=16)
    scene = {
        "vertices": jnp.array([[[5.25 / 16, -9.0], [5.25 / 16, 10.0], [30.0, 0.5]]]),
        "colours": jnp.full((1, 3), 200 / 255),
    }
    soft = np.asarray(sx.soften(rasterise, 1.0)(scene))
    distances = np.arange(16) + 0.5 - 5.25
    expected = 100 + 100 * np.array([0.5 * (1 + math.erf(d / math.sqrt(2))) for d in distances])
    np.testing.assert_allclose(soft, np.broadcast_to(expected, (3, 16, 16)), atol=0.05)
    hard = sx.soften(rasterise, 1.0, straight_through=True)
    np.testing.assert_array_equal(hard(scene), rasterise(scene))


@pytest.mark.slow
def test_where_one_triangle_hides_another_the_softened_derivative_is_near_that_of_the_edges():
    """Of 45 numbers, by their cosine: one of them looks a pixel far, the other not at all."""
    rasterise, scene = rasteriser(), jax.tree.map(jnp.asarray, start_scene(1))
    weights = np.add.outer(np.arange(3.0), np.add.outer(np.cos(np.arange(64) / 20), np.sin(np.arange(64) / 15)))
    ct = jnp.asarray(weights, jnp.float32)
    assert tuple(sorted(DEPTHS, reverse=True)) == DEPTHS
    soft = sx.soften(rasterise, 1.0, straight_through=True)
    one = jax.jit(jax.grad(lambda scene: jnp.sum(soft(scene) * ct)))(scene)
    other = ImageDerivative(rasterise)(start_scene(1), None, weights)
    for name in other:
        a, b = np.ravel(one[name]), np.ravel(other[name])
        assert a @ b > 0.95 * np.linalg.norm(a) * np.linalg.norm(b)


def test_a_fit_knows_when_it_was_near_enough():
    errors, seconds = [9.0, 3.0, 1.5, 2.5, 1.0], [10.0, 11.0, 12.0, 13.0, 14.0]
    fit = Fit.of("one", None, errors, seconds, [5, 10, 15, 20, 25], False)
    assert fit.reached == 2 and fit.compile_s == 9.0 and fit.seconds[2] == 3.0
    assert Fit.of("one", None, errors[:2], seconds[:2], [5, 10], True).reached is None
    assert Fit.of("one", None, errors[:1], seconds[:1], [5], True).compile_s == 10.0


def test_starts_are_near_the_target_and_of_their_seed():
    one, other, target = start_scene(3), start_scene(4), target_scene()
    assert np.any(one["vertices"] != other["vertices"])
    np.testing.assert_array_equal(one["vertices"], start_scene(3)["vertices"])
    assert 0.01 < np.std(one["vertices"] - target["vertices"]) < 0.1
    assert one["colours"].min() >= 0 and one["colours"].max() <= 1


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A quick run, its folder and the stages told of."""
    out, stages = tmp_path_factory.mktemp("renderer"), []
    return renderer.run(out, quick=True, on_stage=stages.append), out, stages


@pytest.mark.slow
def test_all_four_reach_the_error_that_is_asked_for(quick):
    result, out, stages = quick
    names = ["smoothing", "surrogate", "edge sampling", "softened"]
    assert stages == [*(f"fitting: {name}" for name in names), "drawing"] and not result.interrupted
    assert [fit.name for fit in result.fits] == names
    evaluations = {fit.name: fit.evaluations[fit.reached] for fit in result.fits if fit.reached is not None}
    assert list(evaluations) == names
    # What is known of the renderer is worth a factor of tens.
    assert 5 * max(evaluations["softened"], evaluations["edge sampling"]) < evaluations["smoothing"]
    content = json.loads((out / "result.json").read_text())
    assert content["settings"] == {"steps": 200, "seed": 0, "target_error": 2.0}
    for written, fit in zip(content["fits"], result.fits, strict=True):
        assert written["evaluations_to_target"] == evaluations[fit.name]
        assert written["curve"][-1] == [fit.evaluations[-1], pytest.approx(fit.errors[-1])]
    assert result.files == tuple(out / name for name in ("renderer.png", "renderer.gif", "result.json"))
    check_picture(out / "renderer.png")
    check_motion(out / "renderer.gif", frames=50, seconds=None)


def test_ctrl_c_keeps_the_fits_that_are_ready(tmp_path):
    def press(stage):
        if stage == "fitting: surrogate":
            raise KeyboardInterrupt

    result = renderer.run(tmp_path, steps=2, on_stage=press)
    assert result.interrupted and [(fit.name, len(fit.errors)) for fit in result.fits] == [("smoothing", 2)]
    assert json.loads((tmp_path / "result.json").read_text())["interrupted"] is True
    assert (tmp_path / "renderer.png").exists() and (tmp_path / "renderer.gif").exists()


def test_ctrl_c_before_the_first_step_writes_only_the_report(tmp_path):
    def press(stage):
        raise KeyboardInterrupt

    result = renderer.run(tmp_path, on_stage=press)
    assert result.interrupted and result.fits == ()
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
