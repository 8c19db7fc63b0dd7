"""Exported evaluations, read back by pandas' neighbours: the csv module, numpy.load and pyarrow."""

import csv
import os
import resource
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from spanax import SpanaxError
from spanax.blackbox.store._layout import Layout
from spanax.blackbox.store.store import Store

LAYOUT = Layout(
    "f",
    "value",
    (
        ("x['angle']", "float64", (3,)),
        ("x['on']", "bool", ()),
        ("x['half']", "bfloat16", ()),
        ("x['none']", "<f8", (0,)),
    ),
    (("y[0]", "float32", (2, 2)), ("y[1]", "complex128", ()), ("y[2]", "int64", ())),
)
COLUMNS = (
    "x['angle'][0] x['angle'][1] x['angle'][2] x['on'] x['half'] y[0][0,0] y[0][0,1] y[0][1,0] y[0][1,1] "
    "y[1].real y[1].imag y[2] replicate seconds"
).split()
N = 1500  # more than one chunk


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store") / "runs.db", "1")
    random = np.random.default_rng(0)

    def leaves(leaves):
        numbers = [np.asarray(random.normal(size=s) * 10.0 ** random.integers(-30, 5)) for _, _, s in leaves]
        return b"".join(a.astype(jnp.dtype(d)).tobytes() for a, (_, d, _) in zip(numbers, leaves, strict=True))

    rows = [(leaves(LAYOUT.inputs), i, leaves(LAYOUT.outputs), random.uniform()) for i in range(N - 1)]
    special = np.array([np.nan, np.inf, -np.inf]).tobytes() + leaves(LAYOUT.inputs[1:])
    store.ledger(LAYOUT).add([*rows, (special, 2**63 - 1, leaves(LAYOUT.outputs), 0.1)])
    yield store
    store.close()


def flat(table):
    """An independent list of the columns, as float64 or int64."""
    angle, y, z = table["x['angle']"], table["y[0]"].astype(float), table["y[1]"]
    rest = [table["x['on']"], table["x['half']"].astype(np.float32)]
    rest += [y[:, 0, 0], y[:, 0, 1], y[:, 1, 0], y[:, 1, 1], z.real, z.imag]
    return [*angle.T, *rest, table["y[2]"], table["replicate"], table["seconds"]]


def test_csv(store, tmp_path):
    store.export(tmp_path / "runs.csv")
    with open(tmp_path / "runs.csv", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == COLUMNS and len(rows) == N
    for name, got, want in zip(head, zip(*rows, strict=True), flat(store.table()), strict=True):
        parse = {"x['on']": lambda s: {"True": True, "False": False}[s], "y[2]": int, "replicate": int}.get(name, float)
        np.testing.assert_array_equal([parse(s) for s in got], want)


def test_npz(store, tmp_path):
    store.export(tmp_path / "runs.npz")
    table = store.table()
    with np.load(tmp_path / "runs.npz", allow_pickle=False) as got:
        assert got.files == list(table)
        for name, array in table.items():
            want = array.astype(np.float32) if name == "x['half']" else array
            assert got[name].dtype == want.dtype
            np.testing.assert_array_equal(got[name], want)


def test_parquet(store, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    store.export(tmp_path / "runs.PARQUET")
    got = parquet.read_table(tmp_path / "runs.PARQUET")
    assert got.column_names == COLUMNS
    for name, want in zip(COLUMNS, flat(store.table()), strict=True):
        np.testing.assert_array_equal(got[name].to_numpy(), want)
    assert str(got.schema.field("y[0][0,0]").type) == "float" and str(got.schema.field("x['on']").type) == "bool"


def test_without_pyarrow(store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SpanaxError, match="pip install pyarrow"):
        store.export(tmp_path / "runs.parquet")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", ["runs.xlsx", "runs"])
def test_an_unknown_suffix(store, tmp_path, path):
    with pytest.raises(SpanaxError, match=r"ends in \.parquet, \.csv, \.npz"):
        store.export(tmp_path / path)


@pytest.mark.parametrize("suffix", ["csv", "npz", "parquet"])
def test_an_empty_store(tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    with Store(tmp_path / "runs.db", "1") as store:
        store.export(tmp_path / f"runs.{suffix}")
    if suffix == "csv":
        assert (tmp_path / "runs.csv").read_text() == "replicate,seconds\n"


@pytest.mark.parametrize("suffix", ["csv", "npz", "parquet"])
def test_a_file_appears_whole_or_not_at_all(store, tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    path = tmp_path / f"runs.{suffix}"
    path.write_text("what was there")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(SpanaxError, match="cannot be written"):
            store.export(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "what was there" and os.listdir(tmp_path) == [path.name]
    with pytest.raises(SpanaxError, match="cannot be written"):
        store.export(tmp_path / "missing" / f"runs.{suffix}")
