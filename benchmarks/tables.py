"""Tables of the documentation, written from the rows in ``benchmarks/results``.

    python benchmarks/tables.py              rewrite the tables of the pages
    python benchmarks/tables.py --check      fail if a page does not agree with the rows
    python benchmarks/tables.py --print CSV  print all tables of other files

On a page, a table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``. Rows are those of
``lowdata.py``, in files whose names start with ``lowdata``; times are those of ``performance.py``.
Scores are means over sets of means
over folds. Intervals (95 %) are from resampling sets, and folds within each set. Differences are
paired by set and fold.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cells import METRICS, Row, read
from lowdata_models import MODELS, PEERS, weights_of
from paired import Scores, gaps, interval, mean_of, scores_of, values
from parts import KNOWN, PARTS
from performance import CASES, stored

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (ROOT / "docs" / "results.md", ROOT / "docs" / "performance.md", ROOT / "README.md")
MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

SHOWN = (*PARTS, "default, random weights", *PEERS)
SOLVED, SOLVED_FROM = 0.93, 0.05  # macro-F1 of the kernels, at this fraction and all larger ones
PAIRS = (
    ("default", "kernels"),
    ("network", "kernels"),
    ("default", "network"),
    ("default", "default, random weights"),
    *(("default", peer) for peer in PEERS),
)
PAIRS_OF_PEOPLE = (
    *((part + KNOWN, part) for part in PARTS),
    ("default" + KNOWN, "kernels" + KNOWN),
    ("network" + KNOWN, "kernels" + KNOWN),
    ("default" + KNOWN, "network" + KNOWN),
)
# Title, and forms of a score and of a difference.
FORMS: dict[str, tuple[str, Callable[[float], str], Callable[[float], str]]] = {
    "accuracy": ("accuracy", "{:.3f}".format, lambda gap: f"{100 * gap:+.1f}"),
    "macro_f1": ("macro-F1", "{:.3f}".format, lambda gap: f"{100 * gap:+.1f}"),
    "log_loss": ("log loss", "{:.3f}".format, "{:+.3f}".format),
    "calibration_error": ("calibration error", "{:.3f}".format, "{:+.3f}".format),
}


# --- rows ----------------------------------------------------------------------------------------


def fractions_of(rows: list[Row]) -> list[float]:
    return sorted({float(row["fraction"]) for row in rows})


def only(rows: list[Row], sets: set[str]) -> list[Row]:
    return [row for row in rows if row["set"] in sets]


def solved_sets(rows: list[Row]) -> set[str]:
    """Sets on which the kernels alone leave nothing to gain with few labels."""
    lowest: dict[str, float] = {}
    for fraction in fractions_of(rows):
        if fraction >= SOLVED_FROM:
            for name, scores in values(scores_of(rows, "kernels", fraction, "macro_f1")).items():
                lowest[name] = min(lowest.get(name, 1.0), float(scores.mean()))
    return {name for name, score in lowest.items() if score >= SOLVED}


def sets_of_people(rows: list[Row]) -> set[str]:
    return {row["set"] for row in rows if row["model"].endswith(KNOWN)}


def best_peer(rows: list[Row]) -> str | None:
    """The peer with the highest macro-F1, over all fractions and the sets that all peers have."""
    peers = [peer for peer in PEERS if any(row["model"] == peer for row in rows)]
    tables = {
        peer: [scores_of(rows, peer, fraction, "macro_f1") for fraction in fractions_of(rows)]
        for peer in peers
    }
    shared = set.intersection(*(set.intersection(*(set(each) for each in table))
                                for table in tables.values())) if peers else set()  # fmt: skip

    def height(peer: str) -> float:
        return sum(mean_of(values({name: each[name] for name in shared})) for each in tables[peer])

    return max(peers, key=height) if shared else None


# --- tables --------------------------------------------------------------------------------------


def as_table(head: list[str], lines: list[list[str]]) -> str:
    if not lines:
        return "(There are no rows for this table yet.)"
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows).replace("| --- ", "|---")


def cell(of_sets: dict, form: Callable[[float], str], n_sets: int = 0) -> str:
    """Mean and interval, and the number of sets where it is not the expected one."""
    if not of_sets:
        return ""
    ends = interval(of_sets)
    text = form(mean_of(of_sets))
    text += f" [{form(ends[0])}, {form(ends[1])}]" if ends else ""
    return text + (f" ({counted(len(of_sets), 'set')})" if n_sets > len(of_sets) else "")


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def means(rows: list[Row], metric: str, models: tuple[str, ...]) -> str:
    """A row for each model; a cell that lacks a set or a fold of the other models is empty."""
    title, form, _ = FORMS[metric]
    lines = {model: [model] for model in models if any(row["model"] == model for row in rows)}
    for fraction in fractions_of(rows):
        found = {model: scores_of(rows, model, fraction, metric) for model in lines}
        every = set().union(*map(cells_of, found.values()))
        for model, line in lines.items():
            whole = cells_of(found[model]) == every
            line.append(cell(values(found[model]), form) if whole else "")
    return as_table([f"{title}, mean over sets", *percents(rows)], list(lines.values()))


def cells_of(scores: Scores) -> set[tuple[str, int]]:
    return {(name, fold) for name, folds in scores.items() for fold in folds}


def percents(rows: list[Row]) -> list[str]:
    return [f"{fraction:.0%}" for fraction in fractions_of(rows)]


def differences(rows: list[Row], metric: str, pairs: tuple) -> list[list[str]]:
    form, best, lines = FORMS[metric][2], best_peer(rows), []
    n_sets = len({row["set"] for row in rows})
    for first, second in pairs:
        cells = [
            cell(
                gaps(*(scores_of(rows, model, fraction, metric) for model in (first, second))),
                form, n_sets,
            )
            for fraction in fractions_of(rows)
        ]  # fmt: skip
        if any(cells):
            mark = " (the best peer)" if second == best else ""
            lines.append([f"{first} − {second}{mark}", *cells])  # noqa: RUF001
    return lines


def differences_by_sets(rows: list[Row], metric: str) -> str:
    """All sets together; those that are not solved; and the solved ones."""
    solved = solved_sets(rows)
    names = {row["set"] for row in rows}
    groups = {"all": names}
    if solved:
        groups |= {"not solved": names - solved, "solved": solved}
    lines = []
    for title, chosen in groups.items():
        found = differences(only(rows, chosen), metric, PAIRS)
        lines += [[f"{title} ({len(chosen)})", *line] for line in found]
    return as_table(["sets", f"difference of {unit_of(metric)}", *percents(rows)], lines)


def differences_of_people(rows: list[Row], metric: str) -> str:
    found = differences(only(rows, sets_of_people(rows)), metric, PAIRS_OF_PEOPLE)
    return as_table([f"difference of {unit_of(metric)}", *percents(rows)], found)


def unit_of(metric: str) -> str:
    return f"{FORMS[metric][0]}, points" if metric in ("accuracy", "macro_f1") else FORMS[metric][0]


def means_of_people(rows: list[Row], metric: str) -> str:
    models = tuple(part + known for part in PARTS for known in ("", KNOWN))
    return means(only(rows, sets_of_people(rows)), metric, models)


def each_set(rows: list[Row], metric: str) -> str:
    form, lines = FORMS[metric][1], []
    for name in sorted({row["set"] for row in rows}):
        of_set = only(rows, {name})
        for model in (name for name in MODELS if name in SHOWN or name.endswith(KNOWN)):
            scores = [values(scores_of(of_set, model, f, metric)) for f in fractions_of(rows)]
            if any(scores):
                cells = [form(mean_of(each)) if each else "" for each in scores]
                lines.append([f"{name}, {model}", *cells])
    return as_table([f"{FORMS[metric][0]}: set, model", *percents(rows)], lines)


def summary(rows: list[Row]) -> str:
    """Sentences on the rows that the tables are of."""
    sets, solved = {row["set"] for row in rows}, sorted(solved_sets(rows))
    folds = {row["fold"] for row in rows}
    weights = sorted({row["weights"] for row in rows if row["weights"]})
    sentences = [
        f"The tables are of {counted(len(sets), 'set')} ({', '.join(sorted(sets))}) and "
        f"{counted(len(folds), 'fold')}.",
        f"Solved sets: {', '.join(solved) or 'none'}.",
        f"Pre-trained weights (start of their SHA-256): {', '.join(weights)}.",
    ]
    stale = stale_models(rows)
    if stale:
        sentences.append(
            f"**Other weights ship by now. Rows of earlier weights: {', '.join(stale)}.**"
        )
    return "\n".join(sentences)


def stale_models(rows: list[Row]) -> list[str]:
    present = {model: weights_of(model) for model in {row["model"] for row in rows} & set(MODELS)}
    return sorted({row["model"] for row in rows
                   if row["weights"] != present.get(row["model"], row["weights"])})  # fmt: skip


def of_performance(rows: list[Row], name: str) -> str:
    """A table of ``performance.py``, which has results of its own."""
    return stored(name)


TABLES: dict[str, Callable[[list[Row]], str]] = {"lowdata": summary}
for _metric in METRICS:
    TABLES |= {
        f"means-{_metric}": partial(means, metric=_metric, models=SHOWN),
        f"differences-{_metric}": partial(differences_by_sets, metric=_metric),
        f"people-means-{_metric}": partial(means_of_people, metric=_metric),
        f"people-differences-{_metric}": partial(differences_of_people, metric=_metric),
        f"each-{_metric}": partial(each_set, metric=_metric),
    }

for _name in ("summary", *CASES):
    TABLES[f"performance-{_name}"] = partial(of_performance, name=_name)


# --- pages ---------------------------------------------------------------------------------------


def filled(text: str, rows: list[Row]) -> str:
    """The text of a page with its tables written anew."""

    def table(match: re.Match[str]) -> str:
        start, name, end = match.groups()
        if name not in TABLES:
            raise ValueError(f"Expected a table among {', '.join(TABLES)}, got {name!r}.")
        return f"{start}\n{TABLES[name](rows)}\n\n{end}"

    return MARKED.sub(table, text)


def rows_of(folder: Path) -> list[Row]:
    return read(sorted(folder.glob("lowdata*.csv")))


def print_all(rows: list[Row]) -> None:
    """All tables, and the means of all models."""
    models = tuple(model for model in MODELS if not model.endswith(KNOWN))
    for name, table in TABLES.items():
        if name.startswith("performance-"):
            continue
        metric = name.removeprefix("means-")
        print(f"\n{means(rows, metric, models) if metric in METRICS else table(rows)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--print", type=Path, nargs="+", dest="others", metavar="CSV")
    options = parser.parse_args()
    if options.others:
        print_all(read(options.others))
        return
    rows = rows_of(RESULTS)
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = filled(before, rows)
        if after != before and options.check:
            raise SystemExit(f"{page.name} does not agree with the rows: run benchmarks/tables.py.")
        page.write_text(after, encoding="utf-8")
    for model in stale_models(rows):
        print(f"stale, of earlier weights: {model}")


if __name__ == "__main__":
    main()
