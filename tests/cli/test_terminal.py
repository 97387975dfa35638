"""What commands print cannot control the terminal."""

import io
import sys

import numpy as np
import pytest

from citrus_sk.cli.parser import main
from citrus_sk.cli.terminal import printable_output

# Set the title, clear the screen, move up and overwrite, ring, the eight-bit form of ESC [.
HOSTILE = ["\x1b]0;title\x07", "\x1b[2J", "\x1b[1A\rfine", "a\x08b", "\x9b31mred", "\x7f"]


@pytest.mark.parametrize("text", HOSTILE)
def test_control_characters_are_written_as_escapes(text, capsys):
    with printable_output():
        print(text)  # noqa: T201
        print(text, file=sys.stderr)  # noqa: T201
    out, err = capsys.readouterr()
    assert out.rstrip("\n").isprintable()
    assert err.rstrip("\n").replace("\r", "").isprintable()  # progress bars return
    assert out.rstrip("\n") == "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def test_other_text_and_the_streams_are_left_as_they_are(capsys):
    before = sys.stdout, sys.stderr
    with printable_output():
        assert sys.stdout.isatty() is False
        assert sys.stdout.write("é\t脳波\n") == 5
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr().out == "é\t脳波\n"


def hostile_data(folder):
    rng = np.random.default_rng(0)
    y = np.tile(["rest", "\x1b[2Jfist"], 12)
    people = np.repeat([f"\x1b]0;{i}\x07" for i in range(4)], 6)
    path = folder / "\x1b[31mdata.npz"
    with path.open("wb") as file:
        X = rng.standard_normal((24, 2, 64)) * np.where(y == "rest", 1, 2)[:, None, None]
        np.savez(file, X=X, y=y, groups=people, sfreq=100.0, ch_names=["\x1b[1A", "b\x07"])
    return path


@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")  # by Matplotlib, whose fonts lack them
def test_names_in_data_are_printed_without_their_control_characters(tmp_path, capsys):
    path = hostile_data(tmp_path)
    assert main(["inspect", str(path)]) == 0
    command = ["evaluate", str(path), "--estimators", "bandpower", "--fractions", "1", "--quiet"]
    assert main([*command, "--folds", "2", "--jobs", "1", "--out", str(tmp_path / "out")]) == 0
    assert main(["inspect", str(tmp_path / "\x1b[2J.npz")]) == 1
    out, err = capsys.readouterr()
    assert "\\x1b[2Jfist" in out
    assert "\\x1b[2J.npz" in err
    for text in (out, err):
        assert all(line.isprintable() for line in text.splitlines()), text


def test_a_bar_still_returns_to_the_start_of_its_line():
    from citrus_sk._utils.optional import progress_bar

    stream, before = io.StringIO(), sys.stderr
    sys.stderr = stream
    try:
        with printable_output():
            list(progress_bar(range(3), unit="file", shown=True))
    finally:
        sys.stderr = before
    assert "\r" in stream.getvalue()
    assert "\\r" not in stream.getvalue()
