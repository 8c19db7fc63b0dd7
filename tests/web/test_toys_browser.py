"""The toys in a browser: by mouse, keys and fingers; in light and dark; with and without motion."""

import math
import re

import pytest

from spanax.gallery.web._toys import ACTIONS, FIRST, warm_up

from .browser import check_accessible, watch

TOYS = ["trebuchet", "cartpole", "pendulum", "estimators"]


@pytest.fixture(scope="module", autouse=True)
def warm(server):
    # Compiled beforehand: the tests wait for pages, and not for compilers.
    warm_up()


def open_toy(page, name):
    from playwright.sync_api import expect

    page.goto(f"toys/{name}.html")
    expect(page.locator("#status")).not_to_be_empty()


def says(page, pattern):
    from playwright.sync_api import expect

    expect(page.locator("#status")).to_have_text(re.compile(pattern))
    return page.locator("#status").inner_text()


def lands(shot):
    """Where it lands, as the page says it: without zeros at the end."""
    return re.escape(f"Lands at {round(shot['distance'], 2):g} m")


def set_range(page, name, value):
    """As a hand on a slider: the value, then `input`, then `change`."""
    page.locator(f"#{name}").fill(str(value))


def wait_for_ink(page, least, canvas="stage"):
    """A canvas is drawn in the next frame, and a busy machine takes its time for one."""
    for _ in range(100):
        if inked(page, canvas)[0] > least:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{canvas}: {inked(page, canvas)[0]} pixels are drawn on, and more than {least} are asked for")


def inked(page, canvas="stage"):
    """How many pixels of the canvas are drawn on, and its average colour there."""
    script = """(id) => {
        const canvas = document.getElementById(id);
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        let count = 0, sum = 0;
        for (let i = 0; i < data.length; i += 4) {
            if (data[i + 3] > 128) { count += 1; sum += data[i] + data[i + 1] + data[i + 2]; }
        }
        return [count, sum / count / 3];
    }"""
    return page.evaluate(script, canvas)


def middle(page):
    box = page.locator("#stage").bounding_box()
    return box, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, *places):
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def touch_drag(page, *places):
    """One finger, by the browser's own protocol: its page is told of touches, as on a phone."""
    session = page.context.new_cdp_session(page)
    for kind, place in [("touchStart", places[0]), *(("touchMove", place) for place in places[1:])]:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": place[0], "y": place[1]}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", TOYS)
def test_a_toy_is_accessible_and_drawn_on_a_desk_and_on_a_phone(page, phone, name, scheme, tmp_path):
    for one in (page, phone):
        one.emulate_media(color_scheme=scheme)
        open_toy(one, name)
        check_accessible(one)
        count, brightness = inked(one)
        assert count > 300
        # Dark lines on light paper, or light ones on dark.
        assert (brightness > 110) == (scheme == "dark")
        assert len(one.screenshot(path=tmp_path / "page.png", full_page=True)) > 5000


@pytest.mark.parametrize("name", TOYS)
def test_a_window_that_changes_its_size_shows_no_empty_canvas(page, name):
    open_toy(page, name)
    page.wait_for_timeout(300)
    # In the page itself: what is there when the browser has laid it out, and is about to show it.
    script = """() => new Promise((done) => {
        const canvas = document.getElementById("stage");
        let first = true;
        new ResizeObserver(() => {
            if (first) { first = false; return; }
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            done(data.some((value) => value > 0));
        }).observe(canvas);
        canvas.parentElement.style.width = "300px";
    })"""
    assert page.evaluate(script)


