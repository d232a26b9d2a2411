"""Estimate the memory that a fusion from exposures needs, before it begins."""

__all__ = ["estimate_exposure_memory"]

# Measured on one to four exposures of NIRSpec with fields of 1 to 4 arcsec: bytes per pixel of the
# exposures within the product (coordinates, taps, sums of products), of a pixel beyond it
# (coordinates), of a voxel of the product in single precision beside cube and errors, and of a
# frequency of the domain for each pair of components.
_PIXEL, _BEYOND, _VOXEL, _PAIR = 260, 90, 12, 40
_PROGRAM = 0.8e9  # bytes: interpreter, libraries, PSFs


def estimate_exposure_memory(pixels, beyond, channels, shape, domain, *, rank, errors=True):
    """
    Estimate the memory that `~jwst_fusion.fusion.fuse_exposures` takes, with its input.

    Parameters
    ----------
    pixels, beyond : int
        Pixels of all exposures within field and channels, and beyond.
    channels : int
        Channels of the product, L.
    shape, domain : tuple of int
        Fine pixels (rows, columns) of the product, and of the domain with the reach of the PSFs.
    rank : int
        Components, k; for an automatic rank, the largest that is allowed.
    errors : bool, optional
        Whether errors are computed.

    Returns
    -------
    float
        Bytes.
    """
    voxels = channels * shape[0] * shape[1]
    cubes = voxels * ((8 if errors else 4) + _VOXEL)
    maps = domain[0] * domain[1] * rank**2 * _PAIR
    return float(_PROGRAM + pixels * _PIXEL + beyond * _BEYOND + cubes + maps)
