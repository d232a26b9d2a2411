"""Options declared once: what a step's spec, a check, a signature and a table of options say."""

import dataclasses
import math
import operator
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

import numpy as np

__all__ = [
    "Option",
    "allowed_range",
    "check_options",
    "number_or_auto",
    "numbers",
    "numbers_as_text",
    "option",
    "options_of",
    "parts",
    "same_option",
    "settings_of",
    "spec_of",
]

# Limits from this on only keep nonsense out; help texts and tables leave them out.
_UNLIMITED = 1e12
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
        The range of a number; None where it is not bounded.
    closed : bool
        Whether `low` itself is allowed.
    unit : str
        Unit, or empty.
    words : tuple of str
        The words that stand for a number, of an option of kind string that may be a number, too.
    beside : tuple
        A value that is allowed beside the range, and what it means; or empty.
    """

    text: str
    kind: str
    choices: tuple = ()
    low: float | None = None
    high: float | None = None
    closed: bool = True
    unit: str = ""
    words: tuple = ()
    beside: tuple = ()


def option(
    default,
    text,
    *,
    kind=None,
    choices=(),
    low=None,
    high=None,
    closed=True,
    unit="",
    words=(),
    beside=(),
):
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
    words : sequence of str
        The words that stand for a number, of an option of kind string that may be a number, too.
    beside : tuple
        A value that is allowed beside the range, and what it means; or empty.

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
    declared = Option(
        text, kind, tuple(choices), low, high, closed, unit, tuple(words), tuple(beside)
    )
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


def settings_of(options, kind, **defaults):
    """
    Return the settings that a function is given as ``options``, or the defaults.

    Parameters
    ----------
    options : object or None
        What the caller gave.
    kind : type
        The dataclass of the settings.
    **defaults
        Settings that differ from the defaults of `kind` where the caller gave none.

    Returns
    -------
    object
        Instance of `kind`.

    Raises
    ------
    TypeError
        If the caller gave something else.
    """
    if options is None:
        return kind(**defaults)
    if not isinstance(options, kind):
        msg = f"options must be {kind.__name__}(...), got {type(options).__name__}"
        raise TypeError(msg)
    return options


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


def spec_of(*owners):
    """
    Return the specification of a step's parameters.

    Parameters
    ----------
    *owners : type
        The dataclasses that declare them.

    Returns
    -------
    str
        One line an option, as stpipe reads it: type, default, unit, text and range.
    """
    lines = []
    declared = [(kind, *item) for kind in owners for item in options_of(kind).items()]
    for owner, name, one in declared:
        default = owner.__dataclass_fields__[name].default
        default = None if default == () else default
        arguments = [repr(word) for word in one.choices]
        arguments.append(f"default={default!r}")
        unit = f"[{one.unit}] " if one.unit else ""
        allowed = allowed_range(one)
        allowed = f" ({allowed})" if allowed else ""
        text = f"{unit}{one.text}{allowed}"
        lines.append(f"    {name} = {one.kind}({', '.join(arguments)}) # {text}")
    return "\n" + "\n".join(lines) + "\n"


def allowed_range(one):
    """
    Say within which range a number is allowed.

    Parameters
    ----------
    one : Option
        What is declared of it.

    Returns
    -------
    str
        As "0.1 to 60", "above 0 to 2", "3 or more", "above 0", with what is allowed beside it;
        empty if the number has no range.
    """
    if one.low is None:
        return ""
    low = _short(one.low)
    if one.high is None or one.high >= _UNLIMITED:
        text = f"{low} or more" if one.closed else f"above {low}"
    else:
        text = f"{low if one.closed else f'above {low}'} to {_short(one.high)}"
    if one.beside:
        value, meaning = one.beside
        text += f"; {_short(value)}: {meaning}"
    return text


def numbers_as_text(owner, parameters):
    """
    Turn parameters that may be a number or a word into text, as the specification has them.

    Parameters
    ----------
    owner : type
        The dataclass that declares them.
    parameters : dict
        Values of parameters by name.

    Returns
    -------
    dict
        The same with numbers as text where a word is allowed.
    """
    declared = options_of(owner)
    names = {name for name, one in declared.items() if one.words}
    return {
        key: str(value) if key in names and value is not None else value
        for key, value in parameters.items()
    }


def check_options(settings):
    """
    Check options against the types, words and ranges that their declarations allow.

    What a text or a list stands for is left to those who read it.

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
        default = settings.__dataclass_fields__[name].default
        if value is None and (default is None or None in one.beside[:1]):
            continue
        if one.choices:
            if not (isinstance(value, str) and value in one.choices):
                msg = f"{name} is {value!r}: expected one of {', '.join(one.choices)}"
                raise ValueError(msg)
        elif one.kind == "boolean":
            if not isinstance(value, (bool, np.bool_)):
                msg = f"{name} is {value!r}: expected True or False"
                raise ValueError(msg)
        elif one.kind in ("integer", "float"):
            _check_number(name, value, one)


def _check_number(name, value, one):
    """Refuse what is no number, or one that is not finite or out of its range."""
    whole = one.kind == "integer"
    good = _is_whole(value) if whole else isinstance(value, Real) and not isinstance(value, bool)
    if good and (_within(value, one) or (one.beside and value == one.beside[0])):
        return
    # A number as it is written, not with the name of its type.
    given = value if isinstance(value, Real) else repr(value)
    if one.low is None:
        msg = f"{name} is {given}: expected a finite number"
    elif whole:
        msg = f"{name} is {given}: expected a whole number{_limits(one)}"
    else:
        msg = f"{name} is {given}: expected a number{_limits(one)}"
    if one.beside:
        msg += f", or {_short(one.beside[0])}"
    raise ValueError(msg)


def _is_whole(value):
    try:
        operator.index(value)
    except TypeError:
        return False
    return not isinstance(value, bool)


def _within(value, one):
    if not math.isfinite(value):
        return False
    above = one.low is None or (value >= one.low if one.closed else value > one.low)
    return bool(above and (one.high is None or value <= one.high))


def _limits(one):
    """Range for a message, after "expected a number"."""
    text = f" {'from' if one.closed else 'above'} {_short(one.low)}"
    return text if one.high is None else f"{text} to {_short(one.high)}"


def _short(number):
    return str(number) if number is None or isinstance(number, int) else f"{number:g}"


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


def number_or_auto(name, value, one, *, whole=False):
    """
    Return a number within the range of an option, or "auto".

    Parameters
    ----------
    name : str
        Name of the parameter, for the message.
    value : str, int or float
        Its value; a number may be given as text.
    one : Option
        What is declared of it.
    whole : bool
        Whether the number must be whole.

    Returns
    -------
    int, float or str
        The number, an int if it must be whole; or "auto".

    Raises
    ------
    ValueError
        If it is neither.
    """
    if isinstance(value, str) and value == "auto":
        return value
    try:
        number = float(value)
        good = _within(number, one) and not (whole and number != int(number))
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good or isinstance(value, (bool, np.bool_)):
        msg = f"{name} is {value!r}: expected 'auto' or a number{_limits(one)}"
        if whole:
            msg = (
                f"{name} is {value!r}: expected 'auto' or a whole number from {one.low} to "
                f"{one.high}"
            )
        raise ValueError(msg)
    return int(number) if whole else number
