"""Cached features: the same bits as computed ones, and no harm from a cache that cannot be used."""

import pickle
import sqlite3
import warnings
from contextlib import closing

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict

from citrus_sk import CitrusClassifier, CitrusEmbedder, CitrusRegressor
from citrus_sk._utils.row_store import RowStore
from citrus_sk.datasets import load_watch
from citrus_sk.nn import CitrusNetwork
from citrus_sk.training import nets
from citrus_sk.training.feature_cache import FILE


@pytest.fixture(scope="module")
def watch():
    watch = load_watch()
    rows = np.r_[0 : len(watch.y) : 24]
    return watch.X[rows], watch.y[rows], watch.groups[rows]


def probe(memory=None, **params):
    return CitrusClassifier(pretrained=None, preset="tiny", random_state=0, memory=memory, **params)


@pytest.fixture
def computed(monkeypatch):
    """Number of windows that each call of the network computed, in batches of many."""
    monkeypatch.setitem(nets._INFERENCE_SAMPLES, "cpu", 2**18)
    counts, compute = [], CitrusNetwork._read_out

    def counting(self, x, z, scalars):
        counts.append(len(x))
        return compute(self, x, z, scalars)

    monkeypatch.setattr(CitrusNetwork, "_read_out", counting)
    return counts


@pytest.mark.parametrize("params", [{}, {"random_kernels": False, "strategy": "linear-probe"}])
def test_probabilities_have_the_same_bits_with_and_without_a_cache(watch, tmp_path, params):
    X, y, people = watch
    plain = probe(**params).fit(X[::2], y[::2], groups=people[::2])
    for groups in (None, people):  # first the cache is filled, then it is read
        cached = probe(tmp_path / "new" / "folder", **params)
        cached.fit(X[::2], y[::2], groups=people[::2])
        assert np.array_equal(cached.predict_proba(X, groups), plain.predict_proba(X, groups))
    assert np.array_equal(cached.adapt(X[:9]).predict_proba(X), plain.adapt(X[:9]).predict_proba(X))


def test_numbers_and_features_have_the_same_bits_with_and_without_a_cache(watch, tmp_path):
    X = watch[0]
    settings = {"pretrained": None, "preset": "tiny", "random_state": 0}
    target = X.std((1, 2))
    values = [
        CitrusRegressor(**settings, memory=memory).fit(X[::2], target[::2]).predict(X)
        for memory in (None, tmp_path, tmp_path)
    ]
    features = [
        CitrusEmbedder(**settings, memory=memory).fit_transform(X)
        for memory in (None, tmp_path, str(tmp_path))
    ]
    for first, *others in (values, features):
        assert all(np.array_equal(first, other) for other in others)


def test_windows_of_other_folds_are_not_computed_again(watch, tmp_path, computed):
    X, y, _ = watch
    probe(tmp_path).fit(X[:50], y[:50])
    computed.clear()
    probe(tmp_path).fit(X[10:50], y[10:50]).predict(X[20:40])
    assert not computed
    probe(tmp_path).fit(X[10:53], y[10:53])
    assert computed[0] == 3
    assert sum(computed) < 12, "beside the new windows, a few for the check of the rounding"


def test_the_same_weights_share_features_whatever_the_seed(watch, tmp_path, computed):
    X, y, _ = watch
    CitrusClassifier(random_state=0, memory=tmp_path).fit(X[:20], y[:20])
    computed.clear()
    CitrusClassifier(random_state=1, memory=tmp_path).fit(X[:20], y[:20])
    CitrusEmbedder(memory=tmp_path).fit_transform(X[:20])
    assert not computed
    for other in (
        CitrusClassifier("multi-time", random_state=0, memory=tmp_path),
        CitrusClassifier(modality="PPG", random_state=0, memory=tmp_path),
        CitrusClassifier(backbone="conv", random_state=0, memory=tmp_path),
    ):
        other.fit(X[:20], y[:20])
        assert sum(computed) >= 20, other
        computed.clear()
    CitrusClassifier(random_state=0, memory=tmp_path).fit(X[:20, :, :128], y[:20])
    assert sum(computed) >= 20


