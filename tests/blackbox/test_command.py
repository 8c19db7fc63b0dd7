"""Real programs (awk, sh, printf: every POSIX system has them) and faulty ones, each run for what it is."""

import concurrent.futures
import dataclasses
import os
import pathlib
import pickle
import signal
import sys
import time

import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

from spanax._errors import SpanaxError
from spanax.blackbox.command._failure import CommandError
from spanax.blackbox.command.command import Command, command

MODELS = pathlib.Path(__file__).parent / "models"
NOTHING = {}

shot = command(["awk", "-v", "angle={angle}", "-v", "speed={speed}", "-v", "drag={drag}", "-f", MODELS / "shot.awk"])
rosenbrock = command(["awk", "-f", str(MODELS / "rosenbrock.awk"), "{x}"], inputs="files")


def shell(script, **kwargs):
    """`script` as a program: a shell that the test asks for."""
    return command(["sh", "-c", script], **kwargs)


def length(output):
    return len(output.stdout)


def text(output):
    return np.frombuffer(output.stdout.encode(), np.uint8)


def of(result):
    return bytes(result).decode()


def gone(pid, patience=5.0):
    """Has the process ended within `patience` seconds? One that waits for init to reap it has."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def failure(program, x=NOTHING):
    with pytest.raises(CommandError) as caught:
        program(x)
    return str(caught.value)


# -- real programs


def test_a_shot_without_drag_flies_as_far_as_the_parabola():
    for angle in (10.0, 45.0, 77.7):
        reach, seconds = shot({"angle": np.array(angle), "speed": np.array(50.0), "drag": np.array(0.0)})
        np.testing.assert_allclose(reach, 50**2 * np.sin(2 * np.radians(angle)) / 9.81, rtol=1e-12)
        np.testing.assert_allclose(seconds, 2 * 50 * np.sin(np.radians(angle)) / 9.81, rtol=1e-12)


def test_the_farthest_shot_is_at_45_degrees():
    """Golden-section search on the program's own values."""
    low, high, ratio = 20.0, 80.0, (np.sqrt(5) - 1) / 2

    def reach(angle):
        return shot({"angle": np.array(angle), "speed": np.array(30.0), "drag": np.array(0.0)})[0]

    while high - low > 1e-6:
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, b) if reach(a) > reach(b) else (a, high)
    assert abs(low - 45) < 1e-5


def test_rosenbrock_has_its_minimum_and_its_slope(x64):
    n = 5
    assert rosenbrock(np.ones(n)) == 0.0
    assert rosenbrock(np.ones(n)).shape == ()
    x, step = np.linspace(-1, 1.5, n), 1e-5
    moved = [(rosenbrock(x + step * e) - rosenbrock(x - step * e)) / (2 * step) for e in np.eye(n)]
    slope = np.zeros(n)
    slope[:-1] += -400 * x[:-1] * (x[1:] - x[:-1] ** 2) - 2 * (1 - x[:-1])
    slope[1:] += 200 * (x[1:] - x[:-1] ** 2)
    np.testing.assert_allclose(moved, slope, rtol=1e-6, atol=1e-6)


def test_many_threads_run_it_at_once():
    xs = np.random.default_rng(0).normal(size=(40, 4))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(rosenbrock, xs))
    np.testing.assert_array_equal(together, [rosenbrock(x) for x in xs])


def test_it_may_be_pickled_and_compared():
    program = command(["printf", "{x}"], parse=length, env={"A": "b"}).within(3)
    again = pickle.loads(pickle.dumps(program))
    assert again == program and hash(again) == hash(program) and isinstance(again, Command)
    assert again(np.array(0.25)) == 4
    with pytest.raises(dataclasses.FrozenInstanceError):
        program.timeout = 2.0


# -- how x reaches the program

