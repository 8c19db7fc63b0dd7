"""Callbacks of training: what they are told, how they end it, and the files of the ready ones."""

import csv
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spanax import SpanaxError, control

from .envs import Line

_train = sys.modules[control.train.__module__]
NAMES = ["return", "objective", "gradient_norm", "env_steps", "episodes", "seconds"]


class Gain(eqx.Module):
    w: jax.Array

    def __call__(self, observation):
        return self.w * observation


def train(callback, updates=5, **settings):
    given = {
        "via": control.BPTT(horizon=3, truncate=True),
        "key": jax.random.key(0),
        "batch": 2,
        "progress": False,
        **settings,
    }
    return control.train(Line(), Gain(jnp.array(0.5)), updates=updates, callback=callback, **given)


@pytest.fixture
def one_by_one(monkeypatch):
    """Pieces of one update."""
    monkeypatch.setattr(_train, "PIECE", 0.0)


def test_each_update_is_told_in_order(dtype):
    told = []
    result = train(lambda *args: told.append(args), via=control.BPTT(horizon=2, truncate=True))
    assert [step for step, *_ in told] == [1, 2, 3, 4, 5]
    assert all(list(metrics) == NAMES and {type(x) for x in metrics.values()} == {float} for _, metrics, _ in told)
    for name, expected in {
        "return": result.returns,
        "objective": result.objectives,
        "gradient_norm": result.gradient_norms,
        "env_steps": result.steps_so_far,
    }.items():
        np.testing.assert_allclose([metrics[name] for _, metrics, _ in told], expected, rtol=1e-6)
    last = told[-1]
    assert (last[1]["env_steps"], last[1]["episodes"]) == (result.env_steps, result.episodes)
    assert last[1]["seconds"] == result.run_seconds
    assert last[2].w == result.policy.w and not result.interrupted
    assert np.isnan(told[0][1]["return"])


def test_the_policy_is_that_of_the_pieces_end(one_by_one):
    told = []
    result = train(lambda step, metrics, policy: told.append(float(policy.w)))
    assert len(set(told)) == 5 and told[-1] == result.policy.w


@pytest.mark.parametrize("answer", [None, True, 0, 0.0, "stop", np.True_, np.zeros(2)], ids=repr)
def test_only_false_ends_it(answer):
    assert len(train(lambda *_: answer).returns) == 5


@pytest.mark.parametrize("kind", [bool, np.bool_, jnp.bool_])
def test_false_ends_it(one_by_one, tmp_path, kind):
    """A comparison of NumPy's or JAX's numbers as well."""
    told, others = [], []

    def stopping(step, metrics, policy):
        told.append(step)
        return kind(step < 3)

    result = train([stopping, lambda step, *_: others.append(step)], checkpoint=tmp_path / "run")
    assert told == others == [1, 2, 3]
    assert result.interrupted and len(result.returns) == 3
    # And it goes on from there, without being told the first three again.
    result = train(lambda step, *_: told.append(step), checkpoint=tmp_path / "run")
    assert told == [1, 2, 3, 4, 5] and not result.interrupted
    np.testing.assert_array_equal(result.objectives, train(None).objectives)


def test_what_a_callback_does_to_its_metrics_stays_with_it():
    def greedy(step, metrics, policy):
        metrics.clear()

    told = []
    train([greedy, lambda step, metrics, policy: told.append(metrics)])
    assert all(list(metrics) == NAMES for metrics in told)


def test_an_error_loses_nothing(one_by_one, tmp_path):
    class OwnError(Exception):
        pass

    def failing(step, metrics, policy):
        if step == 3:
            raise OwnError

    with pytest.raises(OwnError):
        train(failing, checkpoint=tmp_path / "run")
    told = []
    train(lambda step, *_: told.append(step), checkpoint=tmp_path / "run")
    assert told == [4, 5]


def test_ctrl_c_in_a_callback_is_a_normal_end(one_by_one):
    def interrupted(step, metrics, policy):
        if step == 2:
            raise KeyboardInterrupt

    result = train(interrupted)
    assert result.interrupted and len(result.returns) == 2


def test_an_update_that_cannot_be_used_is_told_too():
    told = []
    with pytest.raises(control.TrainingError):
        control.train(
            Line(), Gain(jnp.array(jnp.nan)), via=control.BPTT(horizon=3), key=jax.random.key(0), updates=3, batch=2,
            progress=False, callback=lambda step, metrics, policy: told.append(metrics["objective"]),
        )  # fmt: skip
    assert len(told) == 1 and np.isnan(told[0])


