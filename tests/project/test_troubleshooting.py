"""Each message that the page on troubleshooting quotes is one that is really raised."""

import re
import warnings
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import mne
import numpy as np
import pytest
import torch
from edf_files import write_edf
from sklearn.pipeline import make_pipeline
from torch.utils.data import TensorDataset

from citrus_sk import (
    CitrusClassifier,
    CitrusEmbedder,
    CitrusRegressor,
    GroupRecenter,
    SignalAligner,
    StratifiedFractionKFold,
    find_learning_rate,
    load_pretrained,
    read_corpus,
)
from citrus_sk.evaluation import fraction_curve, make_peer
from citrus_sk.mne import make_epochs
from citrus_sk.signals.recordings.label_tables import read_label_table

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "troubleshooting.md").read_text()
QUOTED = [
    " ".join(quote.split()) for quote in re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL)
]


def probe(**parameters):
    return CitrusClassifier(
        pretrained=None, preset="tiny", random_kernels=False, strategy="linear-probe", **parameters
    )


@pytest.fixture(scope="module")
def data(watch):
    return watch.X[:24], watch.y[:24]


@pytest.fixture(scope="module")
def fitted(data):
    return probe(random_state=0).fit(*data)


def epochs(names, sfreq=100.0):
    info = mne.create_info(names, sfreq, "eeg")
    return mne.EpochsArray(np.random.default_rng(0).normal(size=(8, 3, 128)), info, verbose="error")


def unequal(data):
    return [window[:, : 100 + i] for i, window in enumerate(data[0])], data[1]


def two_dimensions_too_many(data, fitted):
    probe().fit(data[0][None], data[1])


def single_window(data, fitted):
    fitted.predict(data[0][0, 0])


def unequal_windows(data, fitted):
    probe().fit(*unequal(data))


def array_of_unequal_windows(data, fitted):
    SignalAligner().fit([window.tolist() for window in unequal(data)[0]])


def a_gap(data, fitted):
    X = np.array(data[0])
    X[3, 2, 17] = np.nan
    probe().fit(X, data[1])


def no_rate(data, fitted):
    SignalAligner(method="rate").fit(data[0])


def another_length(data, fitted):
    fitted.predict(data[0][..., :100])


def fewer_channels(data, fitted):
    fitted.predict(data[0][:, :4])


def other_channels(data, fitted):
    clf = probe().fit(epochs(["C3", "Cz", "C4"]), [0, 1] * 4)
    clf.predict(epochs(["C3", "Pz", "C4"]))


def raw_instead_of_epochs(data, fitted):
    info = mne.create_info(["C3"], 100.0, "eeg")
    probe().fit(mne.io.RawArray(np.ones((1, 500)), info, verbose="error"))


def one_class(data, fitted):
    probe().fit(data[0], np.repeat("row", len(data[0])))


def labels_too_few(data, fitted):
    probe().fit(data[0], data[1][:-1])


def missing_labels(data, fitted):
    y = data[1].astype(object)
    y[5] = None
    probe().fit(data[0], y)


def unknown_parameter_value(data, fitted):
    probe(backbone="cnn").fit(*data)


def unknown_checkpoint(data, fitted):
    load_pretrained("eeg-frequency")


def unknown_modality(data, fitted):
    CitrusClassifier("eeg-freq", modality="EMG").fit(*data)


def windows_that_overlap(data, fitted):
    X, y = np.concatenate([data[0], data[0]]), np.concatenate([data[1], data[1]])
    fraction_curve(make_peer("majority"), X, y, fractions=(1.0,), cv=2)


def channels_last(data, fitted):
    probe().fit(np.zeros((24, 360, 2)), data[1])


def not_an_array(data, fitted):
    probe().fit("windows.npy", data[1])


def a_dictionary(data, fitted):
    probe().fit({"X": data[0], "y": data[1]}, data[1])


def a_tensor_data_set(data, fitted):
    probe().fit(TensorDataset(torch.zeros(24, 6, 128), torch.zeros(24)), data[1])


def spectra(data, fitted):
    probe().fit(epochs(["C3", "Cz", "C4"]).compute_psd(verbose="error"), [0, 1] * 4)


def another_rate(data, fitted):
    clf = probe().fit(epochs(["C3", "Cz", "C4"]), [0, 1] * 4)
    clf.predict(epochs(["C3", "Cz", "C4"], sfreq=200.0))


def edf_of_several_rates(data, fitted):
    with TemporaryDirectory() as folder:
        signals = {"EEG Cz": (np.arange(1000), 100), "Resp": (np.arange(10), 1)}
        path = write_edf(Path(folder) / "night.edf", signals)
        make_epochs(mne.io.read_raw_edf(path, verbose="error"), duration=2)


def a_rate_that_is_too_low(data, fitted):
    muscle = np.random.default_rng(0).normal(size=(8, 1, 1500))
    SignalAligner(method="rate", sfreq=4000).fit(muscle)


def masked_windows(data, fitted):
    probe().fit(np.ma.masked_equal(data[0], data[0][3, 2, 17]), data[1])


def another_unit(data, fitted):
    fitted.predict(1e6 * data[0])


def missing_groups(data, fitted):
    probe().fit(*data, groups=["n/a", *"abcdefghijklmnopqrstuvw"])


def no_labels_in_a_pipeline(data, fitted):
    make_pipeline(SignalAligner(), probe()).fit(epochs(["C3", "Cz", "C4"]))


def score_without_labels(data, fitted):
    fitted.score(data[0])


def a_mistyped_path(data, fitted):
    load_pretrained("models/eeg")


def stored_by_another_version(data, fitted):
    state = fitted.__getstate__() | {"_citrus_sk_version": "0.0.1", "_packed": [({}, [], None)]}
    probe().__setstate__(state)


