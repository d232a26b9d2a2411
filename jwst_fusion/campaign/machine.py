"""How many workers a machine has room for."""

import os

from jwst_fusion.numerics.cores import count_cores

__all__ = ["choose_workers", "free_cores", "machine_memory"]

#: Part of the memory that workers may take; the rest is for the system, and for who started them.
_SHARE = 0.9


def machine_memory():
    """
    Return the memory of this machine, or of the container that this process runs in.

    Returns
    -------
    float
        GB; infinity if the system does not tell.
    """
    try:
        from distributed.system import MEMORY_LIMIT
    except ImportError:
        pass
    else:
        return MEMORY_LIMIT / 1e9
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError, AttributeError):
        return float("inf")


def free_cores():
    """
    Return the cores that this process may use.

    Returns
    -------
    int
        At least 1.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return count_cores("all")


def choose_workers(needs, wanted=None):
    """
    Choose how many workers a machine gets, and the memory of each.

    Parameters
    ----------
    needs : sequence of float
        Memory of each task, GB.
    wanted : int, optional
        Workers that were asked for; by default one for each core, fewer if there are fewer tasks
        or the largest task would not fit.

    Returns
    -------
    workers : int
        Their number.
    memory : float
        GB for each.

    Raises
    ------
    ValueError
        If `wanted` is not positive.
    """
    if wanted is not None and wanted < 1:
        msg = f"--workers is {wanted}: it must be 1 or more"
        raise ValueError(msg)
    room = _SHARE * machine_memory()
    workers = wanted
    if workers is None:
        fitting = room / max(max(needs, default=0.0), 1e-3)
        workers = int(max(1, min(free_cores(), len(needs) or 1, fitting)))
    return workers, room / workers
