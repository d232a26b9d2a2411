"""A report as one self-contained HTML page, with its figures as PNG files beside it."""

import base64
import html
import math
import shutil
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from string import Template
from urllib.parse import quote

from jwst_fusion.partial_files import left_folders, partial_path, sweep
from jwst_fusion.report.names import figure_folder
from jwst_fusion.report.picture import Picture, encode

__all__ = [
    "Finding",
    "Link",
    "Page",
    "Section",
    "Table",
    "Thumbnail",
    "short",
    "write_page",
    "write_plain_page",
]

#: A page is to stay below this many bytes.
LARGEST_PAGE = 5_000_000
_OVERHEAD = 200_000  # bytes for everything but figures
_MARKS = {"fault": "✗", "caution": "!", "note": "i", "good": "✓"}


@dataclass(frozen=True)
class Finding:
    """
    One thing that the reader should know before using the product.

    Parameters
    ----------
    key : str
        What it is about, such as ``offset``; the same in every report.
    level : {"fault", "caution", "note"}
        How much it matters.
    title : str
        In a few words.
    text : str
        The numbers, and what to do.
    section : str
        Anchor of the section that shows more.
    """

    key: str
    level: str
    title: str
    text: str
    section: str = ""


@dataclass(frozen=True)
class Link:
    """
    Cell of a table that leads to another page in the same folder.

    Parameters
    ----------
    text : str
        What the cell shows.
    page : str
        File name.
    """

    text: str
    page: str


@dataclass(frozen=True)
class Thumbnail:
    """
    Cell of a table that shows a picture beside the page.

    Parameters
    ----------
    file : str
        The picture, relative to the folder of the page.
    alt : str
        What it shows, for those who cannot see it.
    """

    file: str
    alt: str


@dataclass(frozen=True)
class Table:
    """
    A table of text.

    Parameters
    ----------
    head : sequence of str
        Titles of the columns.
    rows : sequence of sequence of (str, Link, Thumbnail, or tuple of them)
        Rows from top to bottom, each with one cell for every column.
    caption : str, optional
        What the table shows, and how to read it.
    marked : set of tuple, optional
        Row and column of cells that are to stand out.
    """

    head: tuple
    rows: list
    caption: str = ""
    marked: frozenset = frozenset()


@dataclass
class Section:
    """
    Part of a page.

    Parameters
    ----------
    anchor : str
        Name for links.
    title : str
        Heading, which also stands in the list of contents.
    parts : list
        Paragraphs (str), tables, tables side by side (tuple) and groups of pictures (list).
    """

    anchor: str
    title: str
    parts: list = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """
    A report.

    Parameters
    ----------
    title : str
        What the report is about.
    subtitle : str
        Line below the title: target, instrument, input.
    verdict : tuple of str
        Level ("fault", "caution" or "good") and a sentence.
    facts : sequence of (str, str)
        Names and values of the most important numbers.
    findings : sequence of Finding
        What the reader should know, the worst first.
    summary : sequence of Picture
        Shown beside the verdict.
    sections : sequence of Section
        Sections from top to bottom.
    """

    title: str
    subtitle: str
    verdict: tuple
    facts: list
    findings: list
    summary: list
    sections: list