def test_folds_in_two_processes_give_the_same_bits(watch, tmp_path):
    X, y, _ = (each[::2] for each in watch)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        plain = cross_val_predict(probe(), X, y, cv=2, method="predict_proba")
    finally:
        torch.set_num_threads(n_threads)
    with parallel_config(inner_max_num_threads=1, backend="loky"):
        for model in (probe(tmp_path), probe(str(tmp_path))):  # the second one reads all features
            found = cross_val_predict(model, X, y, cv=2, method="predict_proba", n_jobs=2)
            assert np.array_equal(found, plain)
    assert (tmp_path / FILE).exists()


@pytest.mark.parametrize("n_times", [206, 256])
@pytest.mark.parametrize("n_chans", [1, 3])
def test_a_window_has_the_same_bits_in_any_batch(n_chans, n_times):
    X = np.random.default_rng(0).standard_normal((21, n_chans, n_times))
    embedder = CitrusEmbedder().fit(X)
    features = embedder.transform(X)
    order = np.random.default_rng(1).permutation(len(X))
    assert np.array_equal(embedder.transform(X[order]), features[order])
    for part in np.split(np.arange(len(X)), [1, 2, 5]):
        assert np.array_equal(embedder.transform(X[part]), features[part])


def test_where_rounding_depends_on_the_batch_nothing_is_stored(watch, tmp_path, monkeypatch):
    X, y, _ = watch
    compute = CitrusNetwork.network_features
    monkeypatch.setattr(
        CitrusNetwork, "network_features", lambda self, x: compute(self, x) * (1 + len(x) * 1e-7)
    )
    probe(tmp_path).fit(X[:20], y[:20])
    with sqlite3.connect(tmp_path / FILE) as file:
        assert file.execute("SELECT COUNT(*) FROM row").fetchone() == (0,)
    file.close()


