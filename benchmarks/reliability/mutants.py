"""Mutants: small changes of the code, each of which the tests should notice.

    pip install "mutmut>=3.8,<4" coverage
    python benchmarks/reliability/mutants.py signals channels recordings
    python benchmarks/reliability/mutants.py training evaluation checkpoints
    python benchmarks/reliability/mutants.py citrus_sk/signals/windows.py --number 100 --seed 1
    python benchmarks/reliability/mutants.py citrus_sk/signals/windows.py --mutants 36 183

The changes are those of mutmut: another operator or number, an argument that is left out, None
instead of a value, and so on. A seeded sample of each module is tried. Texts for people are left
alone: strings with a space, and what stands in a `raise` statement. Prints a row for each module
and the change for each mutant that no test noticed.

The tests of a group of modules run once, with coverage. Each mutant then has a process of its own,
forked when everything is imported, in which the changed function takes the place of the original.
The tests run that reached the changed statement, the quickest first, as many as take `--seconds`
of the processor together. What tests start in other processes has no mutant. Decorated functions,
such as properties, and what stands outside of functions are not changed. No file is changed.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import functools
import importlib
import inspect
import json
import os
import random
import resource
import signal
import sys
import time
import traceback
import types
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import coverage
import libcst as cst
import libcst.matchers as m
import numpy as np
import pytest
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation.file_mutation import MutationVisitor
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

ROOT = Path(__file__).resolve().parents[2]
KILLED, SURVIVED, UNREACHED = "killed", "survived", "not reached"
MEGABYTES = 2048  # that a mutant may add

# Modules in a folder, and the quick tests that concern them.
GROUPS = {
    "signals": (
        "signals",
        ["aligner", "resampling", "windows", "containers", "targets", "picks", "consistency",
         "alignment", "container_kinds", "lost_power", "missing", "nested", "offsets"],
        ["tests/signals/test_aligner.py", "tests/signals/test_consistency.py",
         "tests/signals/test_lost_power.py", "tests/signals/test_missing.py",
         "tests/signals/test_nested.py",
         "tests/signals/test_offsets.py", "tests/signals/test_resampling.py",
         "tests/signals/test_targets.py", "tests/estimators/test_bad_input.py",
         "tests/estimators/test_regressor.py", "tests/estimators/test_unlabelled.py",
         "tests/public/test_mne.py", "tests/public/test_braindecode.py",
         "tests/public/test_channels.py"],
    ),
    "channels": (
        "signals",
        ["modalities"],
        ["tests/signals/test_corpus.py", "tests/signals/test_edf.py",
         "tests/signals/test_formats.py", "tests/signals/test_recordings.py"],
    ),
    "recordings": (
        "signals/recordings",
        ["edf", "label_tables", "quality", "rates", "annotated", "arrays", "cache", "conversion",
         "corpus", "folders", "formats", "labelled", "matlab", "origin", "readers", "reading",
         "spectra", "split", "structure", "survey", "window_files"],
        ["tests/signals/test_corpus.py", "tests/signals/test_damaged.py",
         "tests/signals/test_edf.py", "tests/signals/test_folders.py",
         "tests/signals/test_formats.py", "tests/signals/test_label_tables.py",
         "tests/signals/test_matlab.py", "tests/signals/test_odd_makes.py",
         "tests/signals/test_offsets.py", "tests/signals/test_recordings.py",
         "tests/cli/test_data_formats.py", "tests/cli/test_inspect.py"],
    ),
    "training": (
        "training",
        ["probes", "adaptive_probes", "selection", "holdout", "labelled"],
        ["tests/training/test_adaptation.py", "tests/training/test_fused_probe.py",
         "tests/training/test_holdout.py", "tests/training/test_labelled.py",
         "tests/training/test_people_means.py", "tests/training/test_probe.py",
         "tests/training/test_selection.py", "tests/estimators/test_people.py",
         "tests/estimators/test_unlabelled.py"],
    ),
    "evaluation": (
        "evaluation",
        ["splitters", "person_splitter"],
        ["tests/evaluation/test_fractions.py", "tests/evaluation/test_person_splitter.py"],
    ),
    "checkpoints": ("checkpoints", ["format"], ["tests/checkpoints"]),
}  # fmt: skip


@dataclass
class Mutant:
    """A change of a function: the text of the module with it, and the lines that it concerns."""

    text: str
    lines: range
    function: tuple[str, ...]  # names of the classes around it, and its own


class Suite:
    """Plugin that runs the tests of mutants instead of all."""

    def __init__(
        self, arguments: argparse.Namespace, modules: Sequence[str], output: TextIO
    ) -> None:
        self.arguments, self.modules, self.output = arguments, modules, output
        self.failure, self.states = "", {}

    @pytest.hookimpl
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Let generators of a test file and caches begin anew: tests run in another order."""
        for name, value in vars(item.module).items():
            if isinstance(value, np.random.Generator):
                state = value.bit_generator.state
                value.bit_generator.state = self.states.setdefault((item.module, name), state)
        for name, module in list(sys.modules.items()):
            if name.startswith("citrus_sk."):
                for value in vars(module).values():
                    if isinstance(value, functools._lru_cache_wrapper):
                        value.cache_clear()

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failure = f"{report.nodeid}\n{report.longreprtext}"

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        try:
            self._try_modules(session)
        except BaseException:
            traceback.print_exc()  # what pytest says is not shown
            raise
        return True

    def _try_modules(self, session: pytest.Session) -> None:
        items = {
            item.nodeid: item for item in session.items if "two_workers" not in item.fixturenames
        }
        reached, seconds = _in_fork(lambda: self._reached(items))
        if left_out := items.keys() - seconds:
            print("tests that fail without a mutant:", *sorted(left_out), file=sys.stderr)
        for module in self.modules:
            importlib.import_module(_dotted(module))
        for module in self.modules:
            self._try_module(module, items, reached[module], seconds)

    def _reached(self, items: dict[str, pytest.Item]) -> tuple[dict, dict]:
        """Tests that reach each line of each module, and seconds of each test."""
        files = [str(ROOT / module) for module in self.modules]
        measured = coverage.Coverage(data_file=None, include=files, messages=False)
        seconds = {}
        with measured.collect():
            for name, item in items.items():
                measured.switch_context(name)
                start = _cpu_seconds()
                self.failure = ""
                item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
                if not self.failure:
                    seconds[name] = _cpu_seconds() - start
        data = measured.get_data()
        lines = [data.contexts_by_lineno(file) for file in files]
        return dict(zip(self.modules, lines, strict=True)), seconds

    def _try_module(self, module: str, items: dict, reached: dict, seconds: dict) -> None:
        text = (ROOT / module).read_text()
        mutants = mutants_of(text)
        numbers = self.arguments.mutants
        if not numbers:
            draws = random.Random(f"{self.arguments.seed} {module}")
            size = min(self.arguments.number, len(mutants))
            numbers = sorted(draws.sample(range(len(mutants)), size))
        counts, survivors, checked = Counter(), [], False
        for i in numbers:
            names = {name for line in mutants[i].lines for name in reached.get(str(line), ())}
            names = sorted(names & seconds.keys(), key=seconds.__getitem__)
            together = np.cumsum([seconds[name] for name in names])
            chosen = [items[name] for name in names[: np.sum(together <= self.arguments.seconds)]]
            limit = 10 + 5 * self.arguments.seconds
            if chosen and not checked:
                same = Mutant(text, mutants[i].lines, mutants[i].function)
                if failure := self._try(module, same, chosen, limit):
                    raise RuntimeError(f"{module}: a test fails without a mutant: {failure}")
                checked = True
            outcome = UNREACHED
            if chosen:
                killed = self._try(module, mutants[i], chosen, limit)
                outcome = KILLED if killed else SURVIVED
            counts[outcome] += 1
            if outcome != KILLED:
                survivors.append(f"  mutant {i}, {outcome} ({len(chosen)} tests)")
                survivors.append(_difference(text, mutants[i].text))
        print(
            _row(module, len(mutants), counts), *survivors, sep="\n", flush=True, file=self.output
        )

    def _try(self, module: str, mutant: Mutant, items: list, limit: float) -> str:
        """What fails, if anything does."""

        def run() -> str:
            _limit(limit)
            put_in_place(module, mutant)
            for item, following in zip(items, [*items[1:], None], strict=True):
                with contextlib.suppress(BaseException):  # of memory, in pytest itself
                    item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
                    if not self.failure:
                        continue
                return self.failure or "pytest itself"
            return ""

        return _in_fork(run, if_killed="the limit of time or of memory")


