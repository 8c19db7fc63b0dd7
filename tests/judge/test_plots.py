"""The picture of a comparison, looked at through matplotlib's own objects."""

import dataclasses
import html
import math
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import spanax as sx
from spanax import SpanaxError
from spanax.judge import plots
from spanax.judge._show.charts import WIDTH, bias_chart, histogram_charts, ticks, time_chart
from spanax.judge._show.histograms import shown_range
from spanax.judge._show.plane import MARKERS
from spanax.judge._show.scale import scale_of
from spanax.judge.comparison import Comparison
from spanax.judge.rows import Interval, Row, Truth

TRUTH = np.array([0.8, -0.6, 0.0, 0.1])  # norm 1.005
ACCURACY = 0.1
LIMIT = ACCURACY**2 * float(np.sum(TRUTH**2))
SECOND = 1e-6


def row(label, bias, variance, microseconds, verdict):
    return Row(
        label, Interval(*bias), {}, 0.5, variance, ("p", 1.0), 1.0, 1.0, microseconds, 1.0, 1.0, verdict, {}, None
    )


# Three of them stand at nearly the same place.
ROWS = (
    row("exact", (0.0, 0.0, 1e-7), 0.0, 40.0, "no bias found"),
    row("a", (0.01, 0.0, 0.05), 2.0, 35.0, "no bias found"),
    row("b", (0.01, 0.0, 0.05), 2.1, 36.0, "no bias found"),
    row("c", (0.01, 0.0, 0.05), 0.5, 146.0, "no bias found"),
    row("slight", (0.02, 0.01, 0.03), 0.35, 22.0, "biased"),
    row("far off", (0.6, 0.58, 0.62), 0.2, 19.0, "biased"),
    row("noisy", (0.3, 0.0, 0.9), 300.0, 20.0, "undecided"),
    row("broken $x$", (math.nan, math.nan, math.nan), math.nan, 20.0, "biased"),
)
SPREADS = {
    "exact": 0.0,
    "a": 0.7,
    "b": 0.7,
    "c": 0.35,
    "slight": 0.3,
    "far off": 0.2,
    "noisy": 8.0,
    "broken $x$": np.nan,
}


def comparison(rows=ROWS, coordinates=2, truth=TRUTH, error=0.0):
    random = np.random.default_rng(0)
    draws = {r.label: truth[:2] + SPREADS[r.label] * random.normal(size=(500, 2)) for r in rows}
    names = [f"params['layer'].weight[{k}, 0]" for k in range(coordinates)]
    errors = [0.1 * error, 0.0]
    histograms = {
        "coordinates": names, "truth": truth[:2], "standard_errors": errors, "draws": draws if coordinates else {},
    }  # fmt: skip
    norm = float(np.linalg.norm(truth))
    held = Truth("enumeration", "all 16 paths", {"w": truth[:3], "b": truth[3:]}, error, norm)
    return Comparison(rows, held, 1000, ACCURACY, ("w", "b"), "take exact", "", (), histograms)


@pytest.fixture(scope="module")
def figure():
    figure = plots.figure_of(comparison())
    FigureCanvasAgg(figure).draw()
    return figure


@pytest.fixture(scope="module")
def plane(figure):
    return figure.subfigs[0].axes[0]


def candidates(plane):
    """The markers of the candidates, without their rims and the ends of their intervals."""
    return [
        line for line in plane.lines if line.get_marker() in {m for m, _ in MARKERS.values()} and not line.get_gid()
    ]


def numbers(plane):
    return {text.get_text(): text for text in plane.texts if text.get_text().isdigit()}


@pytest.mark.parametrize(("suffix", "head"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".SVG", b"<?xml")])
def test_the_suffix_says_what_is_written(tmp_path, suffix, head):
    import matplotlib

    before, pyplot = dict(matplotlib.rcParams), "matplotlib.pyplot" in sys.modules
    comparison(ROWS[:2], coordinates=0).plot(tmp_path / f"p{suffix}")
    assert (tmp_path / f"p{suffix}").read_bytes().startswith(head)
    assert dict(matplotlib.rcParams) == before and ("matplotlib.pyplot" in sys.modules) == pyplot


