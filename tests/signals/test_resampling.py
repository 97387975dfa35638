"""The resampling operator against exact references, and beside MNE and SciPy."""

import mne
import numpy as np
import pytest
import scipy.signal
from threadpoolctl import threadpool_limits

from citrus_sk import SignalAligner
from citrus_sk.signals.resampling import operator_stages, resample

# (n_in, n_out): up, equal, down by an awkward ratio, in one and in two stages, and windows that
# are shorter than the kernel.
GRIDS = [
    (178, 1024),
    (1000, 1024),
    (64, 64),
    (1100, 1024),
    (3000, 1024),
    (5120, 1024),
    (20_000, 1024),
    (33, 32),
    (100, 5),
    (1000, 2),
    (2, 7),
]
DOWN = [(1100, 1024), (3000, 1024), (16_383, 1024), (20_000, 1024), (100_000, 1024)]
# Output samples that the kernel's reach keeps away from the ends, twice over.
MARGIN = 40


def align(x, n_out):
    return resample(np.asarray(x, np.float32), np.shape(x)[-1] / n_out, n_out)


def sinusoids(n_in, n_out, *, top=0.8, n_windows=20, seed=0):
    """Random sums of sinusoids below `top` of the new Nyquist frequency: old and exact new."""
    rng = np.random.default_rng(seed)
    frequency = rng.uniform(0, top * n_out / n_in / 2, (20, n_windows, 1))
    phase = rng.uniform(0, 2 * np.pi, (20, n_windows, 1))
    amplitude = rng.normal(size=(20, n_windows, 1))

    def at(times):
        return sum(
            a * np.sin(2 * np.pi * f * times + p)
            for a, f, p in zip(amplitude, frequency, phase, strict=True)
        )

    return at(np.arange(n_in)), at(np.arange(n_out) * n_in / n_out)


def relative_rms(values, reference, margin=0):
    inside = slice(margin, values.shape[-1] - margin)
    error = values[..., inside] - reference[..., inside]
    return np.sqrt(np.mean(error**2) / np.mean(reference**2))


@pytest.mark.parametrize(("n_in", "n_out"), GRIDS)
@pytest.mark.parametrize("value", [0.0, 0.1, -1e12, 3e-12])
def test_a_constant_stays_exactly_constant(n_in, n_out, value):
    rows = np.array([[value], [1.0]], np.float32)
    values = align(np.repeat(rows, n_in, axis=1), n_out)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.repeat(rows, n_out, axis=1))


@pytest.mark.parametrize(("n_in", "n_out"), [grid for grid in GRIDS if grid[0] >= grid[1]])
def test_a_trend_goes_on_to_the_very_ends(n_in, n_out):
    trend = np.linspace(-1, 1, n_in)
    expected = np.interp(np.arange(n_out) * n_in / n_out, np.arange(n_in), trend)
    np.testing.assert_allclose(align(trend[None], n_out)[0], expected, atol=1e-5)


@pytest.mark.parametrize(("n_in", "n_out"), [(178, 1024), (1000, 1024), (2, 7), (1023, 1024)])
def test_upwards_is_linear_interpolation_with_the_last_sample_held(n_in, n_out):
    x = np.random.default_rng(0).normal(size=n_in)
    expected = np.interp(np.arange(n_out) * n_in / n_out, np.arange(n_in), x)
    np.testing.assert_allclose(align(x[None], n_out)[0], expected, atol=2e-6)
    assert align(x[None], n_out)[0, -1] == pytest.approx(x[-1], rel=1e-6)


@pytest.mark.parametrize(("n_in", "n_out"), [*GRIDS, (128, 200), (15_000, 1024)])
def test_a_row_has_the_same_bits_in_any_order_and_alone_with_any_number_of_threads(n_in, n_out):
    x = np.random.default_rng(0).normal(size=(61, n_in)).astype(np.float32)
    expected = align(x, n_out)
    for n_threads in (1, 2, 3):
        with threadpool_limits(n_threads, "blas"):
            np.testing.assert_array_equal(align(x[::-1], n_out), expected[::-1])
            np.testing.assert_array_equal(align(x[17:18], n_out), expected[17:18])


def test_step_one_is_an_identical_copy():
    x = np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)
    y = align(x, 50)
    np.testing.assert_array_equal(y, x)
    assert not np.shares_memory(x, y)


@pytest.mark.parametrize(("n_in", "n_out"), DOWN)
def test_below_the_new_nyquist_frequency_signals_pass_unchanged(n_in, n_out):
    x, reference = sinusoids(n_in, n_out)
    y = align(x, n_out)
    assert relative_rms(y, reference, MARGIN) < 1e-5
    # At the ends the continuation of the signal is a guess.
    assert relative_rms(y, reference) < 1e-2


@pytest.mark.parametrize(("n_in", "n_out"), [(178, 1024), (1000, 1024), (128, 200)])
@pytest.mark.parametrize("frequency", [0.01, 0.05, 0.2])  # cycles per sample
def test_upwards_a_sinusoid_has_the_error_of_linear_interpolation(n_in, n_out, frequency):
    angle = 2 * np.pi * frequency
    phase = np.linspace(0, 3, 8)[:, None]
    times = np.arange(n_out) * n_in / n_out
    inside = times <= n_in - 1
    error = align(np.sin(angle * np.arange(n_in) + phase), n_out) - np.sin(angle * times + phase)
    bound = angle**2 / 8  # the largest error of a chord of a curve with this second derivative
    assert 0.5 * bound < np.abs(error[:, inside]).max() < bound + 1e-6


