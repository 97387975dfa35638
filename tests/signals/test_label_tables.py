"""Tables of labels as spreadsheets, other systems and BIDS write them."""

import unicodedata

import numpy as np
import pytest
from edf_files import EDF_GAIN, write_edf

from citrus_sk.cli.parser import main
from citrus_sk.signals.recordings.label_tables import read_label_table, read_people
from citrus_sk.signals.recordings.labelled import read_labelled

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
    problem = r"('\w+(/a)?', a missing value|empty)\. Fill it in"
    with pytest.raises(ValueError, match=rf"labels\.csv, row 7: {column} is {problem}"):
        read_labelled(folder, table(folder, lines))


def test_a_class_called_none_is_a_class(folder):
    lines = [line.replace(",a,", ",none,") for line in rows("a.edf")]
    assert set(read_labelled(folder, table(folder, lines)).y) == {"none", "b"}


def test_groups_are_given_for_all_rows_or_for_none(folder):
    found = read_labelled(folder, table(folder, rows("a.edf", group=False)))
    assert set(found.groups) == {"a.edf"}
    lines = rows("a.edf", 6) + [f"a.edf,{12 + 2 * i},2,a,n/a" for i in range(2)]
    with pytest.raises(
        ValueError, match=r"row 8: group is missing \(and in 1 more rows\), and other"
    ):
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
    with pytest.raises(ValueError, match=r"labels\.csv cannot be read: row 2 is not UTF-8.*Save"):
        read_label_table(path)
    path.write_text("file,onset", encoding="utf-16-le")
    with pytest.raises(ValueError, match=r"labels\.csv cannot be read: it holds null characters"):
        read_label_table(path)


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_lines_may_end_as_other_systems_end_them(folder, end):
    lines = ["sep=;", *(line.replace(",", ";") for line in [HEAD, *rows("a.edf")])]
    path = folder / "labels.csv"
    path.write_bytes(end.join(lines).encode())
    assert [row["row"] for row in read_label_table(path)[0]] == [*range(3, 11)]


@pytest.mark.parametrize(
    ("text", "delimiter", "onset"),
    [
        ("1,5", ";", 1.5),
        ("1,5", "\t", 1.5),
        ('"1,5"', ",", 1.5),
        ("1,500", ";", 1.5),
        ("0,250", "\t", 0.25),
    ],
)
def test_the_comma_of_a_number_is_a_decimal_one(folder, text, delimiter, onset):
    cells = delimiter.join(["a.edf", text, "2", "a", "p"])
    path = table(folder, [cells], HEAD.replace(",", delimiter))
    assert read_label_table(path)[0][0]["onset"] == onset


@pytest.mark.parametrize(
    ("text", "delimiter", "message"),
    [
        ('"1,500"', ",", r"row 2: onset is '1,500', which could be 1\.500 or 1500"),
        ("1,500", "\t", r"row 2: onset is '1,500', which could be 1\.500 or 1500"),
        ("1.500,5", ";", r"row 2: onset is '1\.500,5'; expected a number of seconds"),
        ("00:01:30", ",", r"row 2: onset is '00:01:30'; expected a number of seconds"),
        # A decimal comma that is not in quotes moves all values to the right by one column.
        ("1,5", ",", r"row 2 has 6 values, and there are 5 columns.*',' in"),
    ],
)
def test_numbers_that_could_be_others_are_refused(folder, text, delimiter, message):
    cells = delimiter.join(["a.edf", text, "2", "a", "p"])
    with pytest.raises(ValueError, match=message):
        read_label_table(table(folder, [cells], HEAD.replace(",", delimiter)))


@pytest.mark.parametrize(("onset", "duration"), [("-0.1", "2"), ("0", "0"), ("0", "-2")])
def test_a_window_without_a_duration_or_before_the_recording_is_refused(folder, onset, duration):
    with pytest.raises(ValueError, match=r"row 2: onset .* s; expected an onset of 0 or more and"):
        read_label_table(table(folder, [f"a.edf,{onset},{duration},a,p"]))


