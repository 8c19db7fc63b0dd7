"""The documentation's examples run, its links lead somewhere, and its tables and reference are complete."""

import functools
import linecache
import pathlib
import re

import jax
import pytest

import spanax as sx

DOCS = pathlib.Path(__file__).parent.parent / "docs"
PAGES = {path.relative_to(DOCS).with_suffix("").as_posix(): path.read_text() for path in sorted(DOCS.rglob("*.md"))}
BRIDGES = [
    sx.Pathwise(),
    sx.ScoreFunction(),
    sx.Enumerate(),
    sx.Componentwise(),
    sx.LeaveOneOut(),
    sx.DisARM(),
    sx.GumbelSoftmax(),
    sx.StraightThrough(),
    sx.ReinMax(),
    sx.Soft(0.1),
    sx.Perturbed(0.1),
    sx.Smoothing(),
    sx.Surrogate(),
    sx.FiniteDifference(),
    sx.SPSA(0.1),
    sx.Manual(vjp=print),
]


@pytest.mark.few(5)
@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if "```python" in text])
def test_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    for number, example in enumerate(re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL)):
        name = f"<example {number} of {page}.md>"
        linecache.cache[name] = (
            len(example),
            None,
            example.splitlines(True),
            name,
        )  # as a notebook does: there is a source
        # Optax raises a float to the power of an int, whoever makes its steps.
        optax_steps = "optimizer.update(" in example or "optimizer=optax." in example
        with jax.numpy_dtype_promotion("standard" if optax_steps else "strict"):
            exec(compile(example, name, "exec"), {})


def test_all_examples_are_found():
    """None is indented, or of a language that the test above does not know."""
    for name, text in PAGES.items():
        openings = [line for line in text.splitlines() if line.lstrip().startswith("```")][::2]
        assert set(openings) <= {"```python", "```sh", "```", "```bibtex"}, name
        assert not re.search(r"(?m)^(?:    )?>>> ", text), f"{name}: a doctest that nobody runs"


def without_code(text):
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors(text):
    """As Markdown makes them: a heading in lower case, without punctuation, with hyphens for spaces."""
    headings = re.findall(r"(?m)^#+ (.*)$", without_code(text))
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)]+)\)", without_code(PAGES[page])):
        path, _, anchor = target.partition("#")
        linked = (DOCS / page).parent / path if path else (DOCS / page).with_suffix(".md")
        assert linked.is_file(), target
        if anchor:
            assert anchor in anchors(linked.read_text()), target


def public(module):
    return {name for name, value in vars(module).items() if callable(value) and not name.startswith("_")}


REFERENCE = "".join(text for name, text in PAGES.items() if name == "api" or name.startswith("api/"))
IN_REFERENCE = re.findall(r"(?m)^::: spanax\.([\w.]+)", REFERENCE)


def test_reference_is_complete():
    named = {dotted.rpartition(".")[2] for dotted in IN_REFERENCE}
    for module in (sx, sx.control, sx.bridges, sx.gaps, sx.judge, sx.surrogate):
        assert named >= public(module), module.__name__
    assert "check_bridge" in named
    # Its names are also names of JAX functions: the whole ones are looked for.
    assert {f"torch.{name}" for name in public(sx.torch)} <= set(IN_REFERENCE)


def test_reference_names_what_exists():
    assert len(IN_REFERENCE) == len(set(IN_REFERENCE))
    for dotted in IN_REFERENCE:
        *modules, name = dotted.split(".")
        where = functools.reduce(getattr, modules, sx)
        assert not name.startswith("_") and hasattr(where, name), dotted


def row(bridge):
    facts = bridge.facts
    orders = "all" if facts.orders is None else str(facts.orders)
    return (
        f"| `{type(bridge).__name__}` | {facts.unbiased_for} | {facts.evaluations} | {orders} | {facts.distributions} |"
    )


def section(page, heading):
    (text,) = re.findall(rf"(?ms)^## {re.escape(heading)}$(.*?)(?=^## |\Z)", PAGES[page])
    return text


def test_table_of_bridges_says_what_they_say_of_themselves():
    table = section("bridges", "What each promises")
    assert [line for line in table.splitlines() if line.startswith("| `")] == [row(b) for b in BRIDGES]


def test_every_public_bridge_is_ranked_measured_and_derived():
    concrete = {
        name
        for name, c in vars(sx).items()
        if isinstance(c, type) and issubclass(c, sx.bridges.Bridge) and "facts" in vars(c) and name != "Bridge"
    }
    assert concrete == {type(b).__name__ for b in BRIDGES}
    for heading, rows in (("Ranked", r"(?m)^\| `(\w+)`"), ("Measured", r"(?m)^\| `(\w+)\(")):
        assert set(re.findall(rows, section("bridges", heading))) >= concrete, heading
    assert set(re.findall(r"(?m)^### `(\w+)`", PAGES["mathematics"])) == concrete


def test_every_source_of_a_bridge_is_in_the_mathematics():
    for bridge in BRIDGES:
        for authors, year in re.findall(r"([A-Z]\w+)[^;]*?(\d{4})", bridge.facts.source):
            (text,) = re.findall(rf"(?ms)^### `{type(bridge).__name__}`$(.*?)(?=^##|\Z)", PAGES["mathematics"])
            assert authors in text and year in text, (bridge, authors, year)
