"""Predictions over the time of a recording: windows, channels, rates, bad stretches, events."""

import datetime as dt

import matplotlib.pyplot as plt
import mne
import numpy as np
import pytest
from edf_files import write_edf
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from citrus_sk import SignalAligner
from citrus_sk.datasets import load_watch
from citrus_sk.mne import (
    RawPrediction,
    RawPredictionDisplay,
    RecordingModel,
    labels_of,
    make_epochs,
    predict_raw,
)

SFREQ, DURATION = 50.0, 2.56
EXERCISES = ("row", "abduction", "pendulum")


def spread(aligner=None):
    """A classifier by the spread of each channel, which fits in milliseconds."""
    steps = [FunctionTransformer(np.std, kw_args={"axis": 2}), StandardScaler()]
    first = [] if aligner is None else [aligner]
    return make_pipeline(*first, *steps, LogisticRegression())


@pytest.fixture(scope="module")
def watch():
    return load_watch(window_s=DURATION, overlap=0)


@pytest.fixture(scope="module")
def raw(watch):
    """Three exercises of one person, one after the other."""
    mine = [watch.X[(watch.groups == "1") & (watch.y == name)][:15] for name in EXERCISES]
    info = mne.create_info(watch.ch_names, SFREQ, "misc")
    return mne.io.RawArray(np.concatenate(np.concatenate(mine), axis=1), info, verbose="error")


@pytest.fixture(scope="module")
def model(watch):
    chosen = np.isin(watch.y, EXERCISES) & (watch.groups != "1")
    pipe = spread(SignalAligner(128)).fit(watch.X[chosen], watch.y[chosen])
    names = tuple(watch.ch_names)
    return RecordingModel(estimator=pipe, duration=DURATION, sfreq=SFREQ, ch_names=names)


def test_exercises_of_a_new_person_are_found_where_they_are(model, raw):
    prediction = predict_raw(model, raw, overlap=1.28)
    events = prediction.to_annotations(min_duration=10)
    assert list(events.description) == list(EXERCISES)
    np.testing.assert_allclose(events.onset, [0, 38.4, 76.8], atol=2.6)
    assert (events.duration > 25).all()
    frame = prediction.to_data_frame()
    assert list(frame) == ["start", "end", "label", "p_abduction", "p_pendulum", "p_row"]
    np.testing.assert_allclose(frame.iloc[:, 3:].sum(axis=1), 1, atol=1e-6)


def test_a_stream_of_windows_gives_the_same(watch, raw, quick):
    chosen = np.isin(watch.y, EXERCISES) & (watch.groups != "1")
    pipe = make_pipeline(SignalAligner(128), quick(strategy="linear-probe"))
    pipe.fit(watch.X[chosen][::8], watch.y[chosen][::8])
    whole = predict_raw(pipe, raw.copy().crop(30, 60), duration=DURATION, overlap=1.28)
    values = raw.get_data(start=1500, stop=3001).astype(np.float32)
    onset = np.arange(0, values.shape[1] - 127, 64) / SFREQ
    parts = [pipe.predict_proba(values[None, :, round(t * SFREQ) :][..., :128]) for t in onset]
    streamed = RawPrediction(
        onset=onset, duration=DURATION, proba=np.concatenate(parts), classes=pipe.classes_
    )
    np.testing.assert_array_equal(whole.onset, streamed.onset)
    np.testing.assert_allclose(whole.proba, streamed.proba, atol=1e-6)
    assert len(whole.to_annotations()) > 1
    assert whole.to_annotations() == streamed.to_annotations()


def test_channels_are_taken_by_name(model, raw):
    other = raw.copy().reorder_channels(raw.ch_names[::-1])
    other.add_channels([raw.copy().rename_channels(lambda name: f"more {name}")])
    np.testing.assert_array_equal(predict_raw(model, other).proba, predict_raw(model, raw).proba)
    with pytest.raises(ValueError, match=r"the recording has no channel 'wz', which the model"):
        predict_raw(model, raw.copy().drop_channels("wz"))
    other.info["bads"] = ["ay"]
    with pytest.raises(ValueError, match="marks ay as bad, and the model was trained on it"):
        predict_raw(model, other)


def test_a_model_without_names_needs_as_many_channels(model, raw):
    nameless = RecordingModel(estimator=model.estimator, duration=DURATION, sfreq=SFREQ)
    np.testing.assert_array_equal(predict_raw(nameless, raw).proba, predict_raw(model, raw).proba)
    with pytest.raises(ValueError, match=r"has 2 channel\(s\) .* trained on 6.*picks"):
        predict_raw(nameless, raw, picks=["ax", "ay"])


