"""Private names of other libraries, which any release may change: only the listed ones are used."""

import ast
import inspect
import re
import warnings
from functools import cache
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "citrus_sk"
LIBRARIES = ("sklearn", "skorch", "braindecode", "mne", "torch")
# Modules of the classes that ours derive from, and the folders or files of ours that do.
BASES = {
    "braindecode.models.base": ("braindecode.py",),
    "skorch.callbacks.base": ("training",),
    "skorch.classifier": ("training",),
    "skorch.net": ("training",),
    "sklearn.base": ("estimators", "evaluation", "signals"),
    "torch.nn.modules.module": ("nn", "training", "braindecode.py"),
}
FOREACH = "torch documents these functions as beta; on a GPU, one call updates all weights"
DISPATCH = "torch describes this mode to library authors; layers draw weights in no other way"
NO_SETTER = "braindecode asks models for reset_head, but has no public way to set n_outputs"
ALLOWED = {
    ("_utils/devices.py", "torch._C"): "torch's notes on extending it describe this context",
    ("braindecode.py", "_n_outputs"): NO_SETTER,
    ("braindecode.py", "_braindecode_init_kwargs"): NO_SETTER,
    ("braindecode.py", "_hub_mixin_config"): NO_SETTER,
    ("estimators/embedder.py", "_n_features_out"): "scikit-learn asks for it in its mixin's page",
    ("estimators/pretrainer.py", "_n_features_out"): "scikit-learn asks for it in its mixin's page",
    ("evaluation/cell.py", "os._exit"): "a documented function of the standard library",
    ("nn/network.py", "_modules"): "a network that shares its parts but one with another network",
    ("training/callbacks.py", "torch._foreach_lerp_"): FOREACH,
    ("training/draws.py", "torch.utils._python_dispatch"): DISPATCH,
    ("training/draws.py", "_overloadname"): DISPATCH,
    ("training/draws.py", "_schema"): DISPATCH,
    ("training/nets.py", "_default_callbacks"): "skorch's guide on callbacks names this property",
    ("training/pretraining/run.py", "torch._foreach_lerp_"): FOREACH,
}
MODULES = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in MODULES.items()}


def private(name):
    return name.startswith("_") and not name.startswith("__")


@cache
def own_names():
    """Private names that the package defines: functions, classes, attributes and variables."""
    found = set()
    for node in (node for tree in TREES.values() for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return {name for name in found if private(name)}


def inherited_names(module):
    """Private names in the modules of the base classes of the classes in a module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sources = [
            inspect.getsource(import_module(base))
            for base, users in BASES.items()
            if module.partition("/")[0] in users
        ]
    pattern = r"(?:\bself\.|\bcls\.|^    def |\bself, ['\"])(_[a-z]\w+)"
    return {name for source in sources for name in re.findall(pattern, source, re.MULTILINE)}


def imported(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def shortest_private(dotted):
    """The dotted name up to its first private part, or None."""
    parts = dotted.split(".")
    first = next((i for i, part in enumerate(parts) if private(part)), None)
    return None if first is None else ".".join(parts[: first + 1])


def uses(module):
    """Private names that a module uses of other libraries, as tuples of name and line."""
    own, inherited = own_names(), inherited_names(module)
    tree = TREES[module]
    methods = {
        id(each) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for each in node.body
    }
    for node in ast.walk(tree):
        for name in imported(node):
            if name.split(".")[0] in LIBRARIES and (found := shortest_private(name)):
                yield found, node.lineno
        if isinstance(node, ast.Attribute) and private(node.attr):
            text = ast.unparse(node)
            if text.split(".")[0] in (*LIBRARIES, "os"):
                yield shortest_private(text), node.lineno
            elif node.attr in inherited or node.attr not in own:
                yield node.attr, node.lineno
        elif isinstance(node, ast.Constant) and node.value in inherited:
            yield node.value, node.lineno
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr"):
            name = ast.unparse(node.args[1]).strip("'")
            if private(name) and isinstance(node.args[1], ast.Constant) and name not in own:
                yield name, node.lineno
        elif isinstance(node, ast.FunctionDef) and id(node) in methods and node.name in inherited:
            yield node.name, node.lineno


def test_only_listed_private_names_are_used_and_each_listed_one_is():
    found = {(module, name): line for module in MODULES for name, line in uses(module)}
    unlisted = [f"{m}:{line} uses {n}" for (m, n), line in found.items() if (m, n) not in ALLOWED]
    assert not unlisted, "\n".join(unlisted)
    assert set(ALLOWED) <= set(found)  # a reason for a use that is gone
