"""Tables of labels as spreadsheets, other systems and BIDS write them."""

import unicodedata

import numpy as np
import pytest
from edf_files import write_edf

from citrus_sk._labelled_files import read_label_table, read_labelled
from citrus_sk.cli import main

HEAD = "file,onset,duration,label,group"


def noise(n=6000, seed=0):
    return np.random.default_rng(seed).integers(-900, 900, n)


def rows(file, n=8, group=True):
    return [f"{file},{2 * i},2,{'ab'[i % 2]},{f'p{i // 2}' if group else ''}" for i in range(n)]


def table(folder, lines, head=HEAD, encoding="utf-8"):
    path = folder / "labels.csv"
    path.write_text("\n".join([head, *lines]) + "\n", encoding=encoding)
    return path


@pytest.fixture
def folder(tmp_path):
    write_edf(tmp_path / "a.edf", {"Fp1": (noise(), 100), "Fp2": (noise(seed=1), 100)})
    return tmp_path


@pytest.mark.parametrize("text", ["n/a", "NaN", "NA", "", " "])
@pytest.mark.parametrize(("column", "place"), [("label", 3), ("onset", 1), ("duration", 2)])
def test_a_missing_value_is_refused_with_its_row(folder, text, column, place):
    lines = rows("a.edf")
    cells = lines[5].split(",")
    cells[place] = text
    lines[5] = ",".join(cells)
    with pytest.raises(ValueError, match=rf"labels\.csv, row 7: {column} is"):
        read_labelled(folder, table(folder, lines))


def test_a_class_called_none_is_a_class(folder):
    lines = [line.replace(",a,", ",none,") for line in rows("a.edf")]
    assert set(read_labelled(folder, table(folder, lines)).y) == {"none", "b"}


def test_groups_are_given_for_all_rows_or_for_none(folder):
    found = read_labelled(folder, table(folder, rows("a.edf", group=False)))
    assert set(found.groups) == {"a.edf"}
    lines = rows("a.edf", 6) + [f"a.edf,{12 + 2 * i},2,a,n/a" for i in range(2)]
    with pytest.raises(ValueError, match=r"row 8: group is missing, and other rows have one"):
        read_labelled(folder, table(folder, lines))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_of_spreadsheets_are_read(folder, encoding, delimiter):
    lines = [line.replace(",", delimiter) for line in rows("a.edf")]
    if delimiter != ",":
        lines[1] = lines[1].replace(f"{delimiter}2{delimiter}", f"{delimiter}2,5{delimiter}", 1)
    head = delimiter.join([" File", "Onset", "DURATION ", "label", "Group"])
    found, groups_from = read_label_table(table(folder, lines, head, encoding))
    assert len(found) == 8
    assert found[1]["onset"] == (2 if delimiter == "," else 2.5)
    assert found[7] == {
        "row": 9, "file": "a.edf", "onset": 14, "duration": 2, "label": "b", "group": "p3",
    }  # fmt: skip
    assert groups_from == "column 'group' of labels.csv"


def test_a_table_in_another_encoding_is_named(folder):
    path = table(folder, [line.replace(",a,", ",é,") for line in rows("a.edf")], encoding="latin-1")
    with pytest.raises(ValueError, match=r"labels\.csv cannot be read.*UTF-8; save it"):
        read_label_table(path)


@pytest.mark.parametrize("name", [r"sub\é a.edf", r".\sub\é a.edf", "sub/É A.EDF", "./sub/é a.edf"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_paths_of_other_systems_find_their_file(tmp_path, name, form):
    write_edf(tmp_path / "sub" / unicodedata.normalize("NFD", "é a.edf"), {"Fp1": (noise(), 100)})
    found = read_labelled(
        tmp_path, table(tmp_path, rows(unicodedata.normalize(form, name), group=False))
    )
    assert found.X.shape == (8, 1, 200)
    assert len(set(found.groups)) == 1


def test_one_file_by_two_spellings_is_one_group(tmp_path):
    write_edf(tmp_path / "sub" / "a.edf", {"Fp1": (noise(), 100)})
    lines = rows("sub/a.edf", 4, group=False) + rows(r"sub\a.edf", 4, group=False)
    assert set(read_labelled(tmp_path, table(tmp_path, lines)).groups) == {"sub/a.edf"}


def night(folder):
    signals = {
        "EEG Fpz-Cz": (noise(), 100), "EOG horizontal": (noise(seed=2), 100),
        "Resp oro-nasal": (noise(60), 1),
    }  # fmt: skip
    write_edf(folder / "night.edf", signals)
    return table(folder, rows("night.edf"))


@pytest.mark.parametrize(
    ("picks", "names"),
    [
        (["EEG"], ["EEG Fpz-Cz"]),
        (["eog", "eeg"], ["EOG horizontal", "EEG Fpz-Cz"]),
        (["EOG horizontal"], ["EOG horizontal"]),
    ],
)
def test_channels_are_chosen_by_kind_or_name(tmp_path, picks, names):
    labels = night(tmp_path)
    with pytest.raises(ValueError, match=r"unequal sampling rates.*--picks"):
        read_labelled(tmp_path, labels)
    assert sorted(read_labelled(tmp_path, labels, picks=picks).ch_names) == sorted(names)


def test_a_pick_that_is_not_there_is_named_with_what_is(tmp_path):
    with pytest.raises(ValueError, match=r"'EMG'; it has EEG Fpz-Cz \(EEG\), EOG hor.*RESP"):
        read_labelled(tmp_path, night(tmp_path), picks=["EMG"])


def command(folder, labels, *more):
    return main(
        ["evaluate", str(folder), "--labels", str(labels), "--estimators", "bandpower", "--folds",
         "2", "--fractions", "1", "--jobs", "1", "--quiet", "--out", str(folder / "out"), *more]
    )  # fmt: skip


def test_a_night_of_several_rates_is_evaluated_on_the_channels_that_are_picked(tmp_path, capsys):
    assert command(tmp_path, night(tmp_path), "--picks", "EEG,EOG horizontal") == 0
    assert "2 channels" in capsys.readouterr().out


def test_too_few_groups_are_answered_with_the_column_that_decides(folder, capsys):
    assert command(folder, table(folder, rows("a.edf", group=False))) != 0
    message = capsys.readouterr().err
    assert "1 group(s) for 2 folds" in message
    assert "The groups are the files, as no row has a group" in message
    assert "a column 'group'" in message
    assert "--folds 1" not in message


@pytest.mark.parametrize("name", ["y", "groups"])
def test_missing_values_in_an_archive_are_refused(tmp_path, name, capsys):
    content = {
        "X": np.random.default_rng(0).standard_normal((12, 1, 64)),
        "y": np.tile(["a", "b"], 6),
        "groups": np.repeat(["p", "q", "r"], 4),
    }
    content[name][5] = "n"
    content[name] = np.where(content[name] == "n", "NaN", content[name])
    np.savez(tmp_path / "set.npz", **content)
    status = main(
        ["evaluate", str(tmp_path / "set.npz"), "--estimators", "bandpower", "--folds", "2",
         "--fractions", "1", "--jobs", "1", "--quiet", "--out", str(tmp_path / "out")]
    )  # fmt: skip
    assert status != 0
    assert f"Input {name} contains NaN" in capsys.readouterr().err


def test_an_edf_file_by_the_name_of_rec_is_evaluated(tmp_path):
    write_edf(tmp_path / "a.rec", {"Fp1": (noise(), 100)})
    assert read_labelled(tmp_path, table(tmp_path, rows("a.rec"))).X.shape == (8, 1, 200)