@pytest.mark.parametrize(
    ("callback", "said"),
    [
        (3, "callback=3"),
        ([print, "csv"], "callback='csv'"),
        (lambda step: None, r"three arguments(.|\n)*callback\(step, metrics, policy\)"),
    ],
)
def test_what_is_no_callback(callback, said, monkeypatch):
    monkeypatch.setattr(_train, "_start", None)  # refused before anything else
    with pytest.raises(SpanaxError, match=said):
        train(callback)


# -- the CSV file


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_csv_file_has_a_line_an_update(tmp_path):
    result = train(control.CSVLog(tmp_path / "log.csv"))
    found = rows(tmp_path / "log.csv")
    assert list(found[0]) == ["update", *NAMES]
    assert [row["update"] for row in found] == list("12345")
    np.testing.assert_array_equal([np.float32(row["objective"]) for row in found], result.objectives)
    train(control.CSVLog(str(tmp_path / "log.csv")), updates=2)  # another training replaces it
    assert len(rows(tmp_path / "log.csv")) == 2


@pytest.mark.parametrize("tail", ["", "4,0.5", "4,nan,9.0,9.0,9.0,9.0,9.0\n5,nan,9.0,9.0,9.0,9.0,9.0\n"])
def test_a_resumed_training_continues_it(tmp_path, one_by_one, tail):
    """After a crash the file may lack lines, or be ahead of the checkpoint."""
    path = tmp_path / "log.csv"
    train(control.CSVLog(path), updates=3, checkpoint=tmp_path / "run")
    before = path.read_text().splitlines(keepends=True)
    path.write_text("".join(before[:3] if not tail else before) + tail)
    whole = train(control.CSVLog(path), checkpoint=tmp_path / "run")
    found = rows(path)
    assert [row["update"] for row in found] == list("12345")
    np.testing.assert_array_equal([np.float32(row["objective"]) for row in found], whole.objectives)
    assert path.read_text().splitlines(keepends=True)[:3] == before[:3]  # with their seconds


def test_a_line_cut_off_in_its_last_number(tmp_path, one_by_one):
    path = tmp_path / "log.csv"
    train(control.CSVLog(path), updates=3, checkpoint=tmp_path / "run")
    whole, _, _ = path.read_text().rpartition(",")
    path.write_text(f"{whole},1e-")
    train(control.CSVLog(path), checkpoint=tmp_path / "run")
    assert [float(row["seconds"]) > 0 for row in rows(path)] == [True] * 5


def test_a_file_that_is_no_log_is_kept(tmp_path):
    (tmp_path / "data.csv").write_text("x,y\n1,2\n")
    with pytest.raises(SpanaxError, match="not the log of a training"):
        train(control.CSVLog(tmp_path / "data.csv"))
    assert (tmp_path / "data.csv").read_text() == "x,y\n1,2\n"
    with pytest.raises(SpanaxError, match="cannot be written"):
        train([control.CSVLog(tmp_path / "first.csv"), control.CSVLog(tmp_path / "none" / "log.csv")])


def test_a_csv_file_by_itself(tmp_path):
    log = control.CSVLog(tmp_path / "log.csv")
    log(7, {"loss": 0.5}, None)
    log.end()
    assert (tmp_path / "log.csv").read_text() == "update,loss\n7,0.5\n"


# -- TensorBoard


def test_tensorboard_reads_what_was_written(tmp_path):
    pytest.importorskip("tensorboardX")
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(control.TensorBoard(tmp_path / "tb"), updates=3, checkpoint=tmp_path / "run")
    result = train(control.TensorBoard(tmp_path / "tb"), checkpoint=tmp_path / "run")
    events = reading.EventAccumulator(str(tmp_path / "tb")).Reload()
    found = events.Scalars("objective")
    assert [event.step for event in found] == [1, 2, 3, 4, 5]
    np.testing.assert_allclose([event.value for event in found], result.objectives, rtol=1e-6)


def test_tensorboards_files_are_written(tmp_path):
    pytest.importorskip("tensorboardX")
    result = train(control.TensorBoard(tmp_path / "tb"))
    (file,) = (tmp_path / "tb").glob("events*")
    content = file.read_bytes()
    # No point where no episode ended.
    assert content.count(b"gradient_norm") == 5
    assert content.count(b"return") == np.isfinite(result.returns).sum() == 4


def test_without_tensorboardx_it_says_what_to_install():
    script = """
import sys
sys.modules["tensorboardX"] = None
import spanax as sx
try:
    sx.control.TensorBoard("runs")
except sx.SpanaxError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install 'spanax[tensorboard]'" in out.stdout