def test_another_rate_keeps_the_time_scale(model, raw):
    expected = predict_raw(model, raw)
    for sfreq in (35.1, 80):  # a window has no whole number of samples
        faster = raw.copy().resample(sfreq, verbose="error")
        found = predict_raw(model, faster)
        np.testing.assert_array_equal(found.onset, expected.onset)
        np.testing.assert_allclose(found.proba, expected.proba, atol=0.1)
        assert np.isfinite(found.on_axis()[1]).all()
    bare = spread().fit(raw.get_data()[None, :, :128].repeat(2, 0), [0, 1])
    bare = RecordingModel(estimator=bare, duration=DURATION, sfreq=SFREQ)
    with pytest.raises(ValueError, match=r"at 80 Hz, and .* at 50 Hz.*SignalAligner\(\)"):
        predict_raw(bare, faster)


def test_a_model_fitted_on_epochs_knows_its_windows(raw, quick):
    starts = np.arange(40) * 128
    events = np.column_stack([starts, 0 * starts, 1 + np.arange(40) % 2])
    epochs = make_epochs(raw, events, {"a": 1, "b": 2}, duration=DURATION)
    clf = make_pipeline(SignalAligner(64, method="rate"), quick(strategy="linear-probe"))
    prediction = predict_raw(
        clf.fit(epochs, labels_of(epochs)), raw.copy().reorder_channels(raw.ch_names[::-1])
    )
    np.testing.assert_allclose(prediction.proba[:40], clf.predict_proba(epochs), atol=1e-6)
    assert prediction.duration == DURATION


def test_bad_and_missing_stretches_are_left_out(model, raw):
    marked = raw.copy()
    marked.set_annotations(mne.Annotations([20, 50], [5, 0], ["BAD_off", "note"]))
    onset = predict_raw(model, marked).onset
    assert not ((onset > 20 - DURATION) & (onset < 25)).any()
    assert len(onset) == len(predict_raw(model, raw).onset) - 3
    edges, proba = predict_raw(model, marked).on_axis()
    assert np.isnan(proba[np.searchsorted(edges, 22) - 1]).all()
    kept = predict_raw(model, marked, reject_by_annotation=False)
    assert len(kept.onset) == len(predict_raw(model, raw).onset)
    values = raw.get_data()
    values[2, :640] = np.nan
    torn = mne.io.RawArray(values, raw.info, verbose="error")
    assert predict_raw(model, torn).onset[0] == 640 / SFREQ
    for spoilt in (marked.set_annotations(mne.Annotations(0, 115.2, "bad")),
                   mne.io.RawArray(values * np.nan, raw.info, verbose="error")):  # fmt: skip
        with pytest.raises(ValueError, match=r"no window of 2\.56 s without bad or missing"):
            predict_raw(model, spoilt)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"overlap": DURATION}, r"overlap=2\.56 is out of range"),
        ({"duration": 1000}, r"lasts 115\.2 s, which is less than a window of 1000 s"),
        ({"duration": 0}, "duration=0 is out of range"),
        ({"adapt": "yes"}, "Expected adapt to be True or False"),
        ({"picks": ["nothing"]}, "picks has 'nothing'"),
    ],
)
def test_bad_parameters_are_named(model, raw, settings, match):
    with pytest.raises((ValueError, TypeError), match=match):
        predict_raw(model, raw, **settings)


def test_what_is_no_model_or_no_recording_is_named(model, raw):
    with pytest.raises(TypeError, match="model is a StandardScaler; expected a RecordingModel"):
        predict_raw(StandardScaler(), raw)
    with pytest.raises(TypeError, match=r"raw is a ndarray; expected an mne\.io\.Raw"):
        predict_raw(model, raw.get_data())
    clf = spread().fit(raw.get_data()[None, :, :128].repeat(2, 0), [0, 1])
    with pytest.raises(ValueError, match="duration is None, but the length"):
        predict_raw(clf, raw)


def test_adapting_predicts_the_windows_as_those_of_one_person(watch, raw, quick):
    chosen = np.flatnonzero(np.isin(watch.y, EXERCISES) & (watch.groups != "1"))[::6]
    pipe = make_pipeline(SignalAligner(128), quick(strategy="linear-probe", adaptation="recenter"))
    X, y, people = watch.X[chosen], watch.y[chosen], watch.groups[chosen]
    pipe.fit(X, y, citrusclassifier__groups=people)
    found = predict_raw(pipe, raw, duration=DURATION, adapt=True)
    windows = raw.get_data().reshape(6, -1, 128).swapaxes(0, 1).astype(np.float32)
    expected = pipe.predict_proba(windows, groups=np.zeros(len(windows)))
    np.testing.assert_allclose(found.proba, expected, atol=1e-6)
    assert abs(found.proba - pipe.predict_proba(windows)).max() > 0.01


