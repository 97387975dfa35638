"""The command line, run as a user runs it."""

import itertools
import subprocess
import sys

import joblib
import numpy as np
import pytest

import citrus_sk
from citrus_sk.cli import demo as _demo
from citrus_sk.cli import parser as cli
from citrus_sk.cli.parser import main
from citrus_sk.datasets import load_watch


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "citrus_sk", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=1500,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Run the true demo once, with the fewest folds that it offers."""
    folder = tmp_path_factory.mktemp("demo")
    done = run("demo", "--folds", "2", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_demo_prints_a_row_for_each_fraction_and_for_chance(demo):
    lines = demo[1].stdout.splitlines()
    header = next(i for i, line in enumerate(lines) if "train fraction" in line)
    rows = [line.split() for line in lines[header + 1 : header + 8]]
    assert [row[0] for row in rows] == ["2%", "2%", "5%", "5%", "10%", "10%", "chance"]
    n_windows = [int(row[1]) for row in rows[:6]]
    assert n_windows == sorted(n_windows)
    assert [row[2] for row in rows[:6]] == ["pre-trained", "from"] * 3
    assert rows[6][1:] == ["0.14", "0.14"]


def test_demo_beats_chance_by_far_with_a_tenth_of_the_labels(demo):
    rows = [line.split() for line in demo[1].stdout.splitlines() if line.split()[:1] == ["10%"]]
    assert len(rows) == 2
    for *_, accuracy, _, _, macro_f1, _, _ in rows:
        assert float(accuracy) > 0.5
        assert float(macro_f1) > 0.5


def test_demo_shows_progress_on_stderr_alone(demo):
    assert "22/22" in demo[1].stderr
    assert "22/22" not in demo[1].stdout


def test_demo_writes_a_figure_and_a_model_into_its_folder(demo):
    written = demo[0] / "citrus-demo"
    assert {path.name for path in written.iterdir()} == {"learning_curve.png", "watch.joblib"}
    assert (written / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


def test_demo_model_loads_and_recognises_exercises_of_a_new_person(demo):
    model = joblib.load(demo[0] / "citrus-demo" / "watch.joblib")
    watch = load_watch()
    new = watch.groups == _demo.NEW_PERSON
    assert model.score(watch.X[new], watch.y[new]) > 0.5


def test_demo_leaves_out_each_person_and_adapts_to_them(demo):
    lines = demo[1].stdout.splitlines()
    head = next(i for i, line in enumerate(lines) if line.split()[:1] == ["person"])
    rows = [line.split() for line in lines[head + 1 : head + 12]]
    assert [row[0] for row in rows] == [*map(str, range(1, 11)), "mean"]
    accuracies = np.array([row[1:] for row in rows], float)
    np.testing.assert_allclose(accuracies[:10].mean(axis=0), accuracies[10], atol=0.011)
    assert accuracies[:10].min() > 0.5
    unknown, adapted, calibrated = accuracies[10]
    assert unknown < adapted < calibrated


def test_windows_of_a_person_that_the_demo_uses_do_not_overlap():
    watch = load_watch()
    train, few, rest = _demo._split_off_person(watch, "3", 0)
    assert "3" not in watch.groups[train]
    assert set(watch.groups[few]) | set(watch.groups[rest]) == {"3"}
    assert np.unique(watch.y[few], return_counts=True)[1].tolist() == [2] * 7
    assert len(np.unique(watch.recordings[few])) == 14
    used = np.sort(np.concatenate([few, rest]))
    for one, other in itertools.pairwise(used):
        if watch.recordings[one] == watch.recordings[other]:
            assert other - one == 2
            assert not np.array_equal(watch.X[one, :, 128:], watch.X[other, :, :128])


def test_demo_ends_with_code_that_runs(demo):
    folder, done = demo
    _, _, code = done.stdout.partition("Load and use the model:\n")
    lines = [line.strip() for line in code.splitlines() if line.strip()]
    assert len(lines) == 4
    used = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=folder, capture_output=True, text=True
    )
    assert used.returncode == 0, used.stderr
    assert any(exercise in used.stdout for exercise in np.unique(load_watch().y))


def test_models_says_what_ships_and_what_it_was_trained_on(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = dict(line.split(" ", 1) for line in lines[1 : lines.index("")])
    assert list(table) == citrus_sk.list_pretrained()
    assert "small" in table["eeg-freq"]
    assert "EEG" in table["eeg-freq"]
    assert "ECG" not in table["eeg-freq"]
    assert "ECG" in table["multi-time"]


def test_models_says_that_nothing_ships(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("citrus_sk.checkpoints.registry.SHIPPED", tmp_path)
    assert main(["models"]) == 0
    assert "No pre-trained checkpoint" in capsys.readouterr().out


def test_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"citrus-sk {citrus_sk.__version__}\n"


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert "demo" in printed
    assert "models" in printed


@pytest.mark.parametrize("command", ["demo", "fit", "inspect", "models", "predict"])
def test_every_command_explains_itself(capsys, command):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"usage: citrus-sk {command}" in capsys.readouterr().out


def test_command_line_imports_no_plotting_and_no_demo():
    code = "import sys; from citrus_sk.cli.parser import _parser; _parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert not imported & {
        "matplotlib",
        "seglearn",
        "braindecode",
        "mne",
        "numpy",
        "sklearn",
        "torch",
        "citrus_sk.cli.demo",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["dance"], "invalid choice: 'dance'"),
        (["demo", "--folds", "1"], "1 is not between 2 and 10"),
        (["demo", "--folds", "many"], "invalid integer value: 'many'"),
        (["demo", "--seed", "-1"], "-1 is not between 0 and"),
    ],
)
def test_wrong_arguments_exit_with_2_and_say_why(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def one_line(text):
    return text.count("\n") == 1 and "Traceback" not in text


def test_folder_that_cannot_be_written_is_one_line_before_any_training(tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = run("demo", "--out", "file/demo", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert one_line(done.stderr)
    assert "citrus-sk demo: error: cannot write into the folder" in done.stderr


@pytest.mark.parametrize("package", ["seglearn", "matplotlib"])
def test_missing_extra_is_one_line_with_the_command_that_helps(
    tmp_path, capsys, monkeypatch, package
):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["demo", "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert one_line(printed.err)
    assert package in printed.err
    assert 'pip install "citrus-sk[demo]"' in printed.err
    assert not (tmp_path / "out").exists()


def test_control_c_exits_with_130_without_a_traceback(tmp_path, capsys, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(_demo, "run_demo", interrupt)
    assert main(["demo", "--out", str(tmp_path)]) == cli.INTERRUPTED == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_number_of_a_process_alone_does_not_keep_pretrain_from_writing(tmp_path, monkeypatch):
    for name in ("WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RANK", "1")  # as a cluster sets it for each of several single jobs
    values = np.random.default_rng(0).integers(-900, 900, (1, 2000)).astype(np.int16)
    np.save(tmp_path / "p1.npy", values)
    out = tmp_path / "w.safetensors"
    command = ["pretrain", str(tmp_path / "p1.npy"), "--modality", "EEG", "--out", str(out)]
    assert main([*command, "--preset", "tiny", "--max-steps", "1", "--quiet"]) == 0
    assert out.exists()
