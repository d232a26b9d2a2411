"""Rows of the benchmark of the fusion."""

from dataclasses import dataclass

__all__ = ["HEADER", "Line"]

#: Titles of the columns.
HEADER = ("what", "figure", "target", "reached", "beside it")


@dataclass(frozen=True)
class Line:
    """
    One figure of the benchmark.

    Parameters
    ----------
    what : str
        What was measured.
    figure : str
        The figure with its unit.
    target : str
        The target in words; empty if there is none.
    reached : bool, optional
        Whether the target is reached; `None` without a target.
    beside : str
        Figures of other methods, or what else helps to read it.
    """

    what: str
    figure: str
    target: str = ""
    reached: bool | None = None
    beside: str = ""

    @classmethod
    def at_most(cls, what, value, limit, unit="", *, beside=""):
        """
        Make a line of a figure that must not exceed a limit.

        Parameters
        ----------
        what : str
            What was measured.
        value, limit : float
            Figure and limit.
        unit : str
            Their unit.
        beside : str
            What else helps to read it.

        Returns
        -------
        Line
        """
        return cls(
            what, f"{value:.3g} {unit}".strip(), f"<= {limit:g}", bool(value <= limit), beside
        )

    @classmethod
    def at_least(cls, what, value, limit, unit="", *, digits=1, beside=""):
        """
        Make a line of a figure that must reach a limit.

        Parameters
        ----------
        what : str
            What was measured.
        value, limit : float
            Figure and limit.
        unit : str
            Their unit.
        digits : int
            Decimals of the figure.
        beside : str
            What else helps to read it.

        Returns
        -------
        Line
        """
        text = f"{value:.{digits}f} {unit}".strip()
        return cls(what, text, f">= {limit:g}", bool(value >= limit), beside)

    def cells(self):
        """
        Texts of the cells.

        Returns
        -------
        tuple of str
        """
        reached = {None: "", True: "yes", False: "no"}[self.reached]
        return (self.what, self.figure, self.target, reached, self.beside)
