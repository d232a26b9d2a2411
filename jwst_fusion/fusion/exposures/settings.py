"""Settings of the fusion from exposures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwst_fusion.fusion.solver.settings import FusionSettings
from jwst_fusion.fusion.solver.subspace import parse_rank
from jwst_fusion.parameters import check_options, option, same_option

__all__ = ["ExposureSettings"]


@dataclass(frozen=True, kw_only=True)
class ExposureSettings:
    """
    Settings of `~jwst_fusion.fusion.fuse_exposures`.

    Parameters
    ----------
    rank : "auto", int, float or str
        Dimension of the spectral subspace, as in `~jwst_fusion.fusion.FusionSettings`.
    max_rank : int
        Upper limit of the automatic rank, 1 to 200. Wiggles around stars in the quick cube raise
        the automatic rank, and components that are not needed shrink: this limit is mostly reached.
    mu : array (k,), optional
        Weight of the prior per component for basis spectra of unit mean square, only with a rank
        that is a number; that of maximum evidence by default.
    noise_scales : bool
        Fit one factor per exposure and image on the stated errors.
    passes : int
        How often the spectra are fitted to the pixels, 0 to 10.
    outlier_sigma : float or None
        Leave out pixels whose residual exceeds so many standard deviations of the final scene, 4
        or more; None believes all pixels. Before the last fit of the spectra the limit is higher.
    offsets : {"fixed", "fitted"}
        Believe the coordinates of the exposures, or fit an offset on the sky for each: relative to
        the images or, without any, to the first exposure, and to the sources that are given.
    gains : {"fixed", "fitted"}
        Believe the brightness of exposures and images, or fit a factor and a level of the
        background for each, relative to the first exposure.
    rolls : {"fixed", "fitted"}
        Believe the orientation of the exposures, or fit a rotation about the middle of the product
        for those of each attitude of the telescope: relative to the images or, without any, to the
        first ones.
    psf_fit : {"none", "width"}
        Believe the PSFs, or fit their widths together with the scene: a Gaussian for each PSF, by
        which it is wider or narrower. The width that all PSFs share follows from point sources
        alone.
    false_alarms : float
        Expected number of sources in the field that are noise, above 0 to 100, of a search.
    positions : {"fixed", "fitted"}
        Believe the positions of the sources, or fit them, within one fine pixel.
    errors : bool
        Compute the errors of the cube.
    tolerance : float
        Residual, relative to the data, at which a linear solve stops, above 0 to 0.1.
    max_iterations : int
        Upper limit of the iterations of each linear solve, 1 or more.

    Raises
    ------
    ValueError
        If one of them is not allowed; the message names it.
    """

    rank: str | int | float = same_option(FusionSettings, "rank")
    max_rank: int = same_option(FusionSettings, "max_rank", default=10)
    mu: tuple | None = option(
        None,
        "Regularisation, one value per component; that of maximum evidence by default",
        kind="force_list",
        low=0.0,
        closed=False,
    )
    noise_scales: bool = option(True, "Fit the noise of each exposure and image")
    passes: int = option(2, "How often spectra are fitted to the pixels", low=0, high=10)
    outlier_sigma: float | None = option(
        6.0,
        "Leave out pixels beyond this many sigma",
        low=4.0,
        beside=(None, "believe all data"),
    )
    offsets: str = option(
        "fixed",
        "Believe the coordinates of the exposures, or fit an offset for each",
        choices=("fixed", "fitted"),
    )
    gains: str = option(
        "fixed",
        "Believe the brightness of exposures and images, or fit a factor and a level for each",
        choices=("fixed", "fitted"),
    )
    rolls: str = option(
        "fixed",
        "Believe the orientation of the exposures, or fit a rotation for each attitude",
        choices=("fixed", "fitted"),
    )
    psf_fit: str = option(
        "width",
        "Fit the widths of the PSFs together with the scene, or believe the PSFs",
        choices=("none", "width"),
    )
    false_alarms: float = same_option(FusionSettings, "false_alarms")
    positions: str = option(
        "fitted",
        "Believe the positions of the sources, or fit them",
        choices=("fixed", "fitted"),
    )
    errors: bool = same_option(FusionSettings, "errors")
    tolerance: float = option(
        1e-3, "Relative residual of the linear solves", low=0.0, high=0.1, closed=False
    )
    max_iterations: int = option(20, "Largest number of their iterations", low=1)

    def __post_init__(self):
        check_options(self)
        rank = parse_rank(self.rank)
        if self.mu is not None:
            mu = np.asarray(self.mu, float)
            if not isinstance(rank, int) or mu.shape != (rank,) or not np.all(mu > 0):
                msg = (
                    "mu needs one value above 0 for each component, whose number is given as "
                    f"rank; got mu={self.mu!r} and rank={self.rank!r}"
                )
                raise ValueError(msg)