@pytest.mark.parametrize(("n_in", "n_out"), [(3000, 400), (3000, 800), (1000, 250), (1100, 256)])
def test_at_another_rate_the_centre_of_a_signal_passes_unchanged(n_in, n_out):
    aligner = SignalAligner(n_out, method="rate", sfreq=400, target_sfreq=100)
    aligner.fit(np.zeros((1, n_in)))
    alignment = aligner.alignment(n_in)
    frequency, phase = np.array([[0.01], [0.04], [0.09]]), np.array([[0.0], [1.0], [2.0]])
    y = aligner.transform(np.sin(2 * np.pi * frequency * np.arange(n_in) + phase))
    times = alignment.source_samples()
    inside = (times > 4 * MARGIN) & (times < n_in - 4 * MARGIN)
    reference = np.sin(2 * np.pi * frequency * times + phase)
    assert relative_rms(y[:, inside], reference[:, inside]) < 1e-5


@pytest.mark.parametrize(("n_in", "n_out"), DOWN[1:])
@pytest.mark.parametrize("times_nyquist", [1.2, 1.5])
def test_above_the_new_nyquist_frequency_signals_lose_100_decibels(n_in, n_out, times_nyquist):
    angle = np.pi * times_nyquist * n_out / n_in * np.arange(n_in)
    x = np.sin(angle + np.linspace(0, 3, 8)[:, None])
    y = align(x, n_out)[:, MARGIN:-MARGIN]
    assert 20 * np.log10(y.std() / x.std()) < -100


@pytest.mark.parametrize(("n_in", "n_out"), [(3000, 1024), (1100, 1024), (20_000, 1024)])
def test_more_exact_than_mne_and_scipy(n_in, n_out):
    x, reference = sinusoids(n_in, n_out)
    ours = align(x, n_out)
    others = {
        "mne fft": mne.filter.resample(x, n_out, n_in, verbose="error"),
        "mne polyphase": mne.filter.resample(x, n_out, n_in, method="polyphase", verbose="error"),
        "resample_poly": scipy.signal.resample_poly(x, n_out, n_in, axis=-1),
    }
    for name, theirs in others.items():
        assert relative_rms(ours, reference) < relative_rms(theirs, reference), name
        assert relative_rms(ours, reference, MARGIN) < relative_rms(theirs, reference, MARGIN), name


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_accuracy_does_not_depend_on_the_scale(scale):
    x, reference = sinusoids(3000, 1024)
    y = align(x * scale, 1024).astype(np.float64) / scale
    assert relative_rms(y, reference, MARGIN) < 1e-5


def test_a_large_offset_costs_no_more_than_the_rounding_of_the_input():
    x, reference = sinusoids(3000, 1024)
    y = align(x + 1e4, 1024).astype(np.float64) - 1e4
    rounding = np.abs((x + 1e4).astype(np.float32) - (x + 1e4)).max()
    assert np.abs(y - reference)[:, MARGIN:-MARGIN].max() < 2.5 * rounding


@pytest.mark.parametrize(("n_in", "step"), [(300, 0.7), (3000, 2.9), (40_000, 25.6), (3000, 1.0)])
def test_samples_left_out_in_front_change_nothing(n_in, step):
    x = np.random.default_rng(0).normal(size=(3, n_in)).astype(np.float32)
    n_all = round(n_in / step)
    part = resample(x, step, n_all - 60, first=37)
    np.testing.assert_allclose(part, resample(x, step, n_all)[:, 37:-23], atol=2e-6)


def test_any_leading_shape_and_any_memory_layout():
    x = np.random.default_rng(0).normal(size=(2, 3, 500)).astype(np.float32)
    expected = np.stack([[align(channel[None], 200)[0] for channel in window] for window in x])
    np.testing.assert_allclose(align(x, 200), expected, atol=1e-6)
    np.testing.assert_allclose(align(np.asfortranarray(x), 200), expected, atol=1e-6)
    np.testing.assert_allclose(align(x[..., ::-1], 200), align(x[..., ::-1].copy(), 200), atol=1e-6)


def test_the_input_may_be_read_only_and_is_not_written():
    x = np.random.default_rng(0).normal(size=(4, 500)).astype(np.float32)
    before = x.copy()
    x.setflags(write=False)
    align(x, 100)
    align(x, 1000)
    np.testing.assert_array_equal(x, before)


def test_out_is_filled_and_returned():
    x = np.random.default_rng(0).normal(size=(4, 500)).astype(np.float32)
    out = np.full((4, 100), np.nan, np.float32)
    assert resample(x, 5.0, 100, out=out) is out
    np.testing.assert_array_equal(out, resample(x, 5.0, 100))


def test_the_noise_of_a_window_shorter_than_the_kernel_is_not_amplified():
    noise = np.random.default_rng(0).normal(size=(2000, 40))
    for n_out in (2, 5, 16, 39):
        assert align(noise, n_out).std(axis=0).max() < 1.1


@pytest.mark.parametrize("n_in", [3000, 100_000, 1_000_000, 999_983])
def test_the_operator_stays_small_however_long_the_window(n_in):
    stages = operator_stages(n_in, 1024, n_in / 1024, 0)
    blocks = {id(w): w.nbytes for operator, _ in stages for _, _, w in operator}
    assert sum(blocks.values()) < 16 * 2**20
