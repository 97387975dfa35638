"""MNE's containers go in, with their labels, channels and rates; recordings are cut by a helper."""

import pickle

import mne
import numpy as np
import pandas as pd
import pytest
from edf_files import write_edf
from mne.decoding import (
    Scaler,
    SlidingEstimator,
    Vectorizer,
    cross_val_multiscore,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from citrus_sk import CitrusClassifier, CitrusEmbedder, CitrusRegressor, SignalAligner
from citrus_sk.mne import labels_of, make_epochs

NAMES = ["C3", "Cz", "C4"]
IDS = {"left": 1, "right": 2}
EVENTS = np.array([[0, 0, 1], [200, 0, 2]])
EVENTS_OF_2_S = {"duration": 2, "events": EVENTS}


def make_raw(n_seconds=60, sfreq=100.0, names=NAMES, bad=()):
    """Noise in volts with 10 Hz after odd codes and 22 Hz after even ones, and a stim channel."""
    rng = np.random.default_rng(0)
    n = round(n_seconds * sfreq)
    events = np.array([[i * 2 * int(sfreq), 0, 1 + i % 2] for i in range(n_seconds // 2)])
    signals = 5e-6 * rng.standard_normal((len(names) + 1, n))
    for start, _, code in events:
        time = np.arange(2 * int(sfreq)) / sfreq
        signals[:-1, start : start + len(time)] += 2e-5 * np.sin(
            2 * np.pi * (10 if code == 1 else 22) * time
        )
    signals[-1] = 0
    info = mne.create_info([*names, "STI"], sfreq, ["eeg"] * len(names) + ["stim"])
    raw = mne.io.RawArray(signals, info, verbose="error")
    raw.info["bads"] = list(bad)
    return raw, events


@pytest.fixture
def epochs():
    raw, events = make_raw()
    epochs = make_epochs(raw, events, IDS, duration=1.5)
    table = {"stage": np.tile(["wake", "wake", "sleep"], 10), "person": np.repeat(["a", "b"], 15)}
    epochs.metadata = pd.DataFrame(table)
    return epochs


# --- labels --------------------------------------------------------------------------------------


def test_labels_come_from_the_events_by_default(epochs, quick):
    clf = quick(strategy="linear-probe").fit(epochs)
    assert clf.classes_.tolist() == ["left", "right"]
    assert clf.ch_names_ == tuple(NAMES)
    assert clf.score(epochs) == 1.0
    expected = quick(strategy="linear-probe").fit(
        epochs.get_data(picks="eeg", copy=False), labels_of(epochs)
    )
    np.testing.assert_array_equal(clf.predict_proba(epochs), expected.predict_proba(epochs))


def test_labels_and_groups_come_from_metadata_columns_by_name(epochs, quick):
    clf = quick(strategy="linear-probe").fit(epochs, "stage", groups="person")
    assert clf.classes_.tolist() == ["sleep", "wake"]
    assert labels_of(epochs, "person").tolist() == ["a"] * 15 + ["b"] * 15


def test_events_without_names_are_numbers():
    raw, events = make_raw()
    assert labels_of(make_epochs(raw, events, duration=1)).dtype.kind == "i"


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ("staeg", r"without a column 'staeg' in its metadata \(it has: stage, person\)"),
        (["left"] * 4, "X has 30 windows, but y has 4 labels"),
    ],
)
def test_labels_that_are_not_there_are_refused(epochs, quick, y, message):
    with pytest.raises(ValueError, match=message):
        quick().fit(epochs, y)


def test_missing_metadata_is_refused(epochs, quick):
    epochs.metadata.loc[3, "stage"] = None
    with pytest.raises(
        ValueError, match=r"'stage' is missing in 1 of 30 windows .*first: window 3"
    ):
        quick().fit(epochs, "stage")


def test_epochs_array_without_events_tells_no_label(quick):
    info = mne.create_info(2, 100, "eeg")
    values = np.random.default_rng(0).standard_normal((6, 2, 100))
    bare = mne.EpochsArray(values, info, verbose="error")
    with pytest.raises(
        ValueError, match=r"have one code only \(1\).*cannot serve as labels.*Pass y"
    ):
        quick().fit(bare)
    assert quick(strategy="linear-probe").fit(bare, [0, 1] * 3).predict(bare).shape == (6,)


def test_a_column_of_an_array_is_refused(quick):
    with pytest.raises(
        ValueError, match="y='stage' names a column of metadata, and X is of type nda"
    ):
        quick().fit(np.ones((4, 2, 50)), "stage")


# --- channels, rates, bad epochs -----------------------------------------------------------------


def test_other_channels_than_in_fit_are_refused_by_name(epochs, quick):
    clf = quick(strategy="linear-probe").fit(epochs)
    other = epochs.copy().rename_channels({"Cz": "Pz"})
    with pytest.raises(ValueError, match=r"X has the channels C3, Pz, C4, but .* on C3, Cz, C4"):
        clf.predict(other)
    turned = epochs.copy().reorder_channels(NAMES[::-1])
    np.testing.assert_array_equal(clf.predict_proba(turned), clf.predict_proba(epochs))


def test_a_list_of_epochs_needs_equal_channels_and_rates(epochs, quick):
    twice = [epochs, epochs.copy()]
    assert len(quick(strategy="linear-probe").fit(twice).predict(twice)) == 60
    other = epochs.copy()
    other.info["bads"] = ["Cz"]
    with pytest.raises(ValueError, match=r"unequal channels: those of X\[1\] and X\[0\] differ in"):
        quick().fit([epochs, other])
    with pytest.raises(ValueError, match=r"unequal sampling rates \(50 to 100 Hz\).*resample"):
        quick().fit([epochs, epochs.copy().resample(50)])


def test_rate_alignment_takes_the_rate_of_epochs_even_in_cross_validation(epochs):
    aligner = SignalAligner(256, method="rate", target_sfreq=200)
    assert aligner.fit(epochs).sfreq_ == 100
    clf = CitrusClassifier(pretrained=None, preset="tiny", random_kernels=False, random_state=0)
    pipe = make_pipeline(aligner, clf.set_params(strategy="linear-probe"))
    y, groups = labels_of(epochs), labels_of(epochs, "person")
    scores = cross_val_score(pipe, epochs, y, groups=groups, cv=GroupKFold(2))
    assert scores.tolist() == [1.0, 1.0]


def test_bad_annotations_leave_their_windows_and_labels_out(quick):
    raw, events = make_raw()
    raw.set_annotations(mne.Annotations([4.2, 20.5], [0.5, 0.1], ["BAD_move", "bad blink"]))
    lazy = mne.Epochs(raw, events, IDS, 0, 1.49, baseline=None, verbose="error")
    clf = quick(strategy="linear-probe").fit(lazy)  # which drops them
    assert len(labels_of(lazy)) == len(clf.predict(lazy)) == 28
    assert len(make_epochs(raw, events, IDS, duration=1.5)) == 28
    assert len(make_epochs(raw, events, IDS, duration=1.5, reject_by_annotation=False)) == 30


def test_epochs_that_were_all_dropped_say_why(epochs, quick):
    empty = epochs.copy().drop(range(30), reason="BLINK", verbose="error")
    with pytest.raises(ValueError, match=r"all of its epochs were dropped \(BLINK: 30"):
        quick().fit(empty, [])


def test_a_recording_is_no_windows(quick):
    with pytest.raises(TypeError, match=r"X is of type mne RawArray.*citrus_sk\.mne\.make_epochs"):
        quick().fit(make_raw()[0], [0, 1])


# --- make_epochs ---------------------------------------------------------------------------------


def test_picks_take_kinds_that_names_decide_where_types_are_the_default_of_a_reader(tmp_path):
    rng = np.random.default_rng(0)
    fast = ("EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal")
    slow = ("Resp oro-nasal", "Temp rectal", "Event marker")
    signals = {name: (rng.integers(-900, 900, 3000), 100) for name in fast}
    signals |= {name: (np.arange(30), 1) for name in slow}
    raw = mne.io.read_raw(write_edf(tmp_path / "night.edf", signals), verbose="error")
    assert make_epochs(raw, duration=2, picks="eeg").ch_names == ["EEG Fpz-Cz", "EEG Pz-Oz"]
    assert sorted(make_epochs(raw, duration=2, picks=["EOG", "eeg"]).ch_names) == sorted(fast)
    assert make_epochs(raw, duration=2, picks="pz-oz").ch_names == ["EEG Pz-Oz"]
    raw.info["bads"] = ["EOG horizontal"]
    with pytest.raises(ValueError, match=r"all channels of that kind.*bad \(EOG horizontal\)"):
        make_epochs(raw, duration=2, picks="eog")


def test_picks_take_the_type_that_a_user_gave_and_not_the_name():
    raw, _ = make_raw(names=["EOG left", "glove", "button"])
    types = {"EOG left": "emg", "glove": "bio", "button": "stim"}
    raw.set_channel_types(types, verbose="error", on_unit_change="ignore")
    assert make_epochs(raw, duration=2, picks="emg").ch_names == ["EOG left"]
    with pytest.raises(ValueError, match=r"It has EOG left \(EMG\), glove \(bio\), button, STI"):
        make_epochs(raw, duration=2, picks="eog")


def test_windows_of_fixed_length_have_the_asked_samples_and_overlap():
    raw, _ = make_raw(bad=["Cz"])
    plain = make_epochs(raw, duration=2)
    assert plain.get_data(copy=False).shape == (30, 2, 200)
    assert plain.ch_names == ["C3", "C4"]
    assert len(make_epochs(raw, duration=2, overlap=1)) == 59
    np.testing.assert_array_equal(
        plain.get_data(copy=False)[3], raw.get_data(["C3", "C4"], start=600, stop=800)
    )


def test_picks_are_names_or_a_kind():
    raw, events = make_raw()
    assert make_epochs(raw, duration=1, picks=["C4", "C3"]).ch_names == ["C4", "C3"]
    assert make_epochs(raw, duration=1, picks="eeg").ch_names == NAMES
    shifted = make_epochs(raw, events[:-1], duration=1, tmin=0.5)
    assert shifted.times[0] == 0.5


def test_an_edf_file_of_sleep_stages_becomes_labelled_windows(tmp_path, quick):
    rng = np.random.default_rng(0)
    time = np.arange(6000) / 100
    signal = np.where(time < 30, np.sin(60 * time), np.sin(12 * time)) * 500
    names = ("EEG Fpz-Cz", "EEG Pz-Oz")
    signals = {name: ((signal + 50 * rng.standard_normal(6000)).round(), 100) for name in names}
    stages = [(0, 30, "Sleep stage W"), (30, 30, "Sleep stage 2"), (7, 1, "BAD cough")]
    raw = mne.io.read_raw(
        write_edf(tmp_path / "night.edf", signals, annotations=stages), verbose="error"
    )
    events, event_id = mne.events_from_annotations(raw, chunk_duration=2, verbose="error")
    epochs = make_epochs(raw, events, event_id, duration=2)
    assert np.unique(labels_of(epochs), return_counts=True)[1].tolist() == [15, 14]
    volts = epochs.get_data(copy=False)
    assert 1e-5 < volts.std() < 1e-4  # 500 steps of 0.1 uV
    assert quick(strategy="linear-probe").fit(epochs).score(epochs) == 1.0


def test_an_edf_file_of_mixed_rates_is_refused_unless_channels_of_one_are_picked(tmp_path):
    rng = np.random.default_rng(0)
    signals = {"EEG A": (rng.integers(-900, 900, 3000), 100), "Resp": (np.arange(30), 1)}
    raw = mne.io.read_raw(write_edf(tmp_path / "mixed.edf", signals), verbose="error")
    with pytest.raises(
        ValueError, match=r"mixed\.edf .*'Resp' at 1 Hz and 'EEG A' at 100 Hz.*pick"
    ):
        make_epochs(raw, duration=2)
    assert len(make_epochs(raw, duration=2, picks=["EEG A"])) == 15
    with pytest.warns(UserWarning, match=r"sampled at 1 Hz.*to 100 Hz.*include=\['Resp'\]"):
        assert make_epochs(raw, duration=2, picks=["Resp"]).info["sfreq"] == 100
    alone = mne.io.read_raw_edf(tmp_path / "mixed.edf", include=["Resp"], verbose="error")
    assert make_epochs(alone, duration=2).info["sfreq"] == 1


def test_duplicate_channel_names_are_named(tmp_path):
    raw, _ = make_raw(names=["EEG-0", "EEG-1", "Cz"])
    with pytest.raises(
        ValueError, match=r"'EEG'.*the recording has 2 channels of that name.*one of EEG-0, EEG-1"
    ):
        make_epochs(raw, duration=1, picks=["EEG"])
    with pytest.raises(ValueError, match="picks has 'Cz' more than once"):
        make_epochs(raw, duration=1, picks=["Cz", "Cz"])


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"duration": 0}, ValueError, r"duration=0 is out of range; expected a number in seconds"),
        ({"duration": "2"}, TypeError, "duration='2' is a str"),
        ({"duration": 2, "overlap": 2}, ValueError, "overlap=2 is out of range"),
        ({"duration": 2, "picks": ["Oz"]}, ValueError, r"'Oz'.*It has C3 \(EEG\)"),
        ({"duration": 2, "picks": [0]}, TypeError, "holds 0, a int; expected names"),
        ({"duration": 2, "picks": 0}, TypeError, "holds 0, a int; expected names"),
        ({"duration": 2, "picks": []}, ValueError, "picks is empty"),
        ({"duration": 2, "picks": "stim"}, ValueError, "'stim', which is neither the name nor"),
        ({"duration": 2, "overlap": 1.994}, ValueError, r"at least one sample \(0\.01 s\) less"),
        ({"duration": 2, "events": (EVENTS, IDS)}, TypeError, "Unpack it: events, event_id"),
        (EVENTS_OF_2_S | {"event_id": {}}, ValueError, "event_id is empty"),
        (EVENTS_OF_2_S | {"event_id": [1, 2]}, TypeError, r"event_id=\[1, 2\] is a list"),
        (
            EVENTS_OF_2_S | {"event_id": {"left": "1"}},
            TypeError,
            "'left': '1', of types str and str",
        ),
        (EVENTS_OF_2_S | {"event_id": {"left": [1, 2]}}, TypeError, "of types str and list"),
        (EVENTS_OF_2_S | {"event_id": {1: 1}}, TypeError, "1: 1, of types int and int"),
        (
            EVENTS_OF_2_S | {"event_id": {"W": 1, "wake": 1, "N2": 2}},
            ValueError,
            "two names for the code 1, 'W' and 'wake'",
        ),
        ({"duration": 2, "events": []}, ValueError, "events has shape"),
        ({"duration": 2, "events": np.ones((0, 3), int)}, ValueError, "events is empty"),
        ({"duration": 2, "event_id": IDS}, ValueError, "events is None. Pass both"),
        ({"duration": 99}, ValueError, r"No window of duration=99 s"),
        (
            {"duration": 2, "events": np.array([[5990, 0, 1]])},
            ValueError,
            r"No window of duration=2 s is left of 1 \(TOO_SHORT: 1\)",
        ),
    ],
    ids=lambda value: next(reversed(value)) if isinstance(value, dict) else "",
)
def test_bad_arguments_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        make_epochs(make_raw()[0], **settings)


