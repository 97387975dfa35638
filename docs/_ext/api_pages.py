"""Write the pages of the API reference, one per public module, from its ``__all__``.

Every public name is therefore documented automatically.
"""

import inspect
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from sklearn.base import BaseEstimator

MODULES = {
    "citrus_sk": "estimators, checkpoints and the most common functions",
    "citrus_sk.evaluation": "learning curves, comparisons, displays",
    "citrus_sk.inspection": "attributions of fitted models",
    "citrus_sk.mne": "support for MNE recordings and epochs",
    "citrus_sk.braindecode": "the network as a braindecode model",
    "citrus_sk.datasets": "recordings that are available offline",
    "citrus_sk.nn": "the network in torch",
}
BRAINDECODE_LABELS = {"load-pretrained-models"}


def public_modules():
    """List the modules of `MODULES` that exist in this version."""
    return [name for name in MODULES if find_spec(name)]


def kind_of(thing):
    if not inspect.isclass(thing):
        return "Functions" if callable(thing) else "Constants"
    if thing.__name__.endswith("Display"):
        return "Displays"
    return "Estimators" if issubclass(thing, BaseEstimator) else "Classes"


def heading(text, line):
    return [text, line * len(text), ""]


def elsewhere(name):
    """Map the names of the package that are documented with one of its modules to full names."""
    if name != "citrus_sk":
        return {}
    return {
        each: f"{module}.{each}"
        for module in public_modules()[1:]
        for each in import_module(module).__all__
        if each in import_module(name).__all__
    }


def module_page(name):
    module = import_module(name)
    lines = [*heading(name, "="), f".. automodule:: {name}", "   :no-members:", ""]
    names = {each: kind_of(getattr(module, each)) for each in module.__all__}
    others = elsewhere(name)
    for kind in ("Estimators", "Classes", "Functions", "Displays", "Constants"):
        chosen = [each for each in names if names[each] == kind]
        if not chosen:
            continue
        lines += [*heading(kind, "-"), f".. currentmodule:: {name}", ""]
        here = [each for each in chosen if each not in others]
        there = [others[each].removeprefix("citrus_sk.") for each in chosen if each in others]
        lines += [".. autosummary::", "   :toctree: generated", "", *indented(here)] if here else []
        lines += [".. autosummary::", "", *indented(there)] if there else []
    return "\n".join(lines)


def indented(names):
    return [*(f"   {each}" for each in names), ""]


def index_page(modules):
    lines = [*heading("API reference", "=")]
    lines += [".. list-table::", "   :widths: auto", ""]
    for name in modules:
        lines += [f"   * - :doc:`{name} <{name}>`", f"     - {MODULES[name]}"]
    lines += ["   * - :doc:`citrus-sk <command_line>`", "     - the command line", ""]
    lines += [".. toctree::", "   :hidden:", "", *(f"   {name}" for name in modules)]
    return "\n".join([*lines, "   command_line", ""])


def command_line_page():
    return "\n".join([*heading("The command line", "="), ".. command-line::", ""])


def write_if_changed(path, text):
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def write_pages(app):
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    modules = public_modules()
    pages = {name: module_page(name) for name in modules}
    pages |= {"index": index_page(modules), "command_line": command_line_page()}
    for name, text in pages.items():
        write_if_changed(folder / f"{name}.rst", text)


def leave_to_scikit_learn(app, what, name, thing, skip, options):
    """Skip the methods that scikit-learn adds to every estimator for metadata routing."""
    last = name.rsplit(".", 1)[-1]
    return True if last.startswith("set_") and last.endswith("_request") else None


def escape_shapes(app, what, name, thing, options, lines):
    """Escape ``ndarray of shape (n_features_in_,)``, where rst would see a link in ``in_``."""
    lines[:] = [
        re.sub(r"(?<=\w)_(?=[,)])", r"\_", line)
        if " of shape (" in line or "), float" in line
        else line
        for line in lines
    ]


def resolve_elsewhere(app, env, node, content):
    """Resolve ``citrus_sk.X`` to a name documented as, for example, ``citrus_sk.evaluation.X``.

    A label in the text that braindecode adds to the docstrings of its models becomes plain text.
    """
    if node.get("reftype") == "ref" and node["reftarget"] in BRAINDECODE_LABELS:
        return content
    short = node.get("reftarget", "").removeprefix("citrus_sk.")
    full = elsewhere("citrus_sk").get(short)
    if node.get("refdomain") != "py" or full is None:
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], full, node, content
    )


def setup(app):
    # Before Sphinx collects the pages and autosummary reads names from them.
    app.connect("config-inited", lambda app, config: write_pages(app))
    app.connect("autodoc-process-docstring", escape_shapes, priority=900)  # after numpydoc
    app.connect("missing-reference", resolve_elsewhere)
    app.connect("autodoc-skip-member", leave_to_scikit_learn)
    return {"parallel_read_safe": True}
