"""Small pairs of X-ray cubes with a known fault, for reports that show what it looks like."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from jwst_fusion.simulation.xray import SETUPS, xray_pair
from jwst_fusion.simulation.xray_files import write_xray_pair
from jwst_fusion.simulation.xray_responses import gaussian_kernel, rebinned_rows, round_psf

__all__ = ["PAIR_FAULTS", "simulate_pair_fault"]

#: What can be wrong: nothing; the file of the PSF of Y, whose real one is narrower; the place of X,
#: which is off by a pixel; the exposure time of Y; the redistribution matrix of X.
PAIR_FAULTS = ("none", "psf", "offset", "exposure", "response")

_PSF = 30.0  # arcsec, sigma of the wrong PSF
_EXPOSURE = 1.3  # factor on the exposure time
_LINE = 40.0  # eV, sigma of the wrong spectral response


def simulate_pair_fault(folder, fault="none", *, seed=1, **changes):
    """
    Simulate a pair of count cubes of a supernova remnant, one thing about them being wrong.

    Parameters
    ----------
    folder : str or pathlib.Path
        Where to write; made if absent.
    fault : {"none", "psf", "offset", "exposure", "response"}
        See `PAIR_FAULTS`.
    seed : int, optional
        Seed of scene and noise.
    **changes
        Attributes of the set-up "small" to change, see `~jwst_fusion.simulation.xray.xray_pair`.

    Returns
    -------
    pathlib.Path
        Association of cubes and responses.

    Raises
    ------
    ValueError
        If the fault is unknown.
    """
    if fault not in PAIR_FAULTS:
        msg = f"fault is {fault!r}: allowed are {', '.join(PAIR_FAULTS)}"
        raise ValueError(msg)
    setup = replace(SETUPS["small"], **changes)
    pair = xray_pair(setup, seed=seed)
    if fault == "psf":
        pair = replace(pair, psf_y=round_psf(_PSF))
    elif fault == "offset":
        pair = replace(pair, x=np.roll(pair.x, 1, axis=2))
    elif fault == "exposure":
        pair = replace(pair, exposure_y=_EXPOSURE * pair.exposure_y)
    elif fault == "response":
        step = (setup.energies[1] - setup.energies[0]) / setup.fine
        kernel = gaussian_kernel(1e-3 * _LINE / step, 4.0, setup.fine)
        pair = replace(pair, rmf_x=rebinned_rows(kernel, setup.fine, setup.coarse))
    return write_xray_pair(pair, Path(folder), name=f"fault_{fault}")