def test_a_column_that_is_there_twice_is_refused(folder):
    path = table(folder, ["a.edf,0,2,a,b"], "file,onset,duration,label,Label")
    with pytest.raises(ValueError, match=r"labels\.csv has the column 'label' more than once"):
        read_label_table(path)


def test_all_missing_values_are_counted(folder):
    lines = rows("a.edf", 6) + [f"a.edf,{12 + 2 * i},2,n/a,p9" for i in range(3)]
    with pytest.raises(ValueError, match=r"row 8: label is 'n/a'.* \(and in 2 more rows\)"):
        read_label_table(table(folder, lines))


def test_a_person_written_with_composed_and_decomposed_accents_is_one(folder):
    lines = [line.replace("p1", "Zo\u00eb").replace("p2", "Zoe\u0308") for line in rows("a.edf")]
    found = read_labelled(folder, table(folder, lines))
    assert set(found.groups) == {"p0", "Zo\u00eb", "p3"}


@pytest.mark.parametrize("name", [r"sub\é a.edf", r".\sub\é a.edf", "sub/É A.EDF", "./sub/é a.edf"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_paths_of_other_systems_find_their_file(tmp_path, name, form):
    write_edf(tmp_path / "sub" / unicodedata.normalize("NFD", "é a.edf"), {"Fp1": (noise(), 100)})
    found = read_labelled(
        tmp_path, table(tmp_path, rows(unicodedata.normalize(form, name), group=False))
    )
    assert found.X.shape == (8, 1, 200)
    assert len(set(found.groups)) == 1


@pytest.mark.parametrize("name", ["a" * 5000 + ".edf", "a" * 300 + "/b.edf", "/" * 5000])
def test_a_name_that_no_file_can_have_is_named_with_its_row(tmp_path, name):
    with pytest.raises(ValueError, match=r"labels\.csv, row 2 names the file"):
        read_labelled(tmp_path, table(tmp_path, rows(name, group=False)))


def test_one_file_by_two_spellings_is_one_group(tmp_path):
    write_edf(tmp_path / "sub" / "a.edf", {"Fp1": (noise(), 100)})
    names = ["sub/a.edf", r"sub\a.edf", "sub/../sub/a.edf", str(tmp_path / "sub" / "a.edf")]
    lines = [line for name in names for line in rows(name, 4, group=False)]
    assert set(read_labelled(tmp_path, table(tmp_path, lines)).groups) == {"sub/a.edf"}


def test_a_recording_of_two_people_is_refused_by_whatever_spelling(folder):
    path = table(folder, ["a.edf,Ann", "./A.EDF,Ann"], "file,group")
    assert read_people(path, folder, ["a.edf"]) == {"a.edf": "Ann"}
    path = table(folder, ["a.edf,Ann", "./A.EDF,Bob"], "file,group")
    with pytest.raises(ValueError, match=r"row 3: '\./A\.EDF' has two groups, 'Ann' and 'Bob'"):
        read_people(path, folder, ["a.edf"])


def night(folder):
    signals = {
        "EEG Fpz-Cz": (noise(), 100), "EOG horizontal": (noise(seed=2), 100),
        **{name: (noise(60), 1) for name in ("Resp oro-nasal", "Temp rectal", "Event marker")},
    }  # fmt: skip
    write_edf(folder / "night.edf", signals)
    return table(folder, rows("night.edf"))


@pytest.mark.parametrize(
    ("picks", "names"),
    [
        (["EEG"], ["EEG Fpz-Cz"]),
        (["eog", "eeg"], ["EOG horizontal", "EEG Fpz-Cz"]),
        (["EOG horizontal"], ["EOG horizontal"]),
        (["fpz-cz"], ["EEG Fpz-Cz"]),
    ],
)
def test_channels_are_chosen_by_kind_or_name(tmp_path, picks, names):
    labels = night(tmp_path)
    with pytest.raises(ValueError, match=r"unequal sampling rates.*--picks"):
        read_labelled(tmp_path, labels)
    assert sorted(read_labelled(tmp_path, labels, picks=picks).ch_names) == sorted(names)


@pytest.mark.parametrize("name", ["night.edf", "night.rec"])
def test_channels_that_are_slower_than_others_are_read_at_their_own_rate(tmp_path, name):
    breath = noise(600, seed=3)
    write_edf(tmp_path / name, {"EEG Fpz-Cz": (noise(), 100), "Resp oro-nasal": (breath, 10)})
    found = read_labelled(tmp_path, table(tmp_path, rows(name)), picks=["RESP"])
    assert found.sfreq == 10
    assert found.X.shape == (8, 1, 20)
    np.testing.assert_allclose(found.X[1, 0] * 1e6, breath[20:40] * EDF_GAIN, atol=0.06)


def test_a_pick_that_is_not_there_is_named_with_what_is(tmp_path):
    with pytest.raises(
        ValueError, match=r"--picks has 'EMG'.*of night\.edf\. It has EEG Fpz-Cz \(EEG\), EOG.*RESP"
    ):
        read_labelled(tmp_path, night(tmp_path), picks=["EMG"])


def command(folder, labels, *more):
    return main(
        ["evaluate", str(folder), "--labels", str(labels), "--estimators", "bandpower", "--folds",
         "2", "--fractions", "1", "--jobs", "1", "--quiet", "--out", str(folder / "out"), *more]
    )  # fmt: skip


def test_a_night_of_several_rates_is_evaluated_on_the_channels_that_are_picked(tmp_path, capsys):
    assert command(tmp_path, night(tmp_path), "--picks", "EEG,EOG horizontal") == 0
    assert "2 channels (EEG Fpz-Cz, EOG horizontal)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--picks", " , "], "--picks: ' , ' is not a list such as EEG,EOG"),
        (["--folds", "1"], "--folds: 1 is not between 2 and 1000"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_read(tmp_path, arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", str(tmp_path), *arguments])
    assert message in capsys.readouterr().err


def test_picks_and_labels_are_refused_where_they_would_change_nothing(tmp_path, capsys):
    for option in ("--picks", "--labels"):
        more = ["--dataset", "watch", "--out", str(tmp_path / "out")]
        assert main(["evaluate", option, "EEG", *more]) == 1
        assert f"{option} is for a folder of recordings" in capsys.readouterr().err


def test_recordings_with_channels_in_another_order_are_read_in_one_order(tmp_path):
    first, second = noise(seed=1), noise(seed=2)
    write_edf(tmp_path / "a.edf", {"Fp1": (first, 100), "Fp2": (second, 100)})
    write_edf(tmp_path / "b.edf", {"Fp2": (second, 100), "Fp1": (first, 100)})
    found = read_labelled(tmp_path, table(tmp_path, rows("a.edf") + rows("b.edf")))
    np.testing.assert_array_equal(found.X[:8], found.X[8:])


def test_recordings_that_differ_are_answered_with_the_channels_that_they_share(tmp_path):
    write_edf(
        tmp_path / "a.edf", {"Fp1": (noise(), 100), "Fp2": (noise(), 100), "Cz": (noise(), 100)}
    )
    write_edf(tmp_path / "b.edf", {"Cz": (noise(), 100), "Fp1": (noise(), 100)})
    labels = table(tmp_path, rows("a.edf") + rows("b.edf"))
    with pytest.raises(ValueError, match=r"b\.edf has the channels Cz, Fp1, and.*--picks 'Fp1,Cz'"):
        read_labelled(tmp_path, labels)
    assert read_labelled(tmp_path, labels, picks=["Fp1", "Cz"]).X.shape == (16, 2, 200)
    write_edf(tmp_path / "b.edf", {"Cz": (noise(), 200), "Fp1": (noise(), 200)})
    with pytest.raises(ValueError, match=r"b\.edf has 200 Hz, and a\.edf has 100 Hz.*Resample"):
        read_labelled(tmp_path, labels, picks=["Fp1", "Cz"])


def test_too_few_groups_are_answered_with_the_column_that_decides(folder, capsys):
    assert command(folder, table(folder, rows("a.edf", group=False))) != 0
    message = capsys.readouterr().err
    assert "1 group(s) for 2 folds; expected at least one group for each fold" in message
    assert "The groups are the files, because no row has a group" in message
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