def test_another_suffix_and_a_missing_matplotlib_are_said_before_anything_is_drawn(tmp_path, monkeypatch):
    with pytest.raises(SpanaxError, match=r"(?s)'.*p\.gif'.*p\.png"):
        comparison().plot(tmp_path / "p.gif")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(SpanaxError, match=r"pip install 'spanax\[plots\]'"):
        plots.check("p.png")


def test_each_candidate_stands_at_its_squared_bias_and_its_variance_after_a_second(plane):
    points = {
        (line.get_marker(), line.get_markerfacecolor(), *np.round(line.get_xydata()[0], 6))
        for line in candidates(plane)
    }
    none_found, zero = plane.get_xticks()[0], plane.get_yticks()[0]
    expected = set()
    for r in ROWS[:-1]:
        x = math.log10(r.bias.estimate**2) if r.verdict == "biased" else none_found
        # Three stand at one height in the strip of "none found", where the place along the axis means nothing: side by side.
        x += {"b": 1, "c": -1}.get(r.label, 0) * 0.042 * np.diff(plane.get_xlim())[0]
        y = math.log10(r.variance * r.microseconds * SECOND) if r.variance else zero
        expected.add((*MARKERS[r.verdict], *np.round((x, y), 6)))
    assert points == expected
    assert [label.get_text() for label in (plane.get_xticklabels()[0], plane.get_yticklabels()[0])] == [
        "none\nfound",
        "0",
    ]


def test_verdicts_differ_by_shape():
    assert len({marker for marker, _ in MARKERS.values()}) == len(MARKERS) == 3


def test_whiskers_reach_the_upper_end_of_the_bias(plane):
    ends = {round(10 ** line.get_xdata()[0], 9) for line in plane.lines if line.get_marker() == "|"}
    assert {round(r.bias.high**2, 9) for r in ROWS[1:-1]} <= ends


def test_lines_of_equal_time_are_that(plane):
    lines = [line for line in plane.lines if len(line.get_xdata()) > 10]
    written = [text.get_text().strip() for text in plane.texts]
    assert len(lines) >= 3
    for line in lines:
        x, y = line.get_xydata().T
        squared_bias = np.where(x < plane.get_xticks()[1], 0.0, 10**x)
        seconds = 10**y / (
            LIMIT - squared_bias
        )  # variance of one gradient / (limit - bias^2), times seconds a gradient
        k = round(math.log10(seconds[0]))
        np.testing.assert_allclose(seconds[1:], 10.0**k, rtol=1e-3)
        assert {-4: "100 µs", -3: "1 ms", -2: "10 ms", -1: "100 ms", 0: "1 s"}[k] in written


def test_no_two_numbers_overlap_and_none_covers_a_marker(plane, figure):
    shown = numbers(plane)
    assert sorted(shown, key=int) == [str(k) for k in range(1, len(ROWS))]
    boxes = [text.get_window_extent() for text in shown.values()]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    places = plane.transData.transform([line.get_xydata()[0] for line in candidates(plane)])
    assert not any(box.contains(x, y) for box in boxes for x, y in places)
    frame = plane.get_window_extent()
    assert all(frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1) for box in boxes)


def test_markers_do_not_overlap_and_no_interval_runs_through_another_marker(plane):
    places = plane.transData.transform([line.get_xydata()[0] for line in candidates(plane)])
    size = 7 * plane.figure.get_dpi() / 72
    assert min(math.dist(a, b) for i, a in enumerate(places) for b in places[:i]) > size
    whiskers = [line for line in plane.lines if len(line.get_xdata()) == 2 and line.get_color() == "black"]
    pieces = [
        plane.transData.transform(line.get_xydata()) for line in whiskers if line.get_xdata()[0] > plane.get_xticks()[1]
    ]
    assert len(pieces) >= 6
    for (left, y), (right, _) in pieces:
        struck = [x for x, height in places if abs(height - y) < size / 2 and left < x < right]
        assert len(struck) <= 1  # a biased candidate's own interval


