"""Number of processor cores to use, said as the pipeline says it."""

import os

__all__ = ["count_cores"]


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
    shares = {"none": 1, "quarter": available // 4, "half": available // 2, "all": available}
    if text not in shares and not (text.isdecimal() and int(text) >= 1):
        msg = (
            f"maximum_cores is {maximum_cores!r}: expected a whole number from 1 on, 'none', "
            "'quarter', 'half' or 'all'"
        )
        raise ValueError(msg)
    return min(max(shares[text] if text in shares else int(text), 1), available)