DTYPES = ["float16", "float32", "float64", "bfloat16", "int8", "int64", "uint64", "bool"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("inputs", ["args", "files", "json"])
def test_numbers_read_back_exactly(dtype, inputs):
    bits = np.random.default_rng(1).integers(0, 256, 8 * 16, dtype=np.uint8)
    array = bits.astype(bool) if dtype == "bool" else bits.view(jnp.dtype(dtype))
    array = array[np.isfinite(array.astype(float))][:20]
    program = command(["printf", "%s", "{x}"], parse=text) if inputs == "args" else command(["cat"], inputs=inputs)
    program = command(["cat", "{x}"], inputs="files", parse=text) if inputs == "files" else program
    program = dataclasses.replace(program, parse=text)
    printed = of(program(array)).replace("[", "").replace("]", "").replace(",", " ").split()
    read = [{"true": 1, "false": 0}.get(word) if word.isalpha() else float(word) for word in printed]
    exact = [int(word) for word in printed] if "int" in dtype else read
    assert exact == [n.item() if "int" in dtype else float(n) for n in array]
    assert len(exact) == len(array)


@hypothesis.given(st.floats(allow_nan=False))
@hypothesis.settings(max_examples=60)
def test_any_float_reads_back(x):
    assert command(["printf", "%s", "{x}"])(np.array(x)) == x


def test_names_of_parts():
    x = {
        "wing": {"span": np.array(1.0), "ribs": np.array([[2.0, 3.0], [4.0, 5.0]])},
        "legs": [np.array(6), np.array(7)],
    }
    args = ["printf", "%s", "{wing.span}|{wing.ribs[0,1]},{wing.ribs}|{legs.0}{legs.1}|{{}}"]
    assert of(command(args, parse=text)(x)) == "1.0|3.0,2.0,3.0,4.0,5.0|67|{}"
    assert command(["printf", "%s", "{x.0} {x.1}"])((np.array(1.0), np.array(2.0))).tolist() == [1.0, 2.0]
    assert command(["printf", "%s", "{x[0]} {x[1]}"])(np.array([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_json_is_the_whole_of_x():
    x = {"wing": {"span": np.array(1.5, np.float32)}, "legs": (np.array([1, 2]), np.array([[True]]))}
    echo = command(["cat"], inputs="json", parse=text)
    assert of(echo(x)) == '{"wing": {"span": 1.5}, "legs": [[1, 2], [[true]]]}\n'
    assert of(echo(np.array([0.5]))) == "[0.5]\n"
    both = command(["awk", "-v", "a={a}", "{{ print a, NF }}", "/dev/stdin"], inputs="json")
    assert both({"a": np.array(2.0), "b": np.array(3.0)}).tolist() == [2.0, 4.0]


def test_files_and_their_directory(tmp_path):
    def look(output):
        directories.append(output.directory)
        np.testing.assert_array_equal(np.loadtxt(output.directory / "grid.txt"), x["grid"])
        return float((output.directory / "out").read_text())

    directories = []
    x = {"grid": np.arange(6.0).reshape(2, 3) / 7, "k": np.array(3.5)}
    program = command(["sh", "-c", 'cp "$1" "$2"/out', "-", "{k}", "{dir}"], inputs="files", parse=look)
    assert program(x) == 3.5
    inside = command(["sh", "-c", "cp k.txt out; pwd"], inputs="files", parse=look, cwd="{dir}")
    assert inside(x) == 3.5
    assert len(set(directories)) == 2 and not any(map(os.path.exists, directories))
    assert rosenbrock(np.zeros((2, 1, 1)) + 1) == 0.0


def test_where_it_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for directory in (tmp_path, tmp_path / "sub"):
        (directory / "program").write_text(f"#!/bin/sh\necho $PWD-{directory.name}-$SPANAX_TEST-$HOME\n")
        (directory / "program").chmod(0o755)
    here = command(["./program"], parse=text, env={"SPANAX_TEST": "a b"})
    there = command(["./program"], parse=text, cwd="sub")
    monkeypatch.chdir("/")
    assert of(here(NOTHING)) == f"{tmp_path}-{tmp_path.name}-a b-{os.environ.get('HOME', '')}\n"
    assert of(there(NOTHING)) == f"{tmp_path / 'sub'}-sub--{os.environ.get('HOME', '')}\n"


# -- what it refuses: nothing may be lost on the way, for the derivative would be 0

PAIR = {"a": np.array(1.0), "b": np.array([1.0, 2.0])}
REFUSED = {
    "an input not used": (["echo", "{a}"], {}, PAIR, "b does not reach the program"),
    "an element not used": (["echo", "{a}", "{b[0]}"], {}, PAIR, r"b\[1\] does not reach the program"),
    "a file not used": (["echo", "{a}"], {"inputs": "files"}, PAIR, "b does not reach the program"),
    "an element of a file": (["cat", "{a}", "{b[0]}"], {"inputs": "files"}, PAIR, r"\{b\[0\]\} in the arguments is no"),
    "input not read": (["true"], {"inputs": "json"}, PAIR, "true did not read its standard input"),
    "much input not read": (["echo", "{a}"], {"inputs": "json"}, {**PAIR, "c": np.ones(99_999)}, "did not read"),
    "unknown name": (["echo", "{a}{c}{b}"], {}, PAIR, r"\{c\} in the arguments is not a part of x"),
    "a format": (["echo", "{a:.3f}"], {}, PAIR, r"\{a:.3f\} in the arguments is not a part of x"),
    "no directory": (["echo", "{dir}"], {}, PAIR, r"\{dir\} in the arguments is not a part of x"),
    "element out of bounds": (["echo", "{b[2]}"], {}, PAIR, r"b has the shape \(2,\)"),
    "too many indices": (["echo", "{b[0,0]}"], {}, PAIR, r"b has the shape \(2,\)"),
    "complex": (["echo", "{a}"], {}, {"a": np.array(1j)}, "a is complex128"),
    "no array": (["echo", "{a}"], {}, {"a": "text"}, "a is <U4"),
    "two of one name": (["echo", "{a.b}"], {}, {"a.b": 1.0, "a": {"b": 2.0}}, "two parts of x have the name a.b"),
    "no name of a file": (["cat", "{dir}"], {"inputs": "files"}, {"../a": 1.0}, "cannot be the name of a file"),
    "NaN in JSON": (["cat"], {"inputs": "json"}, {"a": np.array(np.nan)}, "cannot be written as JSON"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_at_the_call(case):
    args, kwargs, x, message = REFUSED[case]
    with pytest.raises(SpanaxError, match=message) as caught:
        command(args, **kwargs)(x)
    assert __file__ in str(caught.value)
    assert not isinstance(caught.value, CommandError)


CALLS = {
    "one string": (lambda: command("sleep {x}"), "no shell splits it"),
    "nothing": (lambda: command([]), r"command\(\[\]\)"),
    "a number": (lambda: command(["sleep", 1]), r"command\(\['sleep', 1\]\)"),
    "inputs": (lambda: command(["cat"], inputs="stdin"), "one of 'args', 'json', 'files'"),
    "parse": (lambda: command(["cat"], parse="float"), "command\\(parse='float'\\)"),
    "directory": (lambda: command(["cat"], cwd="{dir}"), "the directory of the inputs' files"),
    "limit": (lambda: command(["cat"]).within(0), "a time limit of 0"),
    "no limit": (lambda: command(["cat"]).within(float("inf")), "a time limit of inf"),
}


@pytest.mark.parametrize("case", CALLS)
def test_refused_when_made(case):
    call, message = CALLS[case]
    with pytest.raises(SpanaxError, match=message) as caught:
        call()
    assert __file__ in str(caught.value)


def test_elements_all_used_are_enough():
    assert command(["echo", "{a} {b[0]} {b[1]}"])(PAIR).tolist() == [1.0, 1.0, 2.0]
    assert command(["echo", "1"])({"a": np.zeros((0, 3))}) == 1.0


def test_reading_some_of_the_input_is_reading_it():
    much = np.ones(100_000)
    assert command(["head", "-c", "10"], inputs="json", parse=length)(much) == 10
    assert command(["cat", "/dev/stdin"], inputs="json", parse=length)(much) == 500_001
    talks_first = shell("head -c 300000 /dev/zero | tr '\\0' ' '; wc -c", inputs="json")
    assert talks_first(much) == 500_001
    between = "dd bs=5000 count=1 2> /dev/null | wc -c >&2; head -c 300000 /dev/zero | tr '\\0' ' '; wc -c"
    assert shell(between, inputs="json").within(30)(much) == 495_001


def test_input_need_not_be_read_where_the_arguments_hold_it():
    assert command(["echo", "{a} {b}"], inputs="json")(PAIR).tolist() == [1.0, 1.0, 2.0]


# -- what comes back


def test_numbers_by_default():
    assert shell("echo 3.5")(NOTHING).shape == ()
    assert shell("printf '1, 2\\n3;4\\t5e-3'")(NOTHING).tolist() == [1, 2, 3, 4, 0.005]
    assert shell("echo 1.5D+02 -2d1 inf")(NOTHING).tolist() == [150, -20, np.inf]
    assert np.isnan(shell("echo nan")(NOTHING))
    assert shell("echo 1")(NOTHING).dtype == np.float64


@pytest.mark.parametrize("printed", ["x = 3.5", "1_000", "********", "", "3.5kg"])
def test_garbage_is_no_number(printed):
    message = failure(shell(f"echo '{printed}'"))
    assert "printed something other than numbers" in message and printed in message and "parse=" in message


def test_parse_that_fails_or_finds_no_number():
    assert "ZeroDivisionError" in failure(shell("echo hello", parse=lambda output: 1 / 0))
    message = failure(shell("echo hello", parse=lambda output: output.stdout))
    assert "parse returned 'hello\\n'" in message and "    hello" in message
    assert "not a number" in failure(shell("echo hello", parse=lambda output: None))
    assert len(failure(shell("seq 100000", parse=lambda output: output.stdout))) < 4000


def test_parse_may_return_any_arrays():
    result = shell("echo 1; echo 2 >&2", parse=lambda o: {"a": float(o.stdout), "b": [np.array([float(o.stderr)])]})
    assert result(NOTHING) == {"a": 1.0, "b": [np.array([2.0])]}


# -- failures


@pytest.mark.parametrize(
    "script, message",
    [
        (
            "echo out; echo no convergence >&2; exit 3",
            "exited with status 3; standard error ended with\n    no convergence",
        ),
        ("echo out; exit 3", "exited with status 3; it printed no error, standard output ended with\n    out"),
        ("exit 1", "exited with status 1; it printed nothing"),
        ("kill -SEGV $$", "was ended by SIGSEGV"),
        ("kill -40 $$", "was ended by signal 40"),
    ],
)
def test_a_program_that_fails(script, message):
    told = failure(shell(script))
    assert message in told and "sh -c" in told and __file__ in told


def test_messages_are_bounded():
    told = failure(shell("seq 1 1000000 >&2; echo the last word >&2; exit 1" + " " * 5000))
    assert "the last word" in told and len(told) < 2000


def test_programs_that_do_not_start(tmp_path):
    (tmp_path / "no-x").write_text("#!/bin/sh\n")
    (tmp_path / "lost").write_text("#!/no/such/interpreter\n")
    (tmp_path / "bare").write_text("echo 1\n")
    (tmp_path / "lost").chmod(0o755)
    (tmp_path / "bare").chmod(0o755)
    assert "there is no program spanax-no-such" in failure(command(["spanax-no-such"]))
    assert f"there is no program {tmp_path}/none" in failure(command(["./none"], cwd=tmp_path))
    assert "chmod +x" in failure(command(["./no-x"], cwd=tmp_path))
    assert "the interpreter of its first line is not" in failure(command(["./lost"], cwd=tmp_path))
    assert "names no interpreter" in failure(command(["./bare"], cwd=tmp_path))
    assert "may not be run" in failure(command(["/"]))
    assert "the directory /no/such is not there" in failure(command(["true"], cwd="/no/such"))
    assert 'inputs="files"' in failure(command(["echo", "{x}"]), np.ones(100_000) / 3)


def test_a_flood_is_taken_in():
    flood = "head -c 50000000 /dev/zero | tr '\\0' 1"
    assert shell(flood, parse=length)(NOTHING) == 50_000_000
    told = failure(shell(f"{flood} >&2; exit 1"))
    assert "exited with status 1" in told and len(told) < 2000


def test_python_reads_json():
    script = "import json, sys; x = json.load(sys.stdin); print(sum(x['a']) * x['k'])"
    program = command([sys.executable, "-S", "-c", script], inputs="json")
    assert program({"a": np.array([0.1, 0.2], np.float64), "k": np.array(3)}) == (0.1 + 0.2) * 3


# -- time, and what is left behind

SLEEPERS = "echo $$ > pids; sleep 1000 & echo $! >> pids; "


def pids(directory):
    return [int(pid) for pid in (directory / "pids").read_text().split()]


def all_gone(directory):
    found = pids(directory)
    with pytest.raises(ChildProcessError):  # it has been reaped
        os.waitpid(found[0], os.WNOHANG)
    return len(found) == 2 and all(map(gone, found))


@pytest.fixture(params=["woken at the end", "looking for the end"])
def waiting(request, monkeypatch):
    """Both ways to learn that the program has ended."""
    if request.param == "looking for the end":

        def missing(pid):
            raise OSError("not here")

        monkeypatch.setattr(os, "pidfd_open", missing)


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path, waiting):
    told = failure(shell(SLEEPERS + "echo so far; echo stuck >&2; wait", cwd=tmp_path).within(0.8))
    assert "took longer than 0.8 s and was killed" in told and "stuck" in told
    assert all_gone(tmp_path)


def test_a_program_that_ignores_signals_is_killed(tmp_path):
    assert "was killed" in failure(shell("trap '' TERM INT HUP; " + SLEEPERS + "wait", cwd=tmp_path).within(0.8))
    assert all_gone(tmp_path)


def test_output_held_open_is_not_waited_for(tmp_path, waiting):
    assert "kept its output open" in failure(shell(SLEEPERS + "echo 1", cwd=tmp_path))
    assert all_gone(tmp_path)


def test_output_that_comes_after_the_end_is_not_lost(waiting):
    """As of `program > >(tee log)` in bash: the program has ended, and tee still writes."""
    assert shell("(sleep 0.2; echo 2.5) & echo 1")(NOTHING).tolist() == [1.0, 2.5]


def test_nothing_in_the_background_outlives_the_run(tmp_path, waiting):
    assert shell("echo $$ > pids; sleep 1000 > /dev/null 2>&1 & echo $! >> pids; echo 1", cwd=tmp_path)(NOTHING) == 1
    assert all_gone(tmp_path)


def test_a_limit_that_is_not_reached_changes_nothing(waiting):
    assert shell("sleep 0.05; echo 1").within(100)(NOTHING) == 1
    closed = shell("exec > log 2> log2; sleep 0.1", parse=lambda output: 1.0, cwd="{dir}", inputs="files")
    assert closed.within(100)(NOTHING) == 1


def test_an_interrupt_kills_the_program(tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.8)
        with pytest.raises(KeyboardInterrupt):
            shell(SLEEPERS + "wait", cwd=tmp_path)(NOTHING)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert all_gone(tmp_path)


def test_no_file_stays_open(tmp_path):
    def open_files():
        return len(os.listdir("/proc/self/fd"))

    programs = [
        command(["cat"], inputs="json", parse=length),
        command(["true"], inputs="json"),
        command(["no-such"], inputs="json"),
        command(["sleep", "9"], inputs="json").within(0.05),
    ]
    before = open_files()
    for program in programs * 3:
        try:
            program(np.ones(50_000))
        except SpanaxError:
            continue
    assert open_files() == before
