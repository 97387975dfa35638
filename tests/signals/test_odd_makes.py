"""Small twins of recordings as devices and converters write them, unlike the standard."""

import numpy as np
import pytest
from edf_files import write_edf

from citrus_sk import read_corpus

RNG = np.random.default_rng(0)
START, N_BYTES, UNIT, LIMITS = 168, 184, 352, 360  # fields of the header of a file of one signal


def noise(n=1000):
    return RNG.integers(-900, 900, n)


def seconds(path, **settings):
    return read_corpus(path, on_error="raise", **settings).hours() * 3600


# --- EDF -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "text"),
    [
        (START, b"00.00.00"),  # no date, as anonymised files have it
        (START, b"yy.mm.dd\xff\xff.99.00"),
        (UNIT, b"\xb5V      "),  # micro in Latin-1
        (LIMITS, b"3276.7  -3276.8 "),  # negative is up
        (LIMITS + 16, b"32767   -32768  "),
        (256, "EEG Cz \N{MICRO SIGN}".encode().ljust(16)),
        (N_BYTES, b"512\0\0\0\0\0"),
    ],
)
def test_an_edf_header_of_another_make_is_read(tmp_path, offset, text):
    path = write_edf(tmp_path / "n.edf", {"EEG Cz": (noise(), 100)})
    content = bytearray(path.read_bytes())
    content[offset : offset + len(text)] = text
    path.write_bytes(content)
    assert seconds(path) == pytest.approx(10)


def test_an_edf_header_that_would_be_read_as_samples_is_refused(tmp_path):
    path = write_edf(tmp_path / "n.edf", {"EEG Cz": (noise(), 100)})
    content = bytearray(path.read_bytes())
    content[N_BYTES : N_BYTES + 8] = b"256     "
    path.write_bytes(content)
    with pytest.raises(ValueError, match="states 256 bytes for itself, and has 512"):
        read_corpus(path)


def test_records_of_one_sample_and_half_a_record_at_the_end_are_read(tmp_path):
    path = write_edf(tmp_path / "n.EDF", {"EEG Cz": (noise(), 1)}, duration=0.01)
    path.write_bytes(path.read_bytes() + b"\0")
    assert seconds(path) == pytest.approx(10)


# --- WFDB ----------------------------------------------------------------------------------------


def write_wfdb(path, header):
    path.write_bytes(header.encode())
    noise(2000).astype("<i2").tofile(path.with_name("r1.dat"))
    return path


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("r1 2 100 1000\nr1.dat 16\nr1.dat 16\n", ("channel 0", "channel 1")),
        ("r1 2 100 1000\nr1.dat 16 200 16 0 0 0 0 II\nr1.dat 16 200 16 0 0 0 0 II\n", ("II", "II")),
        (
            "# old\r\nr1 2 100 1000 12:00:00 01/01/2020\r\nr1.dat 16 200 16 0 0 0 0 II\r\n"
            "r1.dat 16 200 16 0 0 0 0 V1\r\n# age 50\r\n",
            ("II", "V1"),
        ),
    ],
)
def test_a_wfdb_header_of_another_make_is_read(tmp_path, header, names):
    corpus = read_corpus(write_wfdb(tmp_path / "r1.hea", header), modality="ECG")
    assert corpus.recordings[0].ch_names == names
    assert corpus.hours() * 3600 == pytest.approx(20)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("r1 1 100\nr1.dat 16 200 16 0 0 0 0 II\n", "states no number of samples"),
        ("r1 1 100 500\n../../etc/passwd 16 200 16 0 0 0 0 II\n", "Invalid name"),
        ("r1 1 100 500\n/etc/passwd 16 200 16 0 0 0 0 II\n", "Invalid name"),
        ("r1/2 1 100 500\n../x 250\n/etc/y 250\n", "Invalid name"),
        ("r1 1 100 999999999999\nr1.dat 16 200 16 0 0 0 0 II\n", "not loaded correctly"),
    ],
)
def test_a_wfdb_header_that_leads_elsewhere_is_refused(tmp_path, header, message):
    path = write_wfdb(tmp_path / "r1.hea", header)
    with pytest.raises(ValueError, match=rf"r1\.hea cannot be read: .*{message}"):
        read_corpus(path, modality="ECG", on_error="raise")


# --- arrays --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [">i2", ">f4", "<i4", "<u2", "<f2"])
def test_arrays_of_other_machines_and_languages_are_read(tmp_path, dtype):
    array = np.asfortranarray(np.abs(noise(2000)).reshape(2, 1000).astype(dtype))
    np.save(tmp_path / "b.npy", array)
    (recording,) = read_corpus(tmp_path / "b.npy", modality="EEG").recordings
    np.testing.assert_allclose(
        recording.data * recording.scale[:, None], array.astype(float), atol=0.03
    )