def test_the_key_names_every_candidate_and_what_could_not_be_drawn(figure):
    texts = [text.get_text().replace("\n", " ") for text in figure.subfigs[0].axes[1].get_legend().get_texts()]
    assert [text for text in texts if text in SPREADS] == [r.label for r in ROWS[:-1]]
    assert texts[-1] == r"broken \$x\$ (not finite: not drawn)"


def test_histograms_show_all_draws_or_say_how_many_are_missing(figure):
    grid = np.reshape(figure.subfigs[1].axes, (len(ROWS), 2))
    told = {r.label: ax.texts[0].get_text() for r, ax in zip(ROWS, grid[:, 0], strict=True)}
    assert told["slight"] == "" and told["broken $x$"] == "100% not finite"
    draws = comparison().histograms["draws"]
    low, high = grid[0, 0].get_xlim()
    outside = np.mean((draws["noisy"][:, 0] < low) | (draws["noisy"][:, 0] > high))
    assert told["noisy"] == f"{100 * outside:.0f}% outside" and outside > 0.5
    truth_line, mean = grid[1, 1].lines
    assert truth_line.get_xdata()[0] == TRUTH[1]
    assert mean.get_xdata()[0] == pytest.approx(draws["a"][:, 1].mean())


def test_the_shown_range_is_that_of_the_middle_candidate():
    random = np.random.default_rng(1)
    draws = [scale * random.normal(size=1000) for scale in (0.0, 1.0, 1.0, 1000.0)]
    low, high = shown_range(draws, 0.0)
    assert 2 < high < 4 and low == -high
    assert shown_range([np.ones(5)], 1.0) == (pytest.approx(-0.2), pytest.approx(2.2))


def test_nothing_finite_a_truth_of_zero_and_many_candidates_are_drawn_all_the_same():
    plots.figure_of(comparison(ROWS[-1:]))
    plane = plots.figure_of(comparison(truth=0 * TRUTH)).subfigs[0].axes[0]
    assert not [line for line in plane.lines if len(line.get_xdata()) > 10]
    many = plots.figure_of(comparison(ROWS[1:2] * 40, coordinates=0))
    assert "the 12 best of 40" in many.get_suptitle() and len(numbers(many.subfigs[0].axes[0])) == 12


def test_a_scale_holds_all_positive_values_and_has_a_place_for_zero():
    scale = scale_of([0.0, 3e-5, 0.2, math.nan, math.inf])
    assert scale.low < math.log10(3e-5) and scale.high > math.log10(0.2)
    assert scale.ends[0] < scale.at(0.0) == scale.zero < scale.low and scale.at(0.2) == math.log10(0.2)
    assert scale_of([]).ends[0] < -3


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 14.8, 1e9])
def test_a_truth_of_any_size_can_be_drawn(scale):
    plane = plots.figure_of(comparison(ROWS[1:3], coordinates=0, truth=scale * TRUTH)).subfigs[0].axes[0]
    lines = [line.get_xydata() for line in plane.lines if len(line.get_xdata()) > 10]
    assert all(np.all(np.isfinite(line)) for line in lines)