def test_the_same_event_twice_is_cut_once():
    raw, events = make_raw(10)
    doubled = np.repeat(events, 2, axis=0)
    assert labels_of(make_epochs(raw, doubled, IDS, duration=1.5)).tolist() == [
        "left", "right", "left", "right", "left",
    ]  # fmt: skip


def test_two_events_at_one_sample_are_named_with_a_remedy():
    raw, events = make_raw(10)
    events = np.insert(events, 2, [events[1, 0], 0, 3], axis=0)
    with pytest.raises(ValueError, match=r"at sample 200 \(2 s\): codes 2, 3.*event_repeated='dr"):
        make_epochs(raw, events, duration=1.5)
    assert len(make_epochs(raw, events, duration=1.5, event_repeated="drop")) == 5
    # A code that is not cut is not in the way.
    assert len(make_epochs(raw, events, IDS, duration=1.5)) == 5


def test_a_code_without_an_event_is_left_out_with_a_word():
    raw, events = make_raw(10)
    ids = IDS | {"REM": 5}
    with pytest.warns(UserWarning, match=r"no event has the code of REM \(5\).*codes 1, 2"):
        epochs = make_epochs(raw, events, ids, duration=1.5)
    assert set(epochs.event_id) == {"left", "right"}
    assert len(make_epochs(raw, events, ids, duration=1.5, on_missing="ignore")) == 5
    with pytest.raises(ValueError, match=r"REM \(5\).*on_missing='warn'"):
        make_epochs(raw, events, ids, duration=1.5, on_missing="raise")
    with pytest.raises(ValueError, match=r"N3 \(7\); the recording has the codes 1, 2"):
        make_epochs(raw, events, {"N3": 7}, duration=1.5)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, "n/a", "NaN", ""])