def test_slower_signals_of_an_edf_file_are_refused(tmp_path, raw):
    values = {"a": (np.arange(600) % 90, 100), "b": (np.arange(6), 1)}
    edf = mne.io.read_raw_edf(write_edf(tmp_path / "a.edf", values), verbose="error")
    clf = spread().fit(np.random.default_rng(0).standard_normal((4, 2, 100)), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="unequal sampling rates"):
        predict_raw(clf, edf, duration=1)


# --- events --------------------------------------------------------------------------------------


def one_class(values, onset=None, duration=1.0, **fields):
    p = np.array(values, float)
    onset = np.arange(len(p), dtype=float) if onset is None else np.array(onset, float)
    return RawPrediction(
        onset=onset, duration=duration, proba=np.column_stack([p, 1 - p]),
        classes=np.array(["on", "off"]), **fields,
    )  # fmt: skip


def spans(prediction, **settings):
    events = prediction.to_annotations(classes=["on"], **settings)
    return [(each["onset"], each["duration"]) for each in events]


def test_an_event_begins_at_the_high_threshold_and_ends_below_the_low_one():
    prediction = one_class([0.4, 0.55, 0.7, 0.5, 0.6, 0.49, 0.59, 0.2, 0.9])
    assert spans(prediction, high=0.6, low=0.5) == [(2.0, 3.0), (8.0, 1.0)]
    assert spans(prediction, high=0.5, low=0.5) == [(1.0, 4.0), (6.0, 1.0), (8.0, 1.0)]
    assert spans(prediction, high=0.6, low=0.5, min_duration=3) == [(2.0, 3.0)]
    assert spans(prediction, high=1.0, low=0.9) == []
    assert spans(one_class([])) == []


def test_an_event_ends_where_no_window_is():
    assert spans(one_class([0.9, 0.9, 0.9], onset=[0, 1, 5])) == [(0.0, 2.0), (5.0, 1.0)]


def test_overlapping_windows_are_averaged():
    edges, proba = one_class([1.0, 0.4, 0.1], onset=[0, 0.5, 1.0]).on_axis()
    np.testing.assert_allclose(edges, [0, 0.5, 1, 1.5, 2])
    np.testing.assert_allclose(proba[:, 0], [1.0, 0.7, 0.25, 0.1])


def test_windows_that_touch_leave_no_gap_at_any_rate():
    for sfreq in (3200.0, 30000.0, 44100.0):
        n_times, n = 7, 2000
        onset = np.arange(n) * n_times / sfreq
        edges, proba = one_class(np.ones(n), onset=onset, duration=n_times / sfreq).on_axis()
        assert len(edges) == n + 1
        assert np.isfinite(proba).all()


@pytest.mark.parametrize("date", [None, dt.datetime(2020, 1, 2, tzinfo=dt.UTC)])
def test_events_lie_where_they_are_in_a_recording_that_begins_later(model, raw, date):
    late = raw.copy().set_meas_date(date).crop(38.4, 80)
    late.set_annotations(predict_raw(model, late).to_annotations(min_duration=20))
    (event,) = late.annotations
    assert event["description"] == "abduction"
    assert event["onset"] - late.first_time == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"high": 1.2}, r"high=1\.2 is out of range"),
        (
            {"low": 0.7},
            r"low=0\.7 is out of range; expected a number of 0 or more and at most 0\.6",
        ),
        ({"min_duration": -1}, "min_duration=-1 is out of range"),
        ({"classes": ["up"]}, "classes holds 'up'; expected classes among on, off"),
        ({"classes": "on"}, "classes='on' is a string"),
    ],
)
def test_bad_thresholds_are_named(settings, match):
    with pytest.raises((ValueError, TypeError), match=match):
        one_class([0.5]).to_annotations(**settings)


def test_a_table_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"proba has shape \(2, 1\); expected \(2, 2\)"):
        RawPrediction(onset=[0, 1], duration=1, proba=np.ones((2, 1)), classes=np.array([0, 1]))


# --- display -------------------------------------------------------------------------------------


def test_the_display_draws_signals_events_and_probabilities(model, raw):
    display = RawPredictionDisplay.from_estimator(model, raw, min_duration=10)
    upper, lower = display.axes_
    assert len(upper.lines) == 6
    assert [text.get_text() for text in upper.get_legend().get_texts()] == sorted(EXERCISES)
    assert lower.get_xlim() == pytest.approx((0, 115.2), abs=0.2)
    again = display.plot(ax=display.axes_)
    assert again.figure_ is display.figure_
    part = RawPredictionDisplay.from_prediction(
        display.prediction, raw, picks=["ax"], tmin=10, tmax=20, ax=plt.figure().add_subplot()
    )
    assert part.signals.shape == (1, 500)
    plt.close("all")
