"""Self-contained pages in HTML: style, tables and figures."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from .files import write_atomically
from .optional import require

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --line: #d0d0d0; --faint: #f3f3f3 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #161616; --line: #444; --faint: #242424 }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.5rem } h2 { font-size: 1.2rem; margin-top: 2.5rem } h3 { font-size: 1rem }
.box { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
caption { text-align: left; padding: .3rem 0; font-weight: 600 }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left;
  white-space: nowrap; vertical-align: top }
tbody th { position: sticky; left: 0; background: var(--paper); white-space: normal;
  overflow-wrap: break-word; max-width: 24rem }
td.long { white-space: normal; min-width: 16rem }
thead th { background: var(--faint); white-space: normal; overflow-wrap: break-word;
  vertical-align: bottom }
td small { opacity: .75 } td.best { font-weight: 700 } td.none { opacity: .55 }
figure { margin: 1rem 0; padding: .5rem; background: #fff; border-radius: .4rem }
figure img { display: block; width: 100%; height: auto }
figure.wide { overflow-x: auto } figure.wide img { min-width: 30rem }
figcaption { color: #333; font-size: .85rem }
.grid { display: grid; gap: .5rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)) }
.grid figure { margin: 0 }
.note { border-left: 4px solid #d55e00; padding: .3rem .8rem; background: var(--faint) }
@media (max-width: 36rem) {
  th, td { padding: .25rem .4rem }
  td small { white-space: normal } td:has(small) { min-width: 4.8rem }
}
@media print {
  body { max-width: none; print-color-adjust: exact; -webkit-print-color-adjust: exact }
  .box { overflow: visible } table { font-size: .75rem }
  th, td { white-space: normal; padding: .2rem .35rem } td.long { min-width: 0 }
  figure, tr { break-inside: avoid } h2, caption { break-after: avoid }
}
"""


def write_page(path: Path, title: str, parts: Iterable[str]) -> None:
    """Write a page that needs neither internet nor scripts.

    Parameters
    ----------
    path : Path
        File to write; it never holds a part of the page.
    title : str
        Title of the window, as text.
    parts : iterable of str
        Content in HTML.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    body = "\n".join(parts)
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
    # A file name can contain bytes that are not valid text.
    write_atomically(path, page.encode("utf-8", "replace"))


def html_table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], long: int | None = None
) -> str:
    """Table in HTML. Cells are HTML already; the first cell of a row is its heading."""
    lines = [f'<div class="box"><table>\n<caption>{escape(caption)}</caption>\n<thead><tr>']
    lines += [f'<th scope="col">{escape(name)}</th>' for name in head]
    lines.append("</tr></thead>\n<tbody>")
    for row in rows:
        cells = [f'<th scope="row">{row[0]}</th>']
        for column, cell in enumerate(row[1:], start=1):
            kind = ' class="long"' if column == long else ""
            cells.append(cell if cell.startswith("<td") else f"<td{kind}>{cell}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    lines.append("</tbody>\n</table></div>")
    return "\n".join(lines)


def new_figure(size: tuple[float, float]) -> tuple[Any, Any]:
    """Figure that pyplot does not know, and its axes."""
    require("matplotlib", "A report")
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()


def html_figure(figure: Any, text: str, kind: str = "") -> str:
    """Figure as an image within the page, a document of its own, so that identifiers are unique."""
    from matplotlib import rc_context

    out = io.BytesIO()
    with rc_context({"svg.hashsalt": "citrus_sk", "svg.fonttype": "path"}):
        figure.savefig(
            out, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None}
        )
    data = base64.b64encode(out.getvalue()).decode()
    # Wide enough for letters of the size of the page, or as wide as a narrower screen.
    width = f"{7 * figure.get_figwidth():.0f}rem"
    return (
        f'<figure class="{kind}" style="max-width: {width}">'
        f'<img alt="{escape(text)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{escape(text)}</figcaption></figure>"
    )


def html_grid(figures: Iterable[str]) -> str:
    """Figures beside each other, as many as fit."""
    return "\n".join(['<div class="grid">', *figures, "</div>"])