def test_the_truths_own_error_is_a_band_with_a_name(tmp_path):
    with_error = comparison(ROWS[1:3], error=0.02)
    figure = plots.figure_of(with_error)
    plane, key = figure.subfigs[0].axes
    (band,) = plane.patches
    assert band.get_x() + band.get_width() == pytest.approx(math.log10(0.02**2)) and band.get_x() == plane.get_xlim()[0]
    assert "below the truth's own standard error, squared" in [t.get_text() for t in key.get_legend().get_texts()]
    first, second = figure.subfigs[1].axes[:2]
    of_truth = [p for p in first.patches if p.get_alpha() == 0.4]
    assert len(of_truth) == 1 and of_truth[0].get_width() == pytest.approx(
        2 * 1.96 * 0.002
    )  # 0.1 of it in this element
    assert not [p for p in second.patches if p.get_alpha() == 0.4]
    assert "its own 95% interval" in [t.get_text() for t in figure.subfigs[1].legends[0].get_texts()]
    with_error.to_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "with a standard error of its own of 0.02 (2%)" in page and page.count('fill="#ccc"') == 1
    assert "standard error of its own of 0.02 (2%)" in str(with_error)
    exact = plots.figure_of(comparison(ROWS[1:3]))
    assert not exact.subfigs[0].axes[0].patches and "standard error" not in str(comparison(ROWS[1:3]))


# -- the page's charts


def test_bars_are_proportional_to_the_times_and_dots_take_over_where_that_cannot_be():
    def chart(*seconds):
        times = [dataclasses.replace(r, time_to_accuracy=s) for r, s in zip(ROWS, seconds, strict=False)]
        return time_chart(times, ACCURACY)

    widths = [float(w) for w in re.findall(r'<rect [^>]*width="([\d.]+)"', chart(1.0, 2.0, 50.0, math.inf))]
    assert len(widths) == 3 and widths[1] == pytest.approx(2 * widths[0], abs=0.2)
    assert widths[2] == pytest.approx(50 * widths[0], rel=0.03)
    logarithmic = chart(1e-3, 1.0)
    assert "<rect" not in logarithmic and logarithmic.count("<circle") == 2 and "logarithmic" in logarithmic


def test_ticks_are_round_and_cover_the_range():
    assert ticks(0.0, 0.83) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(-2.4, 2.6)[0] <= -2.4 and ticks(-2.4, 2.6)[-1] >= 2.6
    assert ticks(0.0, 3e-7)[-1] >= 3e-7


def test_the_charts_show_every_candidate_and_keep_their_marks_inside():
    charts = [
        bias_chart(ROWS, float(np.linalg.norm(TRUTH)), 0.02, ACCURACY),
        *histogram_charts(comparison(error=0.02).histograms, [r.label for r in ROWS]),
    ]
    assert len(charts) == 3
    for chart in charts:
        assert all(html.escape(r.label) in chart for r in ROWS)
        places = [float(x) for x in re.findall(r'(?:cx="|M|H)(-?[\d.]+)', chart)]
        assert all(0 <= x <= WIDTH for x in places) and "nan" not in chart
    assert 'fill="#ccc"' in charts[0] and 'fill="#bbb"' in charts[1] and 'fill="#bbb"' not in charts[2]


def test_elements_of_every_leaf_that_the_gap_reaches_are_shown():
    def f(p, *, key):
        z = sx.sample(key, dist.Bernoulli(logits=p["large"]).to_event(1), name="z")
        w = sx.sample(jax.random.fold_in(key, 1), dist.Bernoulli(logits=p["small"][0]), name="w")
        return 100 * jnp.sum(z) ** 2 + w + jnp.sum(p["smooth"] ** 2)

    point = {"large": jnp.zeros(6), "small": jnp.zeros(2), "smooth": jnp.full(3, 1e3)}
    vias = {"z": [sx.LeaveOneOut()], "w": [sx.LeaveOneOut(), sx.StraightThrough()]}
    found = sx.compare(f, point, key=jax.random.key(0), vias=vias, draws=100)
    names = found.histograms["coordinates"]
    assert len(names) == 4 and "p['small'][0]" in names and "p['small'][1]" not in names
    assert sum(name.startswith("p['large']") for name in names) == 3
