"""Fuse prepared data with the parameters of the step, within the memory that they allow."""

import logging

import numpy as np

from jwst_fusion.hifred.engine import fuse
from jwst_fusion.hifred.memory import check_hifred_memory
from jwst_fusion.messages import warn

__all__ = ["fuse_data"]

log = logging.getLogger(__name__)

# Offsets are told if they exceed this significance, and these parts of a pixel and a channel of X.
_SIGMA, _PIXEL, _CHANNEL = 5.0, 0.2, 0.1


def fuse_data(data, options):
    """
    Fuse two observations as the options say.

    Parameters
    ----------
    data : `~jwst_fusion.hifred.data.HifredData`
        The observations, with Poisson noise if they have no standard deviations.
    options : `~jwst_fusion.hifred.options.HifredOptions`
        The parameters.

    Returns
    -------
    `~jwst_fusion.hifred.solver.result.HifredResult`
        The fused cube (L, M, N) and how it was found.

    Raises
    ------
    ValueError
        If more memory is needed than is allowed, or the solver refuses a parameter.
    """
    check_hifred_memory(data, options)
    shape = data.response_x.shape
    log.info(
        "Fusing %s %s and %s %s into %s (channel, y, x), %s, regularisation %s",
        data.names[0],
        data.x.shape,
        data.names[1],
        data.y.shape,
        shape,
        "Poisson" if data.sigma_x is None else "Gaussian",
        options.regularisation,
    )
    for note in data.notes:
        log.info("%s", note)
    for one in data.more:
        log.info("with %s %s as %s", one.name, one.data.shape, one.label)
    _tell_offsets(data)
    gaussian = data.sigma_x is not None
    cubes = data.x, data.y, data.response_x, data.response_y
    if data.more:
        cubes = _lists(data)
    return fuse(
        *cubes,
        options.solver(likelihood="gaussian" if gaussian else "poisson"),
        variance_x=data.sigma_x**2 if gaussian else None,
        variance_y=data.sigma_y**2 if gaussian else None,
        start=options.start,
        checkpoint=options.checkpoint,
    )


def _lists(data):
    """Cubes X and Y and their responses, each as a list."""
    xs, ys = ([one for one in data.more if one.sharp == kind] for kind in (True, False))
    return (
        [data.x, *(one.data for one in xs)],
        [data.y, *(one.data for one in ys)],
        [data.response_x, *(one.response for one in xs)],
        [data.response_y, *(one.response for one in ys)],
    )


def _tell_offsets(data):
    """Warn of offsets between the two observations that would blur what is made of them."""
    found = data.offsets
    size = np.hypot(found.x[0], found.y[0])
    error = np.hypot(found.x[1], found.y[1])
    if size > _PIXEL and size > _SIGMA * error:
        warn(
            log,
            "%s lies %+.2f +- %.2f, %+.2f +- %.2f pixels of %s along x and y from where that is: "
            "correct the WCS of one of them, or the centre of the PSF (psf_centre)",
            data.names[1],
            *found.x,
            *found.y,
            data.names[0],
        )
    step = float(np.median(np.diff(data.edges[0])))
    if abs(found.gain[0]) > max(_CHANNEL * step, _SIGMA * found.gain[1]):
        what, unit = ("energies", "eV") if data.sigma_x is None else ("wavelengths", "nm")
        warn(
            log,
            "the %s of %s lie %+.3g +- %.2g %s above those of %s: correct those of one of them, or "
            "look at the response of the first",
            what,
            data.names[0],
            *(1e3 * one for one in found.gain),
            unit,
            data.names[1],
        )
