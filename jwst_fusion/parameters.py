"""Options declared once: what a step's spec, a check, a signature and a table of options say."""

import dataclasses
import math
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

import numpy as np

__all__ = [
    "Option",
    "check_options",
    "check_range",
    "numbers",
    "option",
    "options_of",
    "parts",
    "rank_of",
    "same_option",
    "spec_of",
    "whole",
]

# Types of the specification language of stpipe's parameters (ConfigObj's validator).
_KINDS = {bool: "boolean", int: "integer", float: "float", str: "string"}


@dataclass(frozen=True)
class Option:
    """
    What one option is, beside its name and default, which are those of the field it belongs to.

    Parameters
    ----------
    text : str
        What it does, in one sentence: the help text of ``strun``.
    kind : str
        Its type in a step's spec: boolean, integer, float, string, force_list or option.
    choices : tuple of str
        The words that are allowed, of an option that is one of several words.
    low, high : float or None
        The range of a number; None where it is not bounded, or where the range is not all there
        is to check.
    closed : bool
        Whether `low` itself is allowed.
    unit : str
        Unit, or empty.
    """

    text: str
    kind: str
    choices: tuple = ()
    low: float | None = None
    high: float | None = None
    closed: bool = True
    unit: str = ""


def option(default, text, *, kind=None, choices=(), low=None, high=None, closed=True, unit=""):
    """
    Declare an option as the field of a dataclass.

    Parameters
    ----------
    default : object
        Its default.
    text : str
        What it does, in one sentence.
    kind : str, optional
        Its type in a step's spec, see `Option`; by default it follows from the choices or the type
        of the default value.
    choices : sequence of str
        The words that are allowed, of an option that is one of several words.
    low, high : float, optional
        The range of a number; not bounded by default.
    closed : bool
        Whether `low` itself is allowed.
    unit : str
        Unit, or empty.

    Returns
    -------
    `~dataclasses.Field`
        The field; `options_of` finds what it declares.

    Raises
    ------
    TypeError
        If the kind must be given because the default does not tell.
    """
    if kind is None:
        kind = "option" if choices else _KINDS.get(type(default))
    if kind is None:
        msg = f"the kind of an option with the default {default!r} must be given"
        raise TypeError(msg)
    declared = Option(text, kind, tuple(choices), low, high, closed, unit)
    return dataclasses.field(default=default, metadata={"option": declared})


def same_option(owner, name, **changes):
    """
    Declare an option that another dataclass has declared, with the same default and meaning.

    Parameters
    ----------
    owner : type
        The dataclass.
    name : str
        Its field.
    **changes
        What differs: ``default``, or anything that `Option` has.

    Returns
    -------
    `~dataclasses.Field`
        The field.
    """
    field = owner.__dataclass_fields__[name]
    default = changes.pop("default", field.default)
    declared = dataclasses.replace(field.metadata["option"], **changes)
    return dataclasses.field(default=default, metadata={"option": declared})


def options_of(owner):
    """
    Return the options that a dataclass declares.

    Parameters
    ----------
    owner : type or object
        The dataclass, or an instance of it.

    Returns
    -------
    dict of str to Option
        By name, in the order in which they are declared.
    """
    fields = dataclasses.fields(owner)
    return {one.name: one.metadata["option"] for one in fields if "option" in one.metadata}


def spec_of(owner):
    """
    Return the specification of a step's parameters.

    Parameters
    ----------
    owner : type
        The dataclass that declares them.

    Returns
    -------
    str
        One line an option, as stpipe reads it: type, default, unit and text.
    """
    lines = []
    for name, one in options_of(owner).items():
        default = owner.__dataclass_fields__[name].default
        default = None if default == () else default
        arguments = [repr(word) for word in one.choices]
        arguments.append(f"default={default!r}")
        unit = f"[{one.unit}] " if one.unit else ""
        lines.append(f"    {name} = {one.kind}({', '.join(arguments)}) # {unit}{one.text}")
    return "\n" + "\n".join(lines) + "\n"


def check_options(settings):
    """
    Check options against the words and ranges that their declarations allow.

    Parameters
    ----------
    settings : object
        Instance of a dataclass that declares them.

    Raises
    ------
    ValueError
        If one is not allowed; the message says what is.
    """
    for name, one in options_of(settings).items():
        value = getattr(settings, name)
        if one.choices and value not in one.choices:
            msg = f"{name} is {value!r}: expected one of {', '.join(one.choices)}"
            raise ValueError(msg)
        if one.kind == "boolean" and not isinstance(value, (bool, np.bool_)):
            msg = f"{name} is {value!r}: expected True or False"
            raise ValueError(msg)
        if one.low is not None and isinstance(value, Real):
            high = math.inf if one.high is None else one.high
            check_range(name, value, one.low, high, one.closed)


def parts(value):
    """
    Return the parts of a list, which may be one text with commas, as text.

    Parameters
    ----------
    value : str, path-like, sequence or None
        Text with commas, or items, each of which may have commas as well.

    Returns
    -------
    tuple of str or None
        The parts, without blanks around them or empty ones; None for None.
    """
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
        If they are not numbers.
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
    """
    Return a number of components, or the part of the variance that they are to explain.

    Parameters
    ----------
    value : str, int or float
        A whole number from 1 to 200, a part between 0 and 1 (exclusive), or "auto".

    Returns
    -------
    int, float or "auto"
        The number, the part, or "auto".

    Raises
    ------
    ValueError
        If it is none of these.
    """
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