def test_a_missing_value_in_metadata_is_refused(epochs, missing):
    epochs.metadata["stage"] = epochs.metadata["stage"].astype(object)
    epochs.metadata.iloc[4, 0] = missing
    with pytest.raises(
        ValueError, match=r"'stage' is missing in 1 of 30 windows of X \(first: window 4"
    ):
        labels_of(epochs, "stage")


def test_score_uses_the_column_that_fit_used(epochs, quick):
    clf = quick(strategy="linear-probe").fit(epochs, "stage")
    assert clf.score(epochs) == clf.score(epochs, "stage")
    assert clf.score(epochs) == np.mean(clf.predict(epochs) == labels_of(epochs, "stage"))
    copied = pickle.loads(pickle.dumps(clf))
    assert copied.score(epochs) == clf.score(epochs)
    assert clf.fit(epochs).score(epochs) == np.mean(clf.predict(epochs) == labels_of(epochs))
    clf.fit(epochs, "stage")
    with pytest.raises(ValueError, match=r"needs y.*fit used the column 'stage'.*has no metadata"):
        clf.score(np.ones((2, 3, 150)))
    epochs.metadata = epochs.metadata.drop(columns="stage")
    with pytest.raises(ValueError, match=r"needs y.*used the column 'stage'.*it has: person"):
        clf.score(epochs)
    epochs.metadata["age"] = np.arange(30.0)
    reg = CitrusRegressor(None, preset="tiny", random_state=0).fit(epochs, "age")
    assert reg.score(epochs) == reg.score(epochs, "age")