def damage(folder, how):
    if how == "no database":
        (folder / FILE).write_bytes(b"not a database, but long enough to be one" * 100)
    elif how == "half a database":
        content = (folder / FILE).read_bytes()
        (folder / FILE).write_bytes(content[: len(content) // 3])
    elif how == "another table":
        with sqlite3.connect(folder / FILE) as file:
            file.execute("DROP TABLE row")
            file.execute("CREATE TABLE row (key, used, other)")
        file.close()
    elif how == "a folder instead":
        (folder / FILE).unlink()
        (folder / FILE).mkdir()


@pytest.mark.parametrize(
    "how", ["no database", "half a database", "another table", "a folder instead"]
)
def test_a_damaged_file_changes_no_result_and_gives_one_warning(watch, tmp_path, how):
    X, y, _ = watch
    expected = probe().fit(X[:40], y[:40]).predict_proba(X)
    probe(tmp_path).fit(X[:40], y[:40])
    damage(tmp_path, how)
    for call in ("fit", "predict"):
        with warnings.catch_warnings(record=True) as raised:
            warnings.simplefilter("always")
            if call == "fit":
                model = probe(tmp_path, n_estimators=1).fit(X[:40], y[:40])
            else:
                found = model.predict_proba(X)
        assert [w.category for w in raised] == [UserWarning]
        assert "cannot be used" in str(raised[0].message)
        assert FILE in str(raised[0].message)
    assert np.array_equal(found, expected)


def test_a_changed_row_is_computed_again(watch, tmp_path, computed):
    X, y, _ = watch
    expected = probe(tmp_path).fit(X[:40], y[:40]).predict_proba(X[:40])
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("UPDATE row SET data = zeroblob(length(data)) WHERE rowid % 2")
        file.execute("UPDATE row SET data = x'00' WHERE rowid = 2")
    file.close()
    computed.clear()
    assert np.array_equal(probe(tmp_path).fit(X[:40], y[:40]).predict_proba(X[:40]), expected)
    assert computed[0] == 21


@pytest.mark.parametrize("change", ["data = 'text'", "data = 3", "used = 'text'", "used = x'00'"])
def test_a_row_of_another_type_counts_as_absent(tmp_path, change):
    with closing(RowStore(tmp_path / FILE)) as store:
        rows = {b"a": np.ones(3, np.float32), b"b": np.zeros(3, np.float32)}
        store.write(rows)
        with closing(sqlite3.connect(tmp_path / FILE)) as file, file:
            file.execute(f"UPDATE row SET {change} WHERE key = ?", (b"a",))
        assert set(store.read(rows)) == {b"b"}


def test_a_folder_that_cannot_be_made_gives_a_warning(watch, tmp_path):
    X, y, _ = watch
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match=r"memory=.*cannot be used.*results are the same"):
        model = probe(tmp_path / "file" / "folder").fit(X[:20], y[:20])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(X[:20])


def test_a_model_predicts_where_its_folder_does_not_exist(watch, tmp_path):
    X, y, _ = watch
    model = probe(tmp_path / "here").fit(X[:20], y[:20])
    expected = model.predict_proba(X)
    (tmp_path / "here").rename(tmp_path / "gone")
    content = pickle.dumps(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(pickle.loads(content).predict_proba(X), expected)
    assert not (tmp_path / "here").exists()
    assert content.count(str(tmp_path).encode()) <= 1
    assert str(tmp_path).encode() not in pickle.dumps(model.set_params(memory=None))
    assert clone(model).memory is None


def test_a_trained_network_is_not_cached(watch, tmp_path):
    X, y, _ = watch
    probe(tmp_path, strategy="finetune", max_epochs=1, early_stopping=False).fit(
        X[:20], y[:20]
    ).predict(X)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [CitrusClassifier, CitrusRegressor, CitrusEmbedder])
def test_memory_must_be_a_folder(watch, kind):
    X = watch[0]
    with pytest.raises(TypeError, match=r"memory=3 is a int; expected a folder"):
        kind(memory=3).fit(X[:20], np.arange(20) % 2)


def row(i, n=1000):
    return {i.to_bytes(4, "little"): np.full(n, i, np.float32)}


def test_rows_that_were_not_used_lately_make_room(tmp_path, monkeypatch):
    now = [1e6]
    monkeypatch.setattr("time.time", lambda: now[0])
    store = RowStore(tmp_path / "rows", most_bytes=200_000)
    for i in range(100):
        store.write(row(i))
    assert (tmp_path / "rows").stat().st_size <= 200_000
    held = list(store.read(i.to_bytes(4, "little") for i in range(100)))
    assert 20 < len(held) < 50, "rows in use are not dropped"
    now[0] += 3000
    store.read(held[:5])
    now[0] += 3000
    for i in range(100, 130):
        store.write(row(i))
    assert list(store.read(held[:5])) == held[:5], "rows that were read lately are kept"
    assert len(store.read(held)) < len(held)
    assert store.read(row(129))
    store.close()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 200_000


def test_rows_make_room_after_the_clock_was_set_back(tmp_path, monkeypatch):
    now = [1e6]
    monkeypatch.setattr("time.time", lambda: now[0])
    store = RowStore(tmp_path / "rows", most_bytes=200_000)
    for i in range(100):
        store.write(row(i))
    now[0] -= 86_400
    read = list(store.read(row(0)))
    for i in range(100, 130):
        store.write(row(i))
    assert store.read(row(129)), "there is room for new rows"
    assert store.read(row(0)).keys() == set(read), "a row that was read since then is kept"
    store.close()


def _write_and_read(path, first):
    store = RowStore(path)
    for i in range(first, first + 100):
        store.write(row(i, 100))
        assert store.read(row(i - first))
    store.close()


@pytest.mark.parametrize("prefer", ["processes", "threads"])
def test_processes_and_threads_share_a_file(tmp_path, prefer):
    path = tmp_path / "rows"
    _write_and_read(path, 0)
    Parallel(2, prefer=prefer)(delayed(_write_and_read)(path, 100 * i) for i in (1, 2))
    store = RowStore(path)
    assert len(store.read(i.to_bytes(4, "little") for i in range(300))) == 300
    store.close()
    assert list(tmp_path.iterdir()) == [path]
