"""How much memory a fusion of two hyperspectral cubes needs, before it begins."""

import numpy as np

__all__ = ["check_hifred_memory", "estimate_hifred_memory"]

# Bytes per voxel of result and data, with and without a low rank, and per starlet coefficient,
# measured on set-ups of 1 to 15 million voxels.
_LOW_RANK = 80
_FULL = 110
_COEFFICIENT = 26
_COMPONENTS = 25  # of an automatic rank
_CURVATURE = 24.0  # bytes per pixel and square of the rank: three matrices in double precision


def estimate_hifred_memory(data, options):
    """
    Estimate the memory that a solution takes.

    Parameters
    ----------
    data : `~jwst_fusion.hifred.data.HifredData`
        The observations.
    options : `~jwst_fusion.hifred.options.HifredOptions`
        The parameters.

    Returns
    -------
    float
        Bytes; up to twice what is measured.
    """
    voxels = float(np.prod(data.response_x.shape))
    total = voxels + data.x.size + data.y.size + sum(one.data.size for one in data.more)
    full = options.regularisation in ("wavelet_2d1d", "none")
    need = total * (_FULL if full else _LOW_RANK)
    if options.regularisation == "wavelet_2d1d":
        need += _COEFFICIENT * voxels * (options.scales_space + 1) * (options.scales_energy + 1)
    rank = _COMPONENTS if options.rank == "auto" else options.rank
    need += _CURVATURE * rank**2 * np.prod(data.response_x.shape[1:])
    # of further observations, one matrix for each of their pixels
    return need + sum(_CURVATURE / 3 * rank**2 * one.data[0].size for one in data.more)


def check_hifred_memory(data, options):
    """
    Refuse a fusion that needs more memory than is allowed.

    Parameters
    ----------
    data : `~jwst_fusion.hifred.data.HifredData`
        The observations.
    options : `~jwst_fusion.hifred.options.HifredOptions`
        The parameters, ``memory_limit`` (GB) among them.

    Raises
    ------
    ValueError
        If it is so; the message says how much is needed and what to change.
    """
    need = estimate_hifred_memory(data, options) / 1e9
    if need > options.memory_limit:
        shape = data.response_x.shape
        msg = (
            f"a result of {shape[0]} x {shape[1]} x {shape[2]} voxels needs about {need:.3g} GB of "
            f"memory, more than memory_limit = {options.memory_limit:g} GB: raise it, take a "
            "smaller field or fewer channels (energy_min, energy_max, wave_min, wave_max), or a "
            "low-rank regularisation"
        )
        raise ValueError(msg)
