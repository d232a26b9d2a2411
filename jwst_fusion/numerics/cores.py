"""Number of processor cores to use, said as the pipeline says it."""

import os

__all__ = ["SHARES", "count_cores"]

#: Shares of the machine's cores, by the words that the pipeline has for them; "none" is one core.
SHARES = {"none": 0.0, "quarter": 0.25, "half": 0.5, "all": 1.0}


def count_cores(maximum_cores):
    """
    Translate the parameter ``maximum_cores`` of a step.

    Parameters
    ----------
    maximum_cores : str or int
        A whole number, 'none' (1), 'quarter', 'half' or 'all' of the cores.

    Returns
    -------
    int
        Number of cores, at least 1 and at most those of the machine.

    Raises
    ------
    ValueError
        If the value is none of these.
    """
    available = os.cpu_count() or 1
    text = str(maximum_cores).strip().lower()
    if text not in SHARES and not (text.isdecimal() and int(text) >= 1):
        msg = (
            f"maximum_cores is {maximum_cores!r}: expected a whole number from 1 on, 'none', "
            "'quarter', 'half' or 'all'"
        )
        raise ValueError(msg)
    return min(max(int(available * SHARES[text]) if text in SHARES else int(text), 1), available)