class TestTrebuchet:
    def test_dragging_target_and_wind_aims_anew(self, page):
        open_toy(page, "trebuchet")
        box, x, y = middle(page)
        drag(page, (x, box["y"] + box["height"] - 60), (x - 150, box["y"] + box["height"] - 60))
        target = float(page.locator("#target").input_value())
        assert target < 50
        first = says(page, "^Lands at")
        drag(page, (x + box["width"] * 0.25, box["y"] + 60), (x + box["width"] * 0.33, box["y"] + 60))
        wind = float(page.locator("#wind").input_value())
        assert wind == 4.0
        shot = ACTIONS["trebuchet/shoot"]({"wind": wind, "target": target})
        assert says(page, lands(shot)) != first

    def test_keys_move_it_and_an_unreachable_target_is_said(self, page):
        open_toy(page, "trebuchet")
        page.focus("#target")
        page.keyboard.press("End")
        assert "out of reach" in says(page, "short")
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        assert page.locator("#target").get_attribute("aria-valuetext") == "20.5 m"
        says(page, "^Lands at 20")

    def test_a_finger_drags_it(self, phone):
        open_toy(phone, "trebuchet")
        phone.locator("#stage").scroll_into_view_if_needed()
        box, x, y = middle(phone)
        low = box["y"] + box["height"] - 60
        touch_drag(phone, (x, low), (x + 20, low), (x + 45, low), (x + 60, low))
        assert float(phone.locator("#target").input_value()) > 70
        says(phone, "^Lands at")

    def test_a_film_is_drawn_frame_by_frame_unless_motion_is_not_wanted(self, page):
        open_toy(page, "trebuchet")
        page.wait_for_timeout(500)
        moved = page.evaluate("SpanaxToy.view.frames")
        page.emulate_media(reduced_motion="reduce")
        open_toy(page, "trebuchet")
        page.wait_for_timeout(500)
        still = page.evaluate("SpanaxToy.view.frames")
        assert still < 8 and moved > 2 * still

    @pytest.mark.slow
    def test_a_network_is_trained_and_can_be_stopped(self, page, server):
        from playwright.sync_api import expect

        open_toy(page, "trebuchet")
        page.click("#train")
        expect(page.locator("#training")).to_have_text(re.compile("^After"), timeout=300_000)
        page.click("#train")
        expect(page.locator("#training")).to_have_text("Stopped.")
        # The second one is compiled.
        page.click("#train")
        expect(page.locator("#training")).to_have_text(re.compile("update 300 of 300"), timeout=120_000)
        expect(page.locator("#train")).to_have_text("Train a network from scratch")
        # From now on the visitor's own network aims; the page's is a choice away.
        assert page.locator("#aimed-by").input_value() == "own"
        set_range(page, "target", 50)
        says(page, "^Lands at [45]")
        own = page.locator("#angle-shown").inner_text()
        page.select_option("#aimed-by", "page")
        says(page, lands(ACTIONS["trebuchet/shoot"]({"wind": -2.0, "target": 50.0})))
        assert page.locator("#angle-shown").inner_text() != own
        wait_for_ink(page, 500, "curve")


class TestCartPole:
    def test_buttons_keys_and_clicks_push_it(self, page):
        open_toy(page, "cartpole")
        page.click("#right")
        says(page, "Pushed right by 1.50|Caught")
        set_range(page, "strength", 1)
        page.locator("h1").click()
        page.keyboard.press("ArrowLeft")
        says(page, "Pushed left by 1.00|Caught")
        box, x, y = middle(page)
        page.mouse.click(x - 200, y)
        says(page, "Pushed right by 1.00|Caught")
        says(page, "Caught: it leaned by")

    def test_a_hard_push_fells_it_and_it_is_stood_up_again(self, page):
        open_toy(page, "cartpole")
        set_range(page, "strength", 4)
        page.click("#left")
        says(page, "too much")
        page.click("#again")
        says(page, "It stands")
        assert abs(page.evaluate("SpanaxToy.state()[2]")) < 0.1

    def test_it_can_be_paused(self, page):
        open_toy(page, "cartpole")
        page.click("#pause")
        page.wait_for_timeout(100)
        frames, state = page.evaluate("[SpanaxToy.view.frames, SpanaxToy.state()]")
        page.wait_for_timeout(300)
        assert page.evaluate("[SpanaxToy.view.frames, SpanaxToy.state()]") == [frames, state]
        # A push ends the pause.
        page.click("#right")
        says(page, "Pushed right|Caught")
        assert page.locator("#pause").inner_text() == "Pause"
        page.wait_for_timeout(100)
        assert page.evaluate("SpanaxToy.view.frames") > frames

    def test_without_motion_it_shows_what_a_push_comes_to(self, page):
        page.emulate_media(reduced_motion="reduce")
        open_toy(page, "cartpole")
        page.click("#right")
        says(page, "Caught: it leaned by")
        assert page.evaluate("SpanaxToy.view.frames") < 30

    def test_a_finger_drags_the_pole(self, phone):
        open_toy(phone, "cartpole")
        phone.locator("#stage").scroll_into_view_if_needed()
        _, x, y = middle(phone)
        touch_drag(phone, (x, y), (x + 20, y), (x + 40, y))
        says(phone, "Pushed right by 1.00|Caught")

    @pytest.mark.slow
    def test_it_goes_on_past_what_the_server_said_first(self, page):
        open_toy(page, "cartpole")
        page.wait_for_timeout(9000)
        assert abs(page.evaluate("SpanaxToy.state()[2]")) < 0.1
        frames = page.evaluate("SpanaxToy.view.frames")
        page.wait_for_timeout(1000)
        assert page.evaluate("SpanaxToy.view.frames") > frames


