"""The documentation as a site: it is built without a warning, and no link in it leads nowhere."""

import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import citrus_sk
from citrus_sk import list_pretrained
from citrus_sk.cli import parser as cli

ROOT = Path(__file__).parents[2]
MARKDOWN = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("docs/guide/*.md")),
    *sorted(ROOT.glob("citrus_sk/checkpoints/*.md")),
]
MODULES = ["citrus_sk"] + [
    f"citrus_sk.{name}"
    for name in ("braindecode", "datasets", "evaluation", "inspection", "mne", "nn")
]


class Anatomy(HTMLParser):
    """Where a page leads, and where links can land on it."""

    def __init__(self):
        super().__init__()
        self.links, self.ids = [], set()

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name == "id":
                self.ids.add(value)


@cache
def anatomy(page):
    parser = Anatomy()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site without the examples' output, with warnings as errors, built from a copy."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("docs", "examples", "tests", "citrus_sk/checkpoints"):
        copy_tracked(ROOT / name, folder / name)
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-D", "plot_gallery=0",
         "-b", "html", "docs", "html"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "html"


def copy_tracked(source, target):
    """Copy a folder without what an earlier build left in it."""
    built = {"_build", "api", "auto_examples", "cards", "__pycache__"}
    for path in source.rglob("*"):
        if path.is_file() and not built & set(path.relative_to(source).parts):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())


def test_no_link_of_the_site_leads_nowhere(site):
    pages = sorted(p for p in site.rglob("*.html") if "_static" not in p.parts)
    assert len(pages) > 60
    lost = set()
    for page in pages:
        for link in anatomy(page).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link == "#":
                continue
            path = unquote(parts.path)
            target = (page.parent / path).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            found = target.exists()
            if found and parts.fragment and target.suffix == ".html":
                found = unquote(parts.fragment) in anatomy(target).ids
            if not found:
                lost.add(f"{page.relative_to(site)}: {link}")
    assert not lost


@pytest.mark.parametrize("module", MODULES)
def test_each_public_name_is_described(site, module):
    ids = {i for page in (site / "api").rglob("*.html") for i in anatomy(page).ids}
    for name in import_module(module).__all__:
        # What citrus_sk has from one of its modules is described there.
        homes = MODULES if module == "citrus_sk" else [module]
        assert {f"{home}.{name}" for home in homes} & ids, name


@pytest.mark.parametrize("name", [name for name in citrus_sk.__all__ if name.startswith("Citrus")])
def test_the_link_of_an_estimators_box_is_a_page(site, name):
    link = getattr(citrus_sk, name)()._get_doc_link()
    assert (site / link.partition("/stable/")[2]).is_file()


def test_each_command_is_shown_as_its_parser_prints_it(site):
    page = (site / "api" / "command_line.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>", "", page)
    assert len(cli.COMMANDS) >= 4
    for add in cli.COMMANDS:
        command = add.__name__.removeprefix("_").removeprefix("add_")
        assert f"usage: citrus-sk {command}" in text


def test_each_checkpoint_has_its_card(site):
    for name in list_pretrained():
        assert "What it was trained on" in (site / "cards" / f"{name}.html").read_text()


def test_pages_of_the_guide_are_reached_from_its_front(site):
    front = {urlsplit(link).path for link in anatomy(site / "guide" / "index.html").links}
    for page in (ROOT / "docs" / "guide").glob("*.md"):
        assert page.stem == "index" or f"{page.stem}.html" in front


def slug(heading):
    """The anchor that code hosts give to a heading."""
    text = re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading).lower())
    return text.strip().replace(" ", "-")


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_of_a_page_resolve_on_a_code_host(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = page.parent / parts.path if parts.path else page
        assert target.exists(), link
        if parts.fragment:
            headings = re.findall(
                r"^#+ (.*)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE
            )
            assert parts.fragment in map(slug, headings), link
