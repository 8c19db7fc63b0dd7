"""The store in one process: what is found again, tables, and wrong calls."""

import os
import tempfile
import threading

import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

from spanax import SpanaxError
from spanax.blackbox.store._layout import Layout
from spanax.blackbox.store.store import Store

SCALAR = Layout("f", "value", (("x", "float64", ()),), (("y", "float64", ()),))
WIDE = Layout("f", "value", (("x", "<f8", (150,)),), (("y", "<f8", (150,)),))


def packed(*values):
    return np.array(values, "<f8").tobytes()


# -- what is found again ---------------------------------------------------------------------------------------------


def test_evaluations_are_found_again_by_input_and_replicate(tmp_path):
    with Store(tmp_path / "runs.db", "1") as store:
        ledger = store.ledger(SCALAR)
        assert ledger.find([packed(1)], [0]) == [None] and store.layouts == ()
        ledger.add(
            [(packed(1), 0, packed(10), 0.5), (packed(1), 2**63 - 1, packed(11), 0.5), (packed(2), 0, packed(20), 0)]
        )
        ledger.add([(packed(2), 0, packed(99), 0.5)])  # it is there already
    store = Store(str(tmp_path / "runs.db"), "1", durability="full")
    ledger = store.ledger(SCALAR)
    assert store.ledger(SCALAR) is ledger
    found = ledger.find([packed(2), packed(1), packed(1), packed(1)], [0, 2**63 - 1, 0, 1])
    assert found == [packed(20), packed(11), packed(10), None]
    assert len(store) == 3 and store and ledger.find([], []) == []
    assert "version='1'" in repr(store) and "3 evaluations of 'f'" in repr(store)
    store.close()


def test_an_empty_store(tmp_path):
    with Store(tmp_path / "runs.db", "1") as store:
        assert len(store) == 0 and store and store.layouts == ()
        table = store.table()
        assert {name: (a.shape, a.dtype) for name, a in table.items()} == {
            "replicate": ((0,), np.int64),
            "seconds": ((0,), np.float64),
        }


def test_layouts_are_kept_apart(tmp_path):
    others = [
        SCALAR._replace(kind="vjp"),
        SCALAR._replace(inputs=(("x", "int64", ()),)),
        SCALAR._replace(inputs=(("z", "float64", ()),)),
        SCALAR._replace(inputs=(("x", "float32", (2,)),)),
    ]
    with Store(tmp_path / "runs.db", "1") as store:
        for i, layout in enumerate([SCALAR, *others]):
            ledger = store.ledger(layout)
            assert ledger.find([packed(1)], [0]) == [None]
            ledger.add([(packed(1), 0, packed(i), 0.5)])
        for i, layout in enumerate([SCALAR, *others]):
            assert store.ledger(layout).find([packed(1)], [0]) == [packed(i)]
            assert store.table(layout=layout)["y"] == i
        assert store.table("vjp")["y"] == 1 and len(store.table("jvp")["replicate"]) == 0
        with pytest.raises(
            SpanaxError, match=r"4 layouts(.|\n)*layouts\[0\]: f, value: x float64\[\] -> y(.|\n)*layouts\[4\]"
        ):
            store.table()
        with pytest.raises(SpanaxError, match="of kind 'valeu'"):
            store.table("valeu")
        with pytest.raises(SpanaxError, match="nothing has been evaluated"):
            store.table(layout=WIDE)


@pytest.mark.parametrize(
    "row",
    [
        (packed(1, 2), 0, packed(1), 0.5),
        (packed(1), 0, packed(), 0.5),
        (packed(1), -1, packed(1), 0.5),
        (packed(1), 2**63, packed(1), 0.5),
        (packed(1), 0, packed(1), float("nan")),
    ],
)
def test_a_wrong_row_is_not_taken(tmp_path, row):
    with Store(tmp_path / "runs.db", "1") as store:
        with pytest.raises(ValueError, match="expected 8 and 8 bytes"):
            store.ledger(SCALAR).add([(packed(1), 0, packed(1), 0.5), row])
        assert len(store) == 0


DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128 bfloat16"
LEAVES = st.lists(
    st.tuples(st.sampled_from(DTYPES.split()), st.lists(st.integers(0, 3), max_size=3).map(tuple)), max_size=3
)