def a_cut_file(data, fitted):
    with TemporaryDirectory() as folder:
        path = write_edf(Path(folder) / "night.edf", {"EEG Cz": (np.arange(1000) % 50, 100)})
        path.write_bytes(path.read_bytes()[:-50])
        read_corpus(folder)


def a_channel_without_a_range(data, fitted):
    with TemporaryDirectory() as folder:
        path = write_edf(Path(folder) / "night.edf", {"EEG Cz": (np.arange(1000) % 50, 100)})
        content = bytearray(path.read_bytes())
        content[360:376] = b"0       0       "  # physical minimum and maximum
        path.write_bytes(content)
        make_epochs(mne.io.read_raw_edf(path, verbose="error"), duration=2)


def a_recording_with_gaps(data, fitted):
    with TemporaryDirectory() as folder:
        signals = {"EEG Cz": (np.arange(800) % 50, 100)}
        onsets = [0, 1, 2, 3, 10, 11, 12, 13]
        path = write_edf(Path(folder) / "night.edf", signals, onsets=onsets)
        make_epochs(mne.io.read_raw_edf(path, verbose="error"), duration=2)


def other_formats(data, fitted):
    with TemporaryDirectory() as folder:
        write_edf(Path(folder) / "night.edf", {"EEG Cz": (np.arange(1000) % 50, 100)})
        with chdir(folder):
            Path("night2.mat").write_bytes(b"")
            read_corpus(".")


def raw_and_events():
    info = mne.create_info(["C3"], 100.0, "eeg")
    raw = mne.io.RawArray(np.zeros((1, 1000)), info, verbose="error")
    return raw, np.array([[0, 0, 1], [300, 0, 2], [300, 0, 3]])


def a_stage_without_events(data, fitted):
    raw, events = raw_and_events()
    make_epochs(raw, events, {"wake": 1, "N2": 2, "REM": 5}, duration=2)


def two_events_at_one_sample(data, fitted):
    raw, events = raw_and_events()
    make_epochs(raw, events, duration=2)


def a_table_with_missing_labels(data, fitted):
    with TemporaryDirectory() as folder:
        table = Path(folder) / "labels.csv"
        table.write_text("file,onset,duration,label\nnight.edf,0,2,n/a\n")
        read_label_table(table)


def too_few_groups(data, fitted):
    groups = np.repeat("night.edf", len(data[0]))
    next(StratifiedFractionKFold(3).split(*data, groups))


def nothing_to_hold_out(data, fitted):
    clf = CitrusClassifier(
        None, preset="tiny", strategy="finetune", early_stopping=True, random_kernels=False
    )
    clf.fit(data[0][:3], ["a", "b", "c"])


def a_loss_that_explodes(data, fitted):
    clf = CitrusClassifier(None, preset="tiny", strategy="finetune", random_kernels=False)
    find_learning_rate(clf, *data, low=1e18, high=1e20, n_steps=20)


def three_people(data):
    return np.arange(len(data[0])) % 3


def people_new_to_predict(data, fitted):
    fitted.predict(data[0], groups=three_people(data))


def adapt_without_adaptation(data, fitted):
    clf = probe(adaptation=None).fit(*data, groups=three_people(data))
    clf.adapt(data[0])


def adapt_twice(data, fitted):
    personal = fitted.personalize(*data)
    personal.predict(data[0], groups=three_people(data))


def a_label_new_to_personalize(data, fitted):
    fitted.personalize(data[0][:2], ["push-up", "push-up"])


def another_number_of_targets(data, fitted):
    settings = {"preset": "tiny", "random_kernels": False, "strategy": "linear-probe"}
    regressor = CitrusRegressor(None, **settings).fit(data[0], np.arange(len(data[0])))
    regressor.personalize(data[0][:2], np.zeros((2, 2)))


def people_new_to_recenter(data, fitted):
    features = data[0].mean(axis=2)
    GroupRecenter().fit(features, data[1]).transform(features, groups=three_people(data))


def people_new_to_the_embedder(data, fitted):
    embedder = CitrusEmbedder(None, preset="tiny").fit(data[0])
    embedder.transform(data[0], groups=three_people(data))


CASES = [
    two_dimensions_too_many, single_window, unequal_windows, array_of_unequal_windows, a_gap,
    no_rate, another_length, fewer_channels, other_channels, raw_instead_of_epochs, one_class,
    labels_too_few, missing_labels, unknown_parameter_value, unknown_checkpoint,
    unknown_modality, windows_that_overlap, channels_last, not_an_array, a_dictionary,
    a_tensor_data_set, spectra, another_rate, edf_of_several_rates,
    a_rate_that_is_too_low, masked_windows, another_unit, missing_groups,
    no_labels_in_a_pipeline, score_without_labels,
    a_mistyped_path, stored_by_another_version, a_cut_file, a_channel_without_a_range,
    a_recording_with_gaps, other_formats, a_stage_without_events, two_events_at_one_sample,
    a_table_with_missing_labels, too_few_groups, nothing_to_hold_out, a_loss_that_explodes,
    people_new_to_predict, adapt_without_adaptation, adapt_twice, a_label_new_to_personalize,
    another_number_of_targets, people_new_to_recenter, people_new_to_the_embedder,
]  # fmt: skip


def message(case, data, fitted):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            case(data, fitted)
        except (ValueError, TypeError, OSError, UserWarning) as raised:
            text = str(raised).replace(str(Path.cwd()), "/home/me/study")
            return f"{type(raised).__name__}: {' '.join(text.split())}"
    return None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_it_is_raised_as_the_page_quotes_it(case, data, fitted):
    assert message(case, data, fitted) in QUOTED


def test_nothing_else_is_quoted():
    assert len(QUOTED) == len(set(QUOTED)) == len(CASES)