def mutants_of(text: str) -> list[Mutant]:
    """All mutants of the text of a module, in its order."""
    wrapper = MetadataWrapper(cst.parse_module(text))
    visitor = MutationVisitor(mutation_operators, IgnoredCode(set(), set(), set()))
    wrapper.visit(visitor)
    raised = m.findall(wrapper.module, m.Raise())
    texts = {id(node) for statement in raised for node in _below(statement)}
    places, parents = wrapper.resolve(PositionProvider), wrapper.resolve(ParentNodeProvider)
    names = dict(_functions(wrapper.module))
    mutants = []
    for change in visitor.mutations:
        function = change.contained_by_top_level_function
        node = change.original_node
        is_text = isinstance(node, cst.SimpleString) and " " in node.value
        if function not in names or is_text or id(node) in texts:
            continue
        while not isinstance(node, cst.BaseSmallStatement | cst.BaseCompoundStatement):
            node = parents[node]
        place = places[node]
        text = wrapper.module.deep_replace(change.original_node, change.mutated_node).code
        lines = range(place.start.line, place.end.line + 1)
        mutants.append(Mutant(text, lines, names[function]))
    return mutants


def _below(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    yield node
    for child in node.children:
        yield from _below(child)


def _functions(
    node: cst.CSTNode, above: tuple[str, ...] = ()
) -> Iterator[tuple[cst.FunctionDef, tuple[str, ...]]]:
    for child in node.body if isinstance(node, cst.Module) else node.body.body:
        if isinstance(child, cst.FunctionDef):
            yield child, (*above, child.name.value)
        elif isinstance(child, cst.ClassDef):
            yield from _functions(child, (*above, child.name.value))


def put_in_place(module: str, mutant: Mutant) -> None:
    """Let the original function, wherever it is referred to, do what the mutant does."""
    original = sys.modules[_dotted(module)]
    changed = types.ModuleType(original.__name__)
    changed.__file__, changed.__package__ = original.__file__, original.__package__
    exec(compile(mutant.text, original.__file__, "exec"), changed.__dict__)
    *classes, name = mutant.function
    for each in classes:
        original, changed = vars(original)[each], vars(changed)[each]
    old, new = vars(original)[name], vars(changed)[name]
    try:
        _function(old).__code__ = _function(new).__code__
    except ValueError:  # the one says `super()` and the other does not
        setattr(original, name, new)
        return
    _function(old).__defaults__ = _function(new).__defaults__
    _function(old).__kwdefaults__ = _function(new).__kwdefaults__


def _function(attribute: object) -> types.FunctionType:
    """The function itself; scikit-learn wraps `transform`, for instance."""
    return inspect.unwrap(getattr(attribute, "__func__", attribute))


def _in_fork(work: Callable[[], Any], if_killed: Any = None) -> Any:
    """What `work` returns in a process of its own, which goes on from the state of this one."""
    reader, writer = os.pipe()
    if not (process := os.fork()):
        os.close(reader)
        try:
            with os.fdopen(writer, "w") as answer:
                json.dump(work(), answer)
        except BaseException:  # noqa: BLE001 - the process ends
            traceback.print_exc()
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    status = os.waitpid(process, 0)[1]
    if text:
        return json.loads(text)
    if if_killed is None or not os.WIFSIGNALED(status):
        raise RuntimeError("the process ended without an answer")
    return if_killed


def _cpu_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def _limit(seconds: float) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEGABYTES * 2**20,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1,) * 2)
    signal.alarm(60 + 20 * int(seconds))  # for what waits and does not compute


