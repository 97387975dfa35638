"""Files of earlier versions give the outputs of then; those of later versions are refused."""

import json
import lzma
import re
from pathlib import Path

import joblib
import numpy as np
import pytest
from fixtures.make_fixtures import FOLDER, of_checkpoint, of_run, outputs
from numpy.testing import assert_allclose
from sklearn.exceptions import InconsistentVersionWarning

import citrus_sk
from citrus_sk.evaluation import FractionCurve, NewPersonCurve
from citrus_sk.evaluation.run_directory import RunDirectory

FOLDERS = sorted(path for path in FOLDER.glob("v*") if path.is_dir())
CURVES = {"curve": FractionCurve, "new_person": NewPersonCurve}


@pytest.fixture(params=FOLDERS, ids=lambda path: path.name)
def stored(request):
    return request.param


def expected(stored, name):
    with np.load(stored / "expected.npz") as file:
        return file[name]


def assert_near(made, wanted):
    assert_allclose(made, wanted, rtol=1e-4, atol=1e-4)


# Of a part of scikit-learn in the pickle, where another version of it is installed.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_stored_estimators_predict_what_they_predicted(stored):
    assert issubclass(InconsistentVersionWarning, UserWarning)  # the name in the mark exists
    for name, made in outputs({p.stem: joblib.load(p) for p in stored.glob("*.joblib")}).items():
        assert_near(made, expected(stored, name))


def test_a_stored_checkpoint_gives_the_features_of_then(stored):
    assert_near(of_checkpoint(stored / "checkpoint.safetensors"), expected(stored, "checkpoint"))


def test_a_stored_run_goes_on_with_the_losses_of_then(stored, tmp_path):
    state = tmp_path / "state.run"
    state.write_bytes(lzma.decompress((stored / "state.run.xz").read_bytes()))
    assert_near(of_run(state), expected(stored, "run"))


@pytest.mark.parametrize("name", CURVES)
def test_stored_tables_are_read_and_written_alike(stored, name, tmp_path):
    curve = CURVES[name].read_json(stored / f"{name}.json")
    curve.to_json(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads(
        (stored / f"{name}.json").read_text()
    )
    curve.to_csv(tmp_path / "a.csv", times=False)
    assert (tmp_path / "a.csv").read_text() == (stored / f"{name}.csv").read_text()


def test_the_present_version_has_a_folder_and_all_are_small():
    series = "_".join(citrus_sk.__version__.split(".")[:2])
    assert f"v{series}" in {path.name for path in FOLDERS}
    sizes = [path.stat().st_size for folder in FOLDERS for path in folder.iterdir()]
    assert sum(sizes) < 1_600_000 * len(FOLDERS)


# --- files of later versions ---------------------------------------------------------------------


@pytest.mark.parametrize("name", CURVES)
def test_a_table_of_another_format_is_refused_with_both_versions(name, tmp_path):
    whole = json.loads((FOLDERS[-1] / f"{name}.json").read_text())
    whole["format"] = "of tomorrow"
    whole["settings"]["versions"]["citrus_sk"] = "9.1.0"
    path = tmp_path / "a.json"
    path.write_text(json.dumps(whole))
    words = (
        r"a\.json' is not a curve \(of format 'of tomorrow', written by citrus_sk 9\.1\.0; "
        rf"{CURVES[name].__name__} of citrus_sk {re.escape(citrus_sk.__version__)} reads format"
    )
    with pytest.raises(ValueError, match=words):
        CURVES[name].read_json(path)


def test_a_table_of_the_other_class_is_told_by_its_format():
    path = Path(FOLDERS[-1] / "new_person.json")
    with pytest.raises(ValueError, match=r"of format 'new person 1', .*FractionCurve .*format 1"):
        FractionCurve.read_json(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", '{"format": 1, "rows": 3}'])
def test_a_table_that_is_no_table_is_a_value_error(text, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=r"a\.json' is not a curve"):
        FractionCurve.read_json(tmp_path / "a.json")


def test_an_evaluation_of_another_format_is_refused_and_kept(tmp_path):
    (tmp_path / "run.json").write_text('{"version": 2, "data": "abc"}')
    with pytest.raises(ValueError, match=r"in format 2; this version reads format 1\. Choose"):
        RunDirectory(tmp_path, "abc")
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
