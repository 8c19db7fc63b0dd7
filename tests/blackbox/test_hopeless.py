"""Failures that cannot go away, and workers that shut themselves off: one attempt, our error, and nothing else on stderr."""

import os
import pathlib
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx

Shape = jax.ShapeDtypeStruct
FD = sx.FiniteDifference(step=0.25)


# -- braces in arguments

AWK = ["awk", "BEGIN {print ({a} - 3)^2}"]
LITERAL = {
    "awk": ("BEGIN {print ({a} - 3)^2; if (1) {exit}}", "BEGIN {print (2.0 - 3)^2; if (1) {exit}}"),
    "one word of awk": ("{print} {a}", "{print} 2.0"),
    "doubled": ("BEGIN {{ print {a} }}", "BEGIN { print 2.0 }"),
    "JSON": ('{"b": {"a": {a}}}', '{"b": {"a": 2.0}}'),
    "JSON, doubled": ('{{"a": {a}}}', '{"a": 2.0}'),
    "shell": ("echo ${HOME} {1..3} {a}", "echo ${HOME} {1..3} 2.0"),
    "a name itself": ("{{a}} {a}", "{a} 2.0"),
    "regular expression": ("[0-9]{2,3}{a}", "[0-9]{2,3}2.0"),
    "halves": ("} {a} {", "} 2.0 {"),
    "empty": ("{}{a}{ }", "{}2.0{ }"),
    "blocks": ("for(;;){x[{a}]++}", "for(;;){x[2.0]++}"),
}


@pytest.mark.parametrize("case", LITERAL)
def test_braces_of_other_languages_are_literal(case):
    template, filled = LITERAL[case]
    echo = sx.command(["printf", "%s", template], parse=lambda out: np.frombuffer(out.stdout.encode(), np.uint8))
    assert bytes(echo({"a": np.array(2.0)})).decode() == filled


def test_an_awk_program_as_it_is():
    f = sx.blackbox(sx.command(AWK), Shape((), float), via=FD)
    np.testing.assert_allclose(jax.grad(lambda a: f({"a": a}))(jnp.float32(2.0)), -2.0, rtol=1e-6)


