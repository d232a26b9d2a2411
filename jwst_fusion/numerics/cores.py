"""How many processor cores to use, said as the pipeline says it."""

import os

__all__ = ["count_cores"]


def count_cores(maximum_cores):
    """Turn the pipeline's way of saying how many cores to use into a number."""
    available = os.cpu_count() or 1
    named = {"none": 1, "quarter": available // 4, "half": available // 2, "all": available}
    text = str(maximum_cores).lower()
    if text in named:
        return max(1, named[text])
    if text.isdecimal() and int(text) >= 1:
        return min(int(text), available)
    msg = (
        f"maximum_cores must be a positive number, 'none', 'quarter', 'half' or 'all'; got "
        f"{maximum_cores!r}"
    )
    raise ValueError(msg)
