"""Rows of the tables in docs/benchmarks, read from their text."""

import re

__all__ = ["missed_targets", "table_rows"]

_TABLE = re.compile(r"^\.\. list-table:: (.*)\n(?:   :.*\n)*\n((?:   .*\n?)+)", re.MULTILINE)
_ROW = re.compile(r"^   \* - ?(.*)\n((?:     - ?.*\n?)*)", re.MULTILINE)


def table_rows(text):
    """
    Return the rows of all list-tables of a page.

    Parameters
    ----------
    text : str
        The page, each cell on a line of its own.

    Returns
    -------
    list of dict
        Cells by the names in the first row of their table.
    """
    rows = []
    for _, body in _TABLE.findall(text):
        cells = [
            [first.strip(), *(line[6:].strip() for line in rest.splitlines())]
            for first, rest in _ROW.findall(body)
        ]
        header, *others = cells
        rows += [dict(zip(header, row, strict=True)) for row in others]
    return rows


def missed_targets(text):
    """
    Return what a page of benchmarks says of targets that were not reached.

    Parameters
    ----------
    text : str
        The page.

    Returns
    -------
    list of tuple of str
        What was measured, the figure (with that of jwst, if there is one), the target.
    """
    found = []
    for row in table_rows(text):
        if row.get("reached") != "no":
            continue
        figure = next(row[name] for name in ("ours", "figure", "measured") if name in row)
        if row.get("ours / jwst"):
            figure += f" ({row['ours / jwst']} of jwst's)"
        elif row.get("jwst"):
            figure += f" (jwst {row['jwst']})"
        found.append((row["what"], figure, row["target"]))
    return found
