"""Estimate the memory that a fusion needs, before it begins."""

from __future__ import annotations

__all__ = ["estimate_fusion_memory"]

_RING = 5  # spaxels that the periodic domain adds along each axis, typically
_SLABS = 80e6  # bytes of temporary slabs and blocks, whatever the field
_CUBES = 7  # arrays of the size of the input cube, double precision, while outliers are sought
_DOUBLE_LIMIT = 1.5e9  # bytes of blocks above which `BlockSystem` keeps them in single precision


def estimate_fusion_memory(channels, shape, factor, *, filters, nodes, rank, errors=True):
    """Estimate the memory that `~jwst_fusion.fusion.engine.fuse` takes beside its input.

    Parameters
    ----------
    channels : int
        Channels of the cube, L.
    shape : tuple of int
        Spaxels (rows, columns) of the cube, margin included.
    factor : int
        Fine pixels per spaxel, d.
    filters : int
        Images, F.
    nodes : int
        Wavelengths of the PSFs, R.
    rank : int
        Components, k; for an automatic rank, the largest that is allowed.
    errors : bool
        Whether errors are computed.

    Returns
    -------
    float
        Bytes; within 30 per cent of what is measured for fields of 1 to 9 arcsec.
    """
    spaxels = shape[0] * shape[1]
    pixels = spaxels * factor**2
    rows, columns = (size + _RING for size in shape)
    groups, aliases = rows * (columns // 2 + 1), factor**2
    size = aliases * rank
    double = 16 * groups * size**2
    blocks = double if double <= _DOUBLE_LIMIT else double / 2
    blocks += 8 * groups * size**2  # preconditioner
    transfer = 16 * groups * aliases * (nodes + filters * rank)
    # Rows of the compressed cube are fewer than nodes times components.
    compressed = min(nodes, 6) * rank
    maps = 8 * rows * columns * aliases * (4 * compressed + 4 * filters + 10 * rank)
    # Data and model of the cube, and its residuals in search of lines.
    cubes = channels * (4 * (2 if errors else 1) * pixels + 40 * spaxels)
    front = 8 * _CUBES * channels * spaxels
    return float(max(front, cubes + blocks + transfer + maps) + _SLABS)
