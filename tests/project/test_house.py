"""The order of the rooms: an import only ever goes down, and never in a circle."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "citrus_sk"
# From the top down. Rooms on one floor do not import each other.
FLOORS = (
    ("", "cli"),
    ("mne", "braindecode", "datasets", "inspection", "evaluation"),
    ("estimators",),
    ("training",),
    ("checkpoints", "signals"),
    ("nn", "_utils"),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MODULES = {path: path.relative_to(PACKAGE).with_suffix("").parts for path in PACKAGE.rglob("*.py")}


def imports(path):
    """Modules of the package that a module imports, as tuples of names, with their lines."""
    parts = MODULES[path]
    package = parts[:-1]  # also of an __init__, whose last part is its own name
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            yield (*base, *(node.module or "").split(".")) if node.module else base, node
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("citrus_sk"):
            yield tuple(node.module.split(".")[1:]), node


def room(parts):
    return parts[0] if parts and parts[0] not in ("__init__", "__main__") else ""


def test_every_room_has_a_floor():
    assert {room(parts) for parts in MODULES.values()} == set(FLOOR_OF)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: ".".join(MODULES[path]))
def test_an_import_goes_down(path):
    here = room(MODULES[path])
    for target, node in imports(path):
        there = room(target)
        allowed = there == here or FLOOR_OF[there] > FLOOR_OF[here]
        # The command line uses the public face, and `python -m` the command line.
        allowed |= {here, there} == {"cli", ""}
        assert allowed, f"{'.'.join(MODULES[path])}:{node.lineno} imports {'.'.join(target)}"


def module_of(target, node):
    """Files that an import reaches: modules, or those that a package's names come from."""
    path = PACKAGE.joinpath(*target)
    if path.with_suffix(".py").exists():
        return [path.with_suffix(".py")]
    submodules = [path / f"{alias.name}.py" for alias in node.names]
    found = [each for each in submodules if each.exists()]
    return found or [path / "__init__.py"]


def test_no_import_runs_in_a_circle():
    graph = {
        path: {each for target, node in imports(path) for each in module_of(target, node)}
        for path in MODULES
    }
    finished = set()

    def visit(path, trail):
        assert path not in trail, " > ".join(".".join(MODULES[each]) for each in [*trail, path])
        if path not in finished:
            for target in graph[path]:
                visit(target, [*trail, path])
            finished.add(path)

    for path in graph:
        visit(path, [])


def test_no_module_is_longer_than_a_reader_can_hold():
    longest = max(MODULES, key=lambda path: len(path.read_text().splitlines()))
    assert len(longest.read_text().splitlines()) <= 450, longest.name
