"""Words for messages, shared by all modules."""

from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline

from citrus_sk._utils.validation import did_you_mean, first_few, last_step


def test_a_long_list_of_names_is_cut_short():
    assert first_few(["Fz", "Cz"]) == "Fz, Cz"
    assert first_few(iter("abcdefg")) == "a, b, c, d, e and 2 more"
    assert first_few(["x" * 1000, 7], most=1) == "x" * 97 + "... and 1 more"
    assert first_few([]) == ""


def test_the_closest_known_name_is_suggested_whatever_its_case():
    assert did_you_mean("eegnet", ["EEGNet", "Deep4Net"]) == " Did you mean 'EEGNet'?"
    assert did_you_mean("fft", ["EEGNet", "Deep4Net"]) == ""


def test_the_last_step_is_that_of_the_pipeline_or_the_estimator_itself():
    model = DummyClassifier()
    assert last_step(make_pipeline("passthrough", model)) is last_step(model) is model