def write_page(path, page):
    """
    Write a page and its figures; nothing half-written stays if that fails.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The page, such as ``x_report.html``; the figures go to the folder ``x_report`` beside it,
        from which the figures of an earlier report are removed.
    page : Page
        The report.

    Returns
    -------
    `~pathlib.Path`
        The page.
    """
    path = Path(path)
    pictures = list(page.summary)
    for section in page.sections:
        pictures += [one for part in section.parts if isinstance(part, list) for one in part]
    images = {one.name: encode(one.figure) for one in pictures}
    inline = _fitting(images)
    text = _render(page, inline, figure_folder(path).name)
    folder = figure_folder(path)
    partial, new = partial_path(path), partial_path(folder)
    sweep(path)
    for one in left_folders(folder):
        shutil.rmtree(one, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        for name, data in images.items():
            (new / f"{name}.png").write_bytes(data)
        partial.write_text(text, encoding="utf-8")
        if folder.is_dir():
            _remove_figures(folder)
            for one in new.iterdir():
                one.replace(folder / one.name)
        else:
            new.replace(folder)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
        shutil.rmtree(new, ignore_errors=True)
    return path


def write_plain_page(path, page):
    """
    Write a page without figures of its own; nothing half-written stays if that fails.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The page. No folder is made beside it.
    page : Page
        The report, whose pictures are thumbnails in tables only.

    Returns
    -------
    `~pathlib.Path`
        The page.
    """
    path = Path(path)
    partial = partial_path(path)
    sweep(path)
    try:
        partial.write_text(_render(page, {}, "", images="data: 'self' file:"), encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _remove_figures(folder):
    """Remove the figures of an earlier report, which may be of other filters."""
    for one in folder.glob("*.png"):
        one.unlink()


def _fitting(images):
    """Figures for the page itself: coarser ones if they are many."""
    room = (LARGEST_PAGE - _OVERHEAD) * 3 / 4
    shrink = 1.0
    chosen = images
    while sum(map(len, chosen.values())) > room and shrink > 0.2:
        chosen = {name: encode(data, shrink=shrink) for name, data in images.items()}
        shrink *= 0.8
    return chosen


def _render(page, inline, folder, *, images="data:"):
    level, verdict = page.verdict
    template = Template((files("jwst_fusion.report") / "page.html").read_text(encoding="utf-8"))
    anchors = "".join(
        f'<a href="#{_text(one.anchor)}">{_text(one.title)}</a>' for one in page.sections
    )
    return template.substitute(
        images=images,
        title=_text(page.title),
        subtitle=_text(page.subtitle),
        level=level,
        mark=_MARKS[level],
        verdict=_text(verdict),
        facts="".join(
            f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>"
            for name, value in page.facts
        ),
        findings="".join(_finding(one) for one in page.findings),
        summary=_figures(page.summary, inline, folder),
        contents=anchors,
        sections="".join(_section(one, inline, folder) for one in page.sections),
    )


def _finding(one):
    link = f' <a href="#{_text(one.section)}">See below</a>' if one.section else ""
    return (
        f'<li class="{one.level}" data-key="{_text(one.key)}"><span class="mark" '
        f'aria-hidden="true">{_MARKS[one.level]}</span><div><strong>'
        f"{one.level.capitalize()}: {_text(one.title)}.</strong> {_text(one.text)}{link}</div></li>"
    )


def _section(section, inline, folder):
    parts = []
    for part in section.parts:
        if isinstance(part, str):
            parts.append(f"<p>{_text(part)}</p>")
        elif isinstance(part, Table):
            parts.append(_table(part))
        elif isinstance(part, tuple):
            parts.append(f'<div class="tables">{"".join(map(_table, part))}</div>')
        else:
            parts.append(_figures(part, inline, folder))
    return (
        f'<section id="{_text(section.anchor)}"><h2>{_text(section.title)}</h2>'
        f"{''.join(parts)}</section>"
    )


def _table(table):
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in table.head)
    rows = []
    for number, row in enumerate(table.rows):
        cells = []
        for column, value in enumerate(row):
            kind = ' class="marked"' if (number, column) in table.marked else ""
            cells.append(f"<td{kind}>{_cell(value)}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    caption = f"<caption>{_text(table.caption)}</caption>" if table.caption else ""
    return (
        f'<div class="scroll" tabindex="0"><table>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(value):
    if isinstance(value, tuple):
        return "<br>".join(map(_cell, value))
    if isinstance(value, Thumbnail):
        source = _text(quote(value.file))
        return f'<img class="thumb" loading="lazy" alt="{_text(value.alt)}" src="{source}">'
    if isinstance(value, Link):
        return f'<a href="{_text(quote(value.page))}">{_text(value.text)}</a>'
    return _text(value)


def _figures(pictures, inline, folder):
    if not pictures:
        return ""
    parts = []
    for one in pictures:
        assert isinstance(one, Picture)
        data = base64.b64encode(inline[one.name]).decode("ascii")
        caption = f"<figcaption>{_text(one.caption)}</figcaption>" if one.caption else ""
        parts.append(
            f'<figure><img alt="{_text(one.alt)}" src="data:image/png;base64,{data}">'
            f"{caption}</figure>"
        )
    size = "wide" if pictures[0].wide else "small"
    return f'<div class="figures {size}">{"".join(parts)}</div>'


def short(value):
    """
    Write a number with three digits or so; large ones without an exponent.

    Parameters
    ----------
    value : float
        The number.

    Returns
    -------
    str
        Its digits, with commas between thousands; an en dash if it is not finite.
    """
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _text(value):
    return html.escape(str(value), quote=True)