def _dotted(module: str) -> str:
    return module.removesuffix(".py").replace("/", ".")


def _row(module: str, n_mutants: int, counts: Counter) -> str:
    number = counts.total()
    cells = [
        f"`{module.removeprefix('citrus_sk/')}`", f"{n_mutants}", f"{number}",
        f"{counts[KILLED]}", f"{counts[KILLED] / max(1, number):.0%}", f"{counts[SURVIVED]}",
        f"{counts[UNREACHED]}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _difference(old: str, new: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=1)
    return "\n".join(f"    {line}" for line in [*lines][2:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="+", help=f"modules, or groups: {', '.join(GROUPS)}")
    parser.add_argument("--number", type=int, default=20, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="of the processor for the tests of a mutant"
    )
    parser.add_argument("--mutants", type=int, nargs="*", help="numbers of mutants; a sample")
    parser.add_argument("--tests", nargs="*", help="files of tests; those of the group")
    arguments = parser.parse_args()
    print(
        "| module | mutants | tried | killed | share | survived | no quick test reaches it |\n"
        "|---|---|---|---|---|---|---|",
        flush=True,
    )
    os.chdir(ROOT)
    for group, (folder, names, tests) in GROUPS.items():
        modules = [f"citrus_sk/{folder}/{name}.py" for name in names]
        if group not in arguments.targets:
            modules = [module for module in modules if module in arguments.targets]
        if modules:
            _in_fork(lambda: _run(arguments, modules, tests))  # noqa: B023 - called at once


def _run(arguments: argparse.Namespace, modules: list[str], tests: list[str]) -> bool:
    output = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # pytest writes
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--capture=no"]
    sys.path.insert(0, str(ROOT))
    suite = Suite(arguments, modules, output)
    if code := pytest.main([*options, *(arguments.tests or tests)], plugins=[suite]):
        raise RuntimeError(f"pytest ended with {code!r}, not with the mutants")
    return True


if __name__ == "__main__":
    main()