def test_score_without_labels_says_what_is_missing(epochs, quick):
    X, y = np.random.default_rng(0).standard_normal((30, 3, 150)), np.arange(30) % 2
    clf = quick(strategy="linear-probe").fit(X, y)
    with pytest.raises(ValueError, match=r"CitrusClassifier\.score needs y.*y is None.*as values"):
        clf.score(X)
    with pytest.raises(ValueError, match=r"CitrusRegressor\.score needs y.*y is None.*as values"):
        CitrusRegressor(None, preset="tiny", random_state=0).fit(X, y).score(X)
    # The events may be something else than the labels that fit was given.
    clf.fit(epochs, labels_of(epochs, "stage"))
    with pytest.raises(ValueError, match=r"needs y.*fit got y as values"):
        clf.score(epochs)
    clf.fit(epochs)
    with pytest.raises(
        ValueError, match=r"used the labels that X held.*of type ndarray, holds none"
    ):
        clf.score(X)


def test_an_event_by_the_name_of_a_missing_value_is_refused():
    raw, events = make_raw(10)
    with pytest.raises(ValueError, match=r"target is missing in 2 of 5.*1 has 'n/a'.*event_id"):
        labels_of(make_epochs(raw, events, {"left": 1, "n/a": 2}, duration=1))


def test_a_path_is_no_recording():
    with pytest.raises(TypeError, match=r"raw is a str; expected an mne\.io\.Raw"):
        make_epochs("night.edf", duration=30)