@hypothesis.given(LEAVES, LEAVES, st.integers(0, 5), st.randoms(use_true_random=False))
@hypothesis.settings(max_examples=60)
def test_tables_give_back_what_was_added(inputs, outputs, n, random):
    def named(name, leaves):
        return tuple((f"{name}[{i}]", dtype, shape) for i, (dtype, shape) in enumerate(leaves))

    def arrays(leaves):
        numbers = np.random.default_rng(random.getrandbits(32))
        return [np.asarray(100 * numbers.normal(size=shape)).astype(jnp.dtype(dtype)) for _, dtype, shape in leaves]

    layout = Layout("f", "value", named("x", inputs), named("y", outputs))
    rows = [(arrays(layout.inputs), i, arrays(layout.outputs), i / 8) for i in range(n)]

    def raw(arrays):
        return b"".join(a.tobytes() for a in arrays)

    with tempfile.TemporaryDirectory() as folder:
        with Store(f"{folder}/runs.db", "1") as store:
            store.ledger(layout).add([(raw(x), r, raw(y), s) for x, r, y, s in rows])
        with Store(f"{folder}/runs.db", "1") as store:
            found = store.ledger(layout).find([raw(x) for x, *_ in rows], range(n))
            table = store.table(layout=layout if n else None)
    assert found == [raw(y) for _, _, y, _ in rows]
    assert table["replicate"].tolist() == [r for _, r, _, _ in rows] and table["replicate"].dtype == np.int64
    assert table["seconds"].tolist() == [s for *_, s in rows]
    if n:
        assert list(table) == [path for path, _, _ in (*layout.inputs, *layout.outputs)] + ["replicate", "seconds"]
        for path, dtype, shape in (*layout.inputs, *layout.outputs):
            assert table[path].dtype == jnp.dtype(dtype) and table[path].shape == (n, *shape)
        for row, (x, _, y, _) in enumerate(rows):
            for (path, _, _), leaf in zip((*layout.inputs, *layout.outputs), [*x, *y], strict=True):
                assert table[path][row].tobytes() == leaf.tobytes()


def test_a_long_table_is_in_order_of_insertion(tmp_path):
    order = np.random.default_rng(0).permutation(5000)
    with Store(tmp_path / "runs.db", "1") as store:
        store.ledger(SCALAR).add([(packed(i), i, packed(-i), 0.5) for i in order])
        table = store.table()
    assert (table["x"] == order).all() and (table["y"] == -order).all() and (table["replicate"] == order).all()


def test_threads_share_a_store(tmp_path):
    store, failures = Store(tmp_path / "runs.db", "1"), []

    def work(start):
        try:
            for i in range(start, start + 100):
                store.ledger(SCALAR).add([(packed(i), 0, packed(-i), 0.5)])
                assert store.ledger(SCALAR).find([packed(i)], [0]) == [packed(-i)]
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(50 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and sorted(store.table()["x"]) == list(range(250))
    store.close()


# -- the wrong call --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        (("", "1"), {}, "no path"),
        ((b"runs.db", "1"), {}, "no path"),
        (("runs.db", " "), {}, "the version of the program"),
        (("runs.db", 1), {}, "the version of the program"),
        (("runs.db", "1"), {"durability": "off"}, "durability='off'"),
        (("missing/runs.db", "1"), {}, r"no folder .*missing(.|\n)*os.makedirs"),
        ((".", "1"), {}, "not a regular file"),
        (("/dev/null", "1"), {}, "not a regular file"),
    ],
)
def test_a_wrong_call(tmp_path, monkeypatch, args, kwargs, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpanaxError, match=words) as caught:
        Store(*args, **kwargs)
    assert "test_store.py" in caught.value.where and caught.value.remedies and os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "values"}, "kind 'values'"),
        ({"outputs": (("x", "<f8", ()),)}, "cannot be columns"),
        ({"outputs": (("seconds", "<f8", ()),)}, "cannot be columns"),
        ({"outputs": (("y", "O", ()),)}, "not Python objects"),
        ({"outputs": (("y", "<f8", (10**9,)),)}, "limit of 1 GB"),
    ],
)
def test_a_layout_that_cannot_be_kept(tmp_path, change, words):
    with Store(tmp_path / "runs.db", "1") as store, pytest.raises(SpanaxError, match=words):
        store.ledger(SCALAR._replace(**change))
