"""The aligner warns if resampling to a lower rate removes most of the power of a signal."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone

from citrus_sk import SignalAligner
from citrus_sk.datasets import load_watch
from citrus_sk.signals.lost_power import power_above

TIME = np.arange(1000) / 250  # s


@pytest.fixture(scope="module")
def movements():
    """Real windows of 5.12 s at 50 Hz, most of whose power is below 0.8 Hz."""
    return load_watch(overlap=0).X


def tones(**amplitudes):
    """Windows (8, 2, 1000) at 250 Hz, of tones by their frequencies in Hz: ``f10=1.0``."""
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (8, 2, 1))
    return sum(
        amplitude * np.sin(2 * np.pi * float(name[1:]) * TIME + phases)
        for name, amplitude in amplitudes.items()
    )


def message_of(aligner, X):
    """Return the only warning of ``fit``; None if there is none."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        aligner.fit(X)
    assert len(caught) <= 1
    assert all(each.filename == __file__ for each in caught)  # it points to the user's line
    return str(caught[0].message) if caught else None


@pytest.mark.parametrize("n_times", [None, 128, 16])
def test_movements_keep_their_power_down_to_three_samples_a_second(movements, n_times):
    assert message_of(SignalAligner(n_times), movements) is None


def test_movements_lose_most_of_their_power_with_four_samples_for_each_window(movements):
    found = message_of(SignalAligner(4, sfreq=50), movements)
    assert "from 50 Hz to 0.7812 Hz: frequencies above 0.3906 Hz are lost" in found
    assert "79% of the power of X" in found
    assert "n_times above 4" in found


def test_the_share_is_that_of_the_tones_above_the_frequency():
    X = 1e3 + tones(f10=2, f60=1)[0]
    np.testing.assert_allclose(power_above(X, 50 / 250), 1 / 5, atol=1e-3)
    np.testing.assert_allclose(power_above(X, 5 / 250), 1, atol=1e-3)
    for scale in (1e-30, 1e30):
        scaled = power_above((scale * X).astype(np.float32), 50 / 250)
        np.testing.assert_allclose(scaled, 1 / 5, atol=1e-2)
    assert power_above(np.ones((3, 100)), 0.1).shape == (0,)


@pytest.mark.parametrize(
    ("aligner", "is_lost"),
    [
        (SignalAligner(512), False),  # 128 Hz
        (SignalAligner(400), True),  # 100 Hz
        (SignalAligner(400, method="rate", sfreq=250), True),
        (SignalAligner(400, method="rate", sfreq=250, target_sfreq=125), False),
        (SignalAligner(400, method="crop"), False),
        (SignalAligner(400, method="pad"), False),
        (SignalAligner(400, method="native"), False),
    ],
    ids=str,
)
def test_it_warns_where_a_tone_lies_above_half_of_the_new_rate(aligner, is_lost):
    assert (message_of(clone(aligner), tones(f58=1)) is not None) == is_lost


def test_half_of_the_power_is_not_most_of_it():
    assert message_of(SignalAligner(400), tones(f20=1.02, f58=1)) is None
    assert message_of(SignalAligner(400), tones(f20=0.98, f58=1)) is not None


def test_without_a_rate_the_message_counts_in_samples():
    found = message_of(SignalAligner(400), tones(f58=1))
    assert "keeps one sample of 2.5: frequencies above 0.2 cycles per sample are lost" in found


def test_rate_is_told_another_remedy():
    found = message_of(SignalAligner(method="rate", sfreq=250), tones(f58=1))
    assert "set a higher target_sfreq and a larger n_times" in found


def test_flat_and_short_windows_are_left_out_of_the_share():
    assert message_of(SignalAligner(100), np.zeros((3, 2, 1000))) is None
    X = list(tones(f58=1))
    assert message_of(SignalAligner(400), [*X[:3], X[3][:, :390]]) is not None
    assert message_of(SignalAligner(400), [X[0], *(x[:, :390] for x in X)]) is None


def test_transform_is_silent_and_a_warning_that_is_an_error_leaves_nothing_fitted():
    aligner = SignalAligner(400)
    with pytest.raises(UserWarning, match="of the power of X"):  # pytest makes it an error
        aligner.fit(tones(f58=1))
    assert not hasattr(aligner, "n_chans_")
    assert message_of(aligner, tones(f58=1)) is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        aligner.transform(tones(f58=1))