class TestPendulum:
    def test_it_is_dragged_and_let_go(self, page):
        open_toy(page, "pendulum")
        _, x, y = middle(page)
        drag(page, (x, y + 150), (x + 150, y))
        page.mouse.move(0, 0)
        # To the right is clockwise, and angles count the other way.
        assert page.locator("#angle").input_value() == "-90"
        assert says(page, "^From \u2212[0-9]+° at .* upright after")

    def test_keys_throw_it(self, page):
        open_toy(page, "pendulum")
        page.focus("#angle")
        page.keyboard.press("Home")
        page.focus("#velocity")
        for _ in range(4):
            page.keyboard.press("ArrowRight")
        page.focus("#throw")
        page.keyboard.press("Enter")
        says(page, r"^From .?180° at \+2.0 rad/s: upright after")

    def test_a_finger_holds_it_and_the_page_does_not_scroll(self, phone):
        open_toy(phone, "pendulum")
        phone.locator("#stage").scroll_into_view_if_needed()
        before = phone.evaluate("scrollY")
        _, x, y = middle(phone)
        touch_drag(phone, (x, y + 100), (x, y + 60), (x - 60, y), (x - 90, y))
        assert phone.locator("#angle").input_value() == "90"
        assert phone.evaluate("scrollY") == before
        says(phone, "^From")


class TestEstimators:
    def test_the_table_is_what_was_measured(self, page):
        open_toy(page, "estimators")
        set_range(page, "theta", -1.5)
        set_range(page, "temperature", 1.2)
        page.select_option("#baseline", "none")
        truth = ACTIONS["bench/measure"](
            {**FIRST["bench/measure"], "theta": -1.5, "temperature": 1.2, "baseline": "none"}
        )
        says(page, f"^True gradient {truth['truth']:.4f}")
        rows = page.locator("#rows tr").all_inner_texts()
        assert len(rows) == len(truth["rows"])
        for shown, row in zip(rows, truth["rows"], strict=True):
            name, bias, *_, verdict = shown.split("\t")
            assert name == row["name"]
            assert float(bias.replace("\u2212", "-")) == pytest.approx(row["bias"], rel=0.06, abs=1e-7)
            assert (verdict == "biased") == (abs(row["bias"]) > max(1e-6, 4 * row["bias_error"]))

    def test_the_constant_is_there_when_it_is_asked_for(self, page):
        open_toy(page, "estimators")
        assert page.locator("#constant").is_disabled()
        page.select_option("#baseline", "constant")
        assert page.locator("#constant").is_enabled()


class TestFailing:
    def test_a_server_that_is_gone_is_said(self, page):
        open_toy(page, "pendulum")
        page.route("**/api/**", lambda route: route.abort())
        page.click("#hang")
        page.locator("#problem").wait_for(state="visible")
        page.unroute("**/api/**")
        page.click("#hang")
        page.locator("#problem").wait_for(state="hidden")
        # The browser itself reports the request that failed.
        page.errors[:] = [error for error in page.errors if "net::ERR_FAILED" not in error]


GRIDS = {
    "trebuchet/shoot": {"wind": [-4.0, 0.0, 4.0], "target": [40.0, 80.0]},
    "cartpole/balance": {"x": [0.0], "velocity": [0.0], "angle": [0.0], "rate": [-1.5, 0.0, 1.5]},
    "pendulum/swing": {"angle": [-1.5, 1.5, 3.1415], "velocity": [0.0]},
    "bench/measure": {
        **{"theta": [-1.0, 1.0], "samples": [2], "baseline": ["leave-one-out"], "constant": [0.0]},
        "temperature": [0.5],
    },
}


@pytest.fixture(scope="module")
def copy(folder, tmp_path_factory):
    from spanax.gallery.web.export import export

    out = tmp_path_factory.mktemp("copy") / "page"
    export(folder, out, grids=GRIDS)
    return out


def test_a_copy_opens_from_a_file(browser, copy):
    with watch(browser, viewport={"width": 360, "height": 740}) as page:
        page.goto((copy / "index.html").as_uri())
        assert page.locator("article img").evaluate("image => image.complete && image.naturalWidth") == 1
        for name in TOYS:
            page.goto((copy / "toys" / f"{name}.html").as_uri())
            page.locator("#recorded").filter(has_text="A recording: the nearest recorded").or_(
                page.locator("#recorded").filter(has_text="A recording: this is the nearest")
            ).wait_for()
            wait_for_ink(page, 300)
        page.goto((copy / "toys" / "find.html").as_uri())
        assert page.locator("#off").is_visible()


def test_a_copy_plays_the_nearest_recording_and_says_which(browser, copy):
    with watch(browser, viewport={"width": 1200, "height": 800}) as page:
        page.goto((copy / "toys" / "trebuchet.html").as_uri())
        set_range(page, "target", 47)
        set_range(page, "wind", 3.5)
        page.locator("#recorded").filter(has_text="at 40 m in wind +4 m/s").wait_for()
        shot = ACTIONS["trebuchet/shoot"]({"wind": 4.0, "target": 40.0})
        says(page, lands(shot))
        assert not page.locator("#learning").is_visible()
        page.goto((copy / "toys" / "cartpole.html").as_uri())
        page.click("#right")
        page.locator("#recorded").filter(has_text="+1.50 rad/s").wait_for()
        says(page, "Caught: it leaned by|Pushed right")
        page.goto((copy / "toys" / "pendulum.html").as_uri())
        page.click("#hang")
        assert math.isfinite(page.evaluate("SpanaxToy.angle()"))