# --- beside mne.decoding -------------------------------------------------------------------------


@pytest.mark.parametrize("as_epochs", [True, False], ids=["Epochs", "array"])
def test_cross_val_multiscore_takes_the_pipeline(epochs, as_epochs):
    clf = CitrusClassifier(
        pretrained=None, preset="tiny", strategy="linear-probe", random_kernels=False
    )
    X = epochs if as_epochs else epochs.get_data(picks="eeg", copy=False)
    pipe = make_pipeline(SignalAligner(128), clf.set_params(random_state=0))
    scores = cross_val_multiscore(pipe, X, labels_of(epochs), cv=2, verbose="error")
    assert scores.tolist() == [1.0, 1.0]


def test_the_scaler_stands_before_the_aligner(epochs, quick):
    pipe = make_pipeline(
        Scaler(epochs.copy().pick("eeg").info), SignalAligner(128), quick(strategy="linear-probe")
    )
    X, y = epochs.get_data(picks="eeg"), labels_of(epochs)
    assert pipe.fit(X[:20], y[:20]).score(X[20:], y[20:]) > 0.9


def test_the_vectorizer_stands_behind_the_aligner(epochs):
    aligned = make_pipeline(SignalAligner(64), Vectorizer(), StandardScaler(), LogisticRegression())
    assert aligned.fit(epochs, labels_of(epochs)).predict(epochs).shape == (30,)
    beside = make_pipeline(
        CitrusEmbedder(pretrained=None, preset="tiny", random_state=0), Vectorizer()
    )
    assert beside.fit_transform(epochs).shape[0] == 30


@pytest.mark.filterwarnings("ignore:method=.* of the power of X:UserWarning")  # 16 samples
def test_a_sliding_estimator_scores_a_classifier_in_each_piece_of_time(epochs, quick):
    aligned = SignalAligner(144).fit_transform(epochs)
    pieces = np.moveaxis(aligned.reshape(30, 3, 3, 48), 2, 3)  # (epochs, channels, times, pieces)
    sliding = SlidingEstimator(quick(strategy="linear-probe"), scoring="accuracy", verbose="error")
    y = labels_of(epochs)
    scores = sliding.fit(pieces[:20], y[:20]).score(pieces[20:], y[20:])
    assert scores.shape == (3,)
    assert (scores > 0.8).all()
    one_sample = SlidingEstimator(
        make_pipeline(StandardScaler(), LogisticRegression()), verbose="error"
    )
    pipe = make_pipeline(SignalAligner(16), one_sample)
    assert cross_val_predict(pipe, epochs, y, cv=2).shape == (30, 16)
