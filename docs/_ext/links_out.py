"""Map links that leave docs/ to pages of the site.

The pages are also read on code hosts, where ``../../CHANGELOG.md`` is correct. On the site, the
same text has a page of its own. Model cards, which are stored next to their weights, are copied
into the site.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHECKPOINTS = ROOT / "citrus_sk" / "checkpoints"
# Targets of links in the pages, without the leading dots, and the corresponding pages of the site.
TARGETS = [
    (r"citrus_sk/checkpoints/([\w.-]+)\.md", r"/cards/\1.md"),
    (r"citrus_sk/checkpoints/?", "/cards/index.md"),
    (r"examples/(\w+)\.py", r"/auto_examples/\1.rst"),
    (r"examples/?", "/auto_examples/index.rst"),
    (r"README\.md", "/index.md"),
    (r"CHANGELOG\.md", "/changelog.md"),
    (r"CONTRIBUTING\.md", "/contributing.md"),
]


def lead_inside(text):
    """Replace links out of docs/ with links to pages of the site, if there is one."""
    for target, page in TARGETS:
        text = re.sub(rf"\]\((?:\.\./)+{target}(#[\w-]*)?\)", rf"]({page})", text)
    return text


def on_read(app, docname, source):
    if Path(app.env.doc2path(docname)).suffix == ".md":
        source[0] = lead_inside(source[0])


def copy_cards(app):
    folder = Path(app.srcdir) / "cards"
    folder.mkdir(exist_ok=True)
    cards = sorted(CHECKPOINTS.glob("*.md"))
    for old in {*folder.glob("*.md")} - {folder / card.name for card in cards}:
        old.unlink()
    for card in cards:
        # Without the header for Hugging Face.
        text = card.read_text(encoding="utf-8").split("\n---\n", 1)[-1].lstrip()
        write_if_changed(folder / card.name, text)
    names = "\n".join(card.stem for card in cards)
    write_if_changed(
        folder / "index.md",
        "# Model cards\n\nThe training data, licences, recipe, scores and limitations of each "
        f"checkpoint.\n\n```{{toctree}}\n:maxdepth: 1\n\n{names}\n```\n",
    )


def write_if_changed(path, text):
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def setup(app):
    app.connect("config-inited", lambda app, config: copy_cards(app))
    app.connect("source-read", on_read)
    return {"parallel_read_safe": True}
