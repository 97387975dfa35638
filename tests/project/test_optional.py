"""Packages that only some functions need, and the progress bar."""

import sys
from types import ModuleType

import pytest

from citrus_sk import ModuleClassifier
from citrus_sk._utils.optional import progress_bar, require


def test_what_is_installed_is_found_without_an_import(monkeypatch):
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    assert require("wave", "A plot").name == "wave"
    assert "wave" not in sys.modules


@pytest.mark.parametrize(
    ("install", "command"),
    [(None, "pip install umap"), ("umap-learn", "pip install umap-learn"),
     ("citrus-sk[demo]", 'pip install "citrus-sk[demo]"')],
)  # fmt: skip
def test_what_is_missing_is_named_with_the_command_that_installs_it(monkeypatch, install, command):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        require("umap", "The plot", install=install)
    assert str(caught.value) == (
        f"The plot needs umap, which is not installed. Install it with: {command}"
    )
    assert caught.value.name == "umap"


@pytest.mark.parametrize("kind", [OSError, RuntimeError])
def test_a_torchaudio_that_does_not_fit_torch_is_explained(monkeypatch, watch, kind):
    class Broken(ModuleType):
        def __getattr__(self, name):
            raise kind("Could not load this library\nat some place")

    monkeypatch.setitem(sys.modules, "braindecode", Broken("braindecode"))
    message = r"torchaudio does not fit torch \(Could not load this library\).*--index-url"
    with pytest.raises(ImportError, match=message):
        ModuleClassifier("EEGNet").fit(watch.X, watch.y)


def test_a_bar_that_is_not_shown_prints_nothing(capsys):
    for shown in (False, True):
        assert list(progress_bar(range(3), unit="file", shown=shown)) == [0, 1, 2]
        with progress_bar(total=5, initial=3, shown=shown) as bar:
            bar.update(2)
        printed = capsys.readouterr().err
        assert ("3/3" in printed and "5/5" in printed) == shown
