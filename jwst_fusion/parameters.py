"""Values of parameters that come as text or as numbers: read, and checked against a range."""

import math
from numbers import Real
from pathlib import Path

__all__ = ["check_range", "numbers", "parts", "rank_of", "whole"]


def parts(value):
    """Return what is separated by commas, or the items of a list, as text; None for nothing."""
    if value is None:
        return None
    items = [value] if isinstance(value, (str, Path)) else value
    return tuple(part.strip() for item in items for part in str(item).split(",") if part.strip())


def numbers(name, value):
    """
    Return one number, or several that are separated by commas or the items of a list.

    Parameters
    ----------
    name : str
        Name of the parameter, for the message.
    value : float, str, sequence or None
        Its value.

    Returns
    -------
    float, tuple of float or None
        The number, or several of them; None for nothing.

    Raises
    ------
    ValueError
        If they are no numbers.
    """
    found = parts([value] if isinstance(value, Real) else value)
    if not found:
        return None
    try:
        values = tuple(float(part.strip("()[]")) for part in found)
    except ValueError as error:
        msg = f"{name} is {value!r}: expected a number, or several separated by commas"
        raise ValueError(msg) from error
    return values if len(values) > 1 else values[0]


def check_range(name, value, low, high, closed):
    """
    Check that a number is finite and within a range.

    Parameters
    ----------
    name : str
        Name of the parameter, for the message.
    value : float or None
        The number; None passes.
    low, high : float
        The range; `high` may be infinite and is itself allowed.
    closed : bool
        Whether `low` itself is allowed.

    Raises
    ------
    ValueError
        If it is not.
    """
    if value is None:
        return
    above = value >= low if closed else value > low
    if not (math.isfinite(value) and above and value <= high):
        msg = f"{name} is {value}: expected a number {'from' if closed else 'above'} {low}"
        if math.isfinite(high):
            msg += f" to {high}"
        raise ValueError(msg)


def rank_of(value):
    """Return a number of components, "auto", or the part of the variance to explain as a float."""
    try:
        part = float(value)
    except (TypeError, ValueError):
        part = math.nan
    return part if 0 < part < 1 else whole("rank", value, 1, 200)


def whole(name, value, low, high):
    """
    Return a whole number from `low` to `high`, or "auto".

    Parameters
    ----------
    name : str
        Name of the parameter, for the message.
    value : str or int
        Its value.
    low, high : int
        Smallest and largest number.

    Returns
    -------
    int or str
        The number, or "auto".

    Raises
    ------
    ValueError
        If it is neither.
    """
    if value == "auto":
        return value
    try:
        number = int(value)
        good = low <= number <= high and float(value) == number
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        msg = f"{name} is {value!r}: expected 'auto' or a whole number from {low} to {high}"
        raise ValueError(msg)
    return number
