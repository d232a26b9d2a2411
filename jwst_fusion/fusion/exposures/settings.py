"""Settings of the fusion from exposures."""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.fusion.solver.subspace import LARGEST_RANK, parse_rank

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
    mu : array (k,) or None
        Weight of the prior per component for basis spectra of unit mean square, only with a rank
        that is a number; None for that of maximum evidence.
    noise_scales : bool
        Fit one factor per exposure and image on the stated errors.
    passes : int
        How often the spectra are fitted to the pixels, 0 to 10.
    outlier_sigma : float or None
        Leave out pixels whose residual exceeds so many standard deviations of the final scene, 4
        or more; None believes all pixels. Before the spectra fit, the limit is higher.
    offsets : {"fixed", "fitted"}
        Believe the coordinates of the exposures, or fit an offset on the sky for each: relative to
        the images or, without any, to the first exposure, and to the sources that are given.
    gains : {"fixed", "fitted"}
        Believe the brightness of the images, or fit a factor and a level of the background for each
        relative to the exposures.
    errors : bool
        Compute the errors of the cube.
    tolerance : float
        Relative residual at which a linear solve stops, above 0 to 0.1.
    max_iterations : int
        Upper limit of the iterations of each linear solve, 1 or more.

    Raises
    ------
    ValueError
        If one of them is not allowed; the message names it.
    """

    rank: object = "auto"
    max_rank: int = 10
    mu: object = None
    noise_scales: bool = True
    passes: int = 2
    outlier_sigma: float | None = 6.0
    offsets: str = "fixed"
    gains: str = "fixed"
    errors: bool = True
    tolerance: float = 1e-3
    max_iterations: int = 20

    def __post_init__(self):
        rank = parse_rank(self.rank)
        _check("max_rank", self.max_rank, 1, LARGEST_RANK, whole=True)
        _check("passes", self.passes, 0, 10, whole=True)
        _check("max_iterations", self.max_iterations, 1, np.inf, whole=True)
        for name in ("offsets", "gains"):
            if getattr(self, name) not in ("fixed", "fitted"):
                msg = f"{name} must be 'fixed' or 'fitted', got {getattr(self, name)!r}"
                raise ValueError(msg)
        if not 0 < self.tolerance <= 0.1:
            msg = f"tolerance must lie above 0 and not above 0.1, got {self.tolerance!r}"
            raise ValueError(msg)
        if self.outlier_sigma is not None and not self.outlier_sigma >= 4:
            msg = f"outlier_sigma must be None or at least 4, got {self.outlier_sigma!r}"
            raise ValueError(msg)
        if self.mu is not None:
            mu = np.asarray(self.mu, float)
            if not isinstance(rank, int) or mu.shape != (rank,) or not np.all(mu > 0):
                msg = (
                    f"mu needs one positive weight for each of the components, whose number must "
                    f"be given as rank; got {self.mu!r} and rank = {self.rank!r}"
                )
                raise ValueError(msg)


def _check(name, value, low, high, *, whole):
    if not low <= value <= high or (whole and value != int(value)):
        limit = f"from {low} to {high}" if np.isfinite(high) else f"of at least {low}"
        msg = f"{name} must be a whole number {limit}, got {value!r}"
        raise ValueError(msg)
