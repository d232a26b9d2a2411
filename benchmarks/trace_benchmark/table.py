"""Rows of the benchmark's result, and the table made of them as plain text and reStructuredText."""

from dataclasses import dataclass

__all__ = ["Row", "as_rst", "as_text"]

_HEADER = ("what", "ours", "jwst", "ours / jwst", "target", "reached")


@dataclass(frozen=True)
class Row:
    """
    One figure of the benchmark.

    Parameters
    ----------
    what : str
        What was measured.
    ours, jwst : str
        The figures with their units; empty if there is none.
    ratio : float, optional
        Ours divided by jwst's.
    target : str
        The target in words; empty if there is none.
    reached : bool, optional
        Whether the target is reached; `None` without a target.
    """

    what: str
    ours: str
    jwst: str = ""
    ratio: float | None = None
    target: str = ""
    reached: bool | None = None

    @classmethod
    def compare(cls, what, ours, jwst, unit="", *, limit=None, digits=3, target=""):
        """
        Make a row of two figures whose ratio must not exceed a limit.

        Parameters
        ----------
        what : str
            What was measured.
        ours, jwst : float
            The figures.
        unit : str
            Their unit.
        limit : float, optional
            Largest ratio that reaches the target.
        digits : int
            Significant digits.
        target : str
            The target in words; default: made of the limit.

        Returns
        -------
        Row
        """
        ratio = ours / jwst
        if limit is not None and not target:
            inverse = 1 / limit
            whole = limit < 1 and abs(inverse - round(inverse)) < 1e-9
            target = f"<= 1/{inverse:.0f}" if whole else f"<= {limit:g}"
        reached = None if limit is None else bool(ratio <= limit)
        texts = [f"{value:#.{digits}g}".rstrip(".") + f" {unit}" for value in (ours, jwst)]
        return cls(what, texts[0].strip(), texts[1].strip(), ratio, target, reached)

    def cells(self):
        """
        Texts of the row's cells.

        Returns
        -------
        tuple of str
        """
        ratio = "" if self.ratio is None else _ratio(self.ratio)
        reached = {None: "", True: "yes", False: "no"}[self.reached]
        return (self.what, self.ours, self.jwst, ratio, self.target, reached)


def _escaped(cell):
    """Text in which bars mark no substitution."""
    return str(cell).replace("|", r"\|")


def _ratio(value):
    """Write a ratio; a small one as a fraction."""
    return f"1/{1 / value:.0f}" if 0 < value < 0.1 else f"{value:.2f}"


def as_text(rows, *, header=_HEADER):
    """
    Make a table for the terminal.

    Parameters
    ----------
    rows : sequence of Row or of tuple
        Lines of the table.
    header : tuple of str
        Titles of the columns.

    Returns
    -------
    str
    """
    table = [header, *(row.cells() if isinstance(row, Row) else row for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(header))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in table]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(line.rstrip() for line in lines)


def as_rst(sections, *, header=_HEADER):
    """
    Make one list-table for each section.

    Parameters
    ----------
    sections : dict of str to sequence of Row or of tuple
        Title of the table to its rows.
    header : tuple of str
        Titles of the columns.

    Returns
    -------
    str
        reStructuredText that can be included in a page.
    """
    out = []
    for title, rows in sections.items():
        out += [f".. list-table:: {title}", "   :header-rows: 1", ""]
        for line in (header, *(r.cells() if isinstance(r, Row) else r for r in rows)):
            out += [
                f"   {'* -' if i == 0 else '  -'} {_escaped(cell)}".rstrip()
                for i, cell in enumerate(line)
            ]
        out.append("")
    return "\n".join(out)