LONG = "a" * 300
WRONG = {
    "misspelt": (
        ["awk", "BEGIN { print {anlge} + {angle} }"],
        {},
        "angle",
        r"\{anlge\} in the arguments is not a part of x",
    ),
    "misspelt, with JSON": (["cat", "{anlge}"], {"inputs": "json"}, "angle", r"\{anlge\} in the arguments"),
    "of a shell": (["sh", "-c", "echo ${angle}"], {}, "angle", r"\$\{angle\} is a variable of a shell"),
    "no such element": (["echo", "{angle[3]}"], {}, "angle", r"angle has the shape \(\)"),
    "not used": (["echo", "1"], {}, "angle", "angle does not reach the program"),
    "a long name of a file": (["cat", "{" + LONG + "}"], {"inputs": "files"}, LONG, "a key of 300 characters"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_places_are_an_error_before_anything_runs(case, tmp_path):
    args, kwargs, name, message = WRONG[case]
    f = sx.blackbox(sx.command(args, **kwargs), Shape((), float), via=FD)
    for call in (f, jax.jit(f)):  # found while it is traced
        with pytest.raises(sx.SpanaxError, match=message) as error:
            call({name: jnp.float32(1.0)})
        assert "test_hopeless.py" in error.value.where
    assert f.stats() == sx.Stats()


# -- one attempt


def not_the_number_of_arguments(x, y):
    return x


def undefined(x):
    return no_such_name


def of_jax(x):
    return jnp.sum(x)


ONCE = {
    "no program": (sx.command(["spanax-no-such", "{x}"]), "there is no program spanax-no-such", "could not be started"),
    "a long path": (sx.command(["/" + "a" * 300, "{x}"]), "a path of 301 characters", "could not be started"),
    "a NUL": (sx.command(["echo", "\0{x}"]), "could not be started", "could not be started"),
    "not executable": (sx.command(["/", "{x}"]), "may not be run", "could not be started"),
    "signature": (not_the_number_of_arguments, "raised TypeError", "raised TypeError"),
    "name": (undefined, "raised NameError", "raised NameError"),
    "shape": (lambda x: np.ones(3), r"returned the shape \(3,\)", "returned another shape"),
    "structure": (lambda x: (x, x), "returned the structure", "returned another structure"),
    "dtype": (lambda x: 1j, "complex128 where float32", "returned another dtype"),
    "jax.Array": (of_jax, "returned a jax.Array", "returned a jax.Array"),
}


@pytest.mark.few(6)
@pytest.mark.parametrize("case", ONCE)
@pytest.mark.parametrize("on_failure", ["raise", "drop"])
def test_what_cannot_go_away_has_one_attempt(case, on_failure):
    fn, message, kind = ONCE[case]
    f = sx.blackbox(fn, Shape((), "float32"), via=FD, run=sx.Run(on_failure=on_failure), name="f")
    with pytest.raises(sx.SpanaxError, match=message) as error:
        jax.grad(f)(jnp.ones(()))
    assert f.stats().retries == 0 and f.stats().failures == 1
    assert "attempts" not in str(error.value) and "drop" not in str(error.value) and "sx.Store" not in str(error.value)
    (found,) = f.stats().reasons.items()
    assert found[0] == kind and found[1].count == 1 and found[1].example in str(error.value)


def test_of_many_points_at_once_as_well():
    f = sx.blackbox(lambda X: np.ones((2, 2)), Shape((), float), via=FD, batched=True)
    with pytest.raises(sx.SpanaxError, match="one row for each of the 3 points"):
        jax.grad(f)(jnp.ones(()))
    assert f.stats().retries == 0


def test_a_shape_that_was_right_before_is_tried_again():
    shapes = iter([(), (3,), (), ()])
    f = sx.blackbox(lambda x: np.full(next(shapes), np.sum(x)), Shape((), float), via=FD)
    np.testing.assert_allclose(jax.grad(f)(jnp.ones(())), 1.0)
    assert f.stats().retries == 1


def test_why_points_failed():
    calls = iter(range(100))

    def fn(x):
        call = next(calls)
        if call % 9 == 4:
            raise ValueError(f"no value in call {call}")
        return np.nan if call % 9 == 7 else x @ x

    f = sx.blackbox(fn, Shape((), float), via=sx.Smoothing(1.0, pairs=16), run=sx.Run(retries=0, on_failure="drop"))
    jax.grad(f)(jnp.zeros(2), key=jax.random.key(0))
    reasons = f.stats().reasons
    assert set(reasons) == {"raised ValueError", "returned NaN"}
    assert sum(found.count for found in reasons.values()) == f.stats().failures > 2
    assert "no value in call 4" in reasons["raised ValueError"].example
    assert f"{reasons['returned NaN'].count} x returned NaN" in str(f.stats())


# -- workers that shut themselves off

FUNCTIONS = """
    import os, sys

    def closes_output(x):
        print("said"), sys.stdout.flush(), os.close(1)
        print("lost")
        return x

    def closes_streams(x):
        sys.stdout.close(), sys.stderr.close()
        return x

    def closes_all(x):
        os.closerange(0, 64)
        return x

    def closes_all_and_writes(x):
        os.closerange(3, 64)
        closes_all_and_writes.files = [open(os.path.join(sys.argv[1], str(i)), "w+") for i in range(12)]
        return x
"""
SCRIPT = """
    import functions
    from spanax.blackbox import processes

    if __name__ == "__main__":
        for name in ("closes_output", "closes_streams", "closes_all", "closes_all_and_writes"):
            with processes(1) as pool:
                try:
                    print(name, [pool.submit(getattr(functions, name), x).result() for x in (1, 2)])
                except Exception as error:
                    print(name, type(error).__name__, str(error).splitlines()[0])
"""


def test_workers_that_close_their_descriptors(tmp_path):
    (tmp_path / "functions.py").write_text(textwrap.dedent(FUNCTIONS))
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    (tmp_path / "out").mkdir()
    path = os.pathsep.join([str(pathlib.Path(sx.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", tmp_path / "out"],
        capture_output=True,
        text=True,
        timeout=120,
        env={
            **os.environ,
            "PYTHONPATH": path,
            "JAX_PLATFORMS": "cpu",
            "PYTHONUNBUFFERED": "",
        },  # what is lost is in a buffer
    )
    assert done.returncode == 0 and done.stderr == ""
    lines = [line for line in done.stdout.splitlines() if line.startswith("closes")]
    assert lines[:2] == ["closes_output [1, 2]", "closes_streams [1, 2]"]
    assert all("LostError" in line and "the function closed the pipe" in line for line in lines[2:]) and len(lines) == 4
    assert all(not file.read_bytes() for file in (tmp_path / "out").iterdir())
