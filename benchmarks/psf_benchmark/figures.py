"""Rows of the result: what was measured, the figure, the target and whether it is reached."""

from dataclasses import dataclass

__all__ = ["HEADER", "Figure", "as_text"]

HEADER = ("what", "measured", "target", "reached")


@dataclass(frozen=True)
class Figure:
    """
    One figure.

    Parameters
    ----------
    what : str
        What was measured.
    value : float
        The figure.
    unit : str
        Its unit.
    limit : float, optional
        Largest value that reaches the target.
    digits : int
        Significant digits.
    """

    what: str
    value: float
    unit: str = ""
    limit: float | None = None
    digits: int = 3

    @property
    def reached(self):
        """Whether the target is reached; `None` without one."""
        return None if self.limit is None else bool(self.value <= self.limit)

    def cells(self):
        """Texts of the row's cells, as `HEADER` names them."""
        measured = f"{self.value:.{self.digits}g} {self.unit}".strip()
        target = "" if self.limit is None else f"<= {self.limit:g} {self.unit}".strip()
        return measured_row(self.what, measured, target, self.reached)


def measured_row(what, measured, target, reached):
    return (what, measured, target, {None: "", True: "yes", False: "no"}[reached])


def as_text(rows):
    """Make a table for the terminal."""
    table = [HEADER, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEADER))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in table]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(line.rstrip() for line in lines)
