"""Each message that the page on troubleshooting quotes is one that is really raised."""

import re
import warnings
from pathlib import Path

import mne
import numpy as np
import pytest

from citrus_sk import CitrusClassifier, SignalAligner, load_pretrained
from citrus_sk.evaluation import fraction_curve, make_peer

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "troubleshooting.md").read_text()
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


def epochs(names):
    info = mne.create_info(names, 100.0, "eeg")
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
    clf.predict(epochs(["Cz", "C3", "C4"]))


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


CASES = [
    two_dimensions_too_many, single_window, unequal_windows, array_of_unequal_windows, a_gap,
    no_rate, another_length, fewer_channels, other_channels, raw_instead_of_epochs, one_class,
    labels_too_few, missing_labels, unknown_parameter_value, unknown_checkpoint,
    unknown_modality, windows_that_overlap,
]  # fmt: skip


def message(case, data, fitted):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            case(data, fitted)
        except (ValueError, TypeError, UserWarning) as raised:
            return f"{type(raised).__name__}: {raised}"
    return None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_it_is_raised_as_the_page_quotes_it(case, data, fitted):
    assert message(case, data, fitted) in QUOTED


def test_nothing_else_is_quoted():
    assert len(QUOTED) == len(set(QUOTED)) == len(CASES)
