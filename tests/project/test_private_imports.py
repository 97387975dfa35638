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
    tree, inherited = TREES[module], inherited_names(module)
    for node in ast.walk(tree):
        names = [shortest_private(n) for n in imported(node) if n.split(".")[0] in LIBRARIES]
        if isinstance(node, ast.Attribute):
            names.append(attribute(node, inherited))
        elif isinstance(node, ast.Constant):  # such as the name of an attribute in a tuple
            names.append(node.value if node.value in inherited else None)
        elif isinstance(node, ast.Call):
            names.append(argument_of_getattr(node))
        elif isinstance(node, ast.ClassDef):
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
            names += [each.name for each in methods if each.name in inherited]
        yield from ((name, node.lineno) for name in names if name)


def attribute(node, inherited):
    text = ast.unparse(node)
    if text.split(".")[0] in (*LIBRARIES, "os"):
        return shortest_private(text)
    foreign = private(node.attr) and (node.attr in inherited or node.attr not in own_names())
    return node.attr if foreign else None


def argument_of_getattr(node):
    if ast.unparse(node.func) not in ("getattr", "setattr"):
        return None
    name = node.args[1].value if isinstance(node.args[1], ast.Constant) else ""
    return name if private(name) and name not in own_names() else None


def test_only_listed_private_names_are_used_and_each_listed_one_is():
    found = {(module, name): line for module in MODULES for name, line in uses(module)}
    unlisted = [f"{m}:{line} uses {n}" for (m, n), line in found.items() if (m, n) not in ALLOWED]
    assert not unlisted, "\n".join(unlisted)
    # Reasons for uses that are gone.
    texts = {module: path.read_text("utf-8") for module, path in MODULES.items()}
    assert not [(m, n) for m, n in ALLOWED if n.rpartition(".")[2] not in texts[m]]
