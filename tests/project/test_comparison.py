"""The table that lays us beside others says nothing of us that no test shows."""

import ast
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "comparison.md"
COLUMNS = ["citrus_sk", "TabPFN", "EEGClassifier", "skorch", "aeon", "Mantis", "mne.decoding"]
LINK = re.compile(r'\[([^\]]+)\]\(([^)\s]+)(?: "([^"]+)")?\)')


def read_rows():
    """Capability, our cell and the others', of every table with these columns."""
    rows, inside = [], False
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif cells[1:] == COLUMNS:
            inside = True
        elif inside and not set(line) <= set("|-"):
            rows.append(cells)
    return rows


ROWS = read_rows()


def test_there_are_some_forty_capabilities_and_each_has_an_answer_of_everyone():
    assert len(ROWS) >= 40
    assert len({row[0] for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert len(row) == 1 + len(COLUMNS), row
        assert all(row), row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_our_answer_leads_to_a_test_or_gives_a_reason(row):
    ours = row[1]
    links = LINK.findall(ours)
    if not links:
        # What we lack is said, with why: "no: ...".
        assert re.fullmatch(r"no: .{10,}", ours), ours
    for _, target, name in links:
        path = (PAGE.parent / target).resolve()
        assert path.is_file(), target
        if "tests" in path.parts:
            functions = {
                node.name
                for node in ast.parse(path.read_text()).body
                if isinstance(node, ast.FunctionDef)
            }
            assert name in functions, f"{target} has no {name}"
            assert name.startswith("test_")


def test_where_others_are_better_it_says_so():
    better = [row for row in ROWS if any("**" in cell for cell in row[2:])]
    assert len(better) >= 8
    assert not any("**" in row[1] for row in ROWS)


def test_other_links_of_the_page_are_addresses_or_files():
    for _, target, _ in LINK.findall(PAGE.read_text()):
        assert target.startswith("https://") or (PAGE.parent / target).exists(), target
