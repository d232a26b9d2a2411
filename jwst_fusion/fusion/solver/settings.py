"""Settings of the fusion's solver: rank, regularisation, outliers, accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwst_fusion.fusion.solver.exponents import LARGEST_EXPONENT, SMALLEST_EXPONENT
from jwst_fusion.fusion.solver.subspace import LARGEST_RANK, MAX_RANK, parse_rank
from jwst_fusion.parameters import check_options, number_or_auto, option, options_of

__all__ = ["FusionSettings"]


@dataclass(frozen=True, kw_only=True)
class FusionSettings:
    r"""Settings of `~jwst_fusion.fusion.engine.fuse`.

    Parameters
    ----------
    rank : "auto", int, float or str
        Dimension of the spectral subspace, 1 to 200; or the fraction of the signal's variance that
        it is to explain, as 0.999 or "explained:0.999".
    max_rank : int
        Upper limit of the automatic rank, 1 to 200.
    tuning : {"evidence", "syfu", "manual"}
        Hyperparameters by maximum evidence with a weight and an exponent of the prior per
        component; by the automatic rule of Marquis et al. 2026, appendix B; or as given by `mu` and
        `gamma`.
    mu : float or array (k,), optional
        Weight of the prior, one for all components or one for each, for noise-whitened data; needed
        by, and only allowed with, "manual".
    gamma : float, optional
        Extra weight on the cube, 1 by default; only allowed with "manual".
    noise_scales : bool
        With "evidence", also fit one factor per instrument on the errors, which protects against
        wrong error arrays, correlated noise and imperfect registration.
    regularisation : {"auto", "sobolev", "edge_preserving", "edge_weighted", "wavelet", "none"}
        Penalise :math:`|D|^s z`; or gradients, less where the maps of all components together have
        edges, see `~jwst_fusion.fusion.solver.edges.shared_edges`, not with "syfu"; or less where
        the images have edges (Guilloteau et al. 2022); or the absolute values of starlet
        coefficients, see `~jwst_fusion.fusion.solver.proximal.solve_sparse`, where errors, weights
        and noise scales are those of the gradient that it begins with; or nothing, but for a trace
        of the gradient that makes the solution unique. With "auto" it is "edge_preserving" for the
        tuning "evidence", the boundary "free" and an exponent that is not given, else "sobolev".
    exponent : "auto" or float
        Exponent s of "sobolev", 0.5 to 3; 1 is the gradient, higher values suit smoother scenes.
        With "auto" and "evidence" that of each component is fitted, see
        `~jwst_fusion.fusion.solver.exponents.exponent_step`; with another tuning it is 1.
    nonnegative : bool
        Keep the scene at the imager's resolution from being negative, see
        `~jwst_fusion.fusion.solver.nonnegative.solve_nonnegative`; the errors do not know of it.
        Not for background-subtracted data, and not with "wavelet".
    sources : {"auto", "given", "none"}
        Point sources with spectra of their own, which the prior of the diffuse scene does not see:
        those found in the images, those of `FusionData.sources`, or none. Not with the boundary
        "mirror" or with "syfu", which have none.
    false_alarms : float
        Expected number of sources in the field that are noise, above 0 to 100.
    psf_fit : {"none", "width"}
        Fit the widths of both PSFs and a shift of the cube together with the scene, see
        `~jwst_fusion.fusion.solver.psf_fit.fit_psf`, or believe the PSFs. Not with the boundary
        "mirror", the regularisation "none" or with "syfu", which believe them.
    outlier_sigma : float or None
        Leave out what is sharper than the PSF, and residuals of the first solve beyond this many
        robust standard deviations, see `~jwst_fusion.fusion.solver.outliers`; 3 or more. None
        believes all data. With the boundary "mirror", or with "syfu", residuals are not looked at.
    resolution : {"imager", "deconvolved"}
        Give every channel the imager's PSF at its wavelength, or none.
    boundary : {"free", "mirror"}
        Outside the data the scene is estimated by the prior, or mirrored. The mirror needs
        complete, uniformly weighted data; its solve is direct and fast, but its error at the edges
        raises the fitted noise of the imager.
    refine : bool
        Solve twice, the second time with spectra fitted to the cube through its PSFs, see
        `~jwst_fusion.fusion.solver.refinement.refine_subspace`. Without effect on "syfu".
    errors : bool
        Compute the errors of the cube.
    predict : bool
        With three filters or more, predict the images of one from all other data, see
        `~jwst_fusion.fusion.solver.prediction.predict_images`. Not with `nonnegative` or "wavelet",
        whose solves would take as long as the fusion itself.
    gains : {"fixed", "fitted"}
        Believe `FusionData.response`, or fit one factor per image together with the scene, see
        `~jwst_fusion.fusion.solver.gains.fit_gains`.
    gain_prior : float
        1-sigma width of the prior of these factors about one, above 0 to 1.
    tolerance : float
        Accuracy of the iterative solve in posterior standard deviations, above 0 to 1.
    max_iterations : int
        Upper limit of its iterations, 1 or more.

    Raises
    ------
    ValueError
        If an option is out of range or does not go with another; the message names it.
    """

    rank: str | int | float = option(
        "auto",
        "Number of spectral components, the part of the signal's variance that they are to explain "
        "(as 0.999), or 'auto'",
        low=1,
        high=LARGEST_RANK,
        words=("auto",),
    )
    max_rank: int = option(
        MAX_RANK, "Largest number of components that 'auto' chooses", low=1, high=LARGEST_RANK
    )
    tuning: str = option(
        "evidence",
        "Rule for the regularisation: maximum evidence, the rule of Marquis et al. (2026), or mu "
        "and gamma by hand",
        choices=("evidence", "syfu", "manual"),
    )
    mu: float | tuple | None = option(
        None,
        "Regularisation for tuning = manual: one value, or one per component, as 1e-3,1e-2,1e-2",
        kind="force_list",
        low=0.0,
        closed=False,
    )
    gamma: float | None = option(
        None, "Weight of the cube for tuning = manual", kind="float", low=0.0, closed=False
    )
    noise_scales: bool = option(
        True, "Let tuning = evidence also fit the noise of both instruments"
    )
    regularisation: str = option(
        "auto",
        "What is known of the maps of the components: they are smooth, as exponent says; smooth "
        "but for edges that they share, or for those that the images show; sparse in starlets; or "
        "nothing. 'auto' lets them share edges, unless tuning, boundary or exponent are others",
        choices=("auto", "sobolev", "edge_preserving", "edge_weighted", "wavelet", "none"),
    )
    exponent: str | float = option(
        "auto",
        "Power of the gradient for regularisation = sobolev: higher for smoother scenes, or 'auto' "
        "to fit it with tuning = evidence (1 with others)",
        low=SMALLEST_EXPONENT,
        high=LARGEST_EXPONENT,
        words=("auto",),
    )
    nonnegative: bool = option(
        False,
        "Allow no negative brightness at the resolution of the images; takes several times longer",
    )
    sources: str = option(
        "auto",
        "Point sources with spectra of their own: those found in the images, given ones, or none",
        choices=("auto", "given", "none"),
    )
    false_alarms: float = option(
        0.1,
        "Expected number of point sources per field that are noise",
        low=0.0,
        high=100.0,
        closed=False,
    )
    psf_fit: str = option(
        "width",
        "Fit the widths of both PSFs, and a shift of the cube, together with the scene, or believe "
        "the PSFs",
        choices=("none", "width"),
    )
    outlier_sigma: float | None = option(
        6.0,
        "Leave out pixels and voxels beyond this many sigma, and those that stand out more than a "
        "point source can",
        low=3.0,
        beside=(None, "believe all data"),
    )
    resolution: str = option(
        "imager", "Angular resolution of the result", choices=("imager", "deconvolved")
    )
    boundary: str = option(
        "free",
        "Outside the data the scene is estimated by the prior, or mirrored",
        choices=("free", "mirror"),
    )
    refine: bool = option(True, "Solve twice, the second time with spectra fitted through the PSFs")
    errors: bool = option(True, "Compute the errors of the cube")
    predict: bool = option(
        False, "Predict the images of one of three or more filters from all other data"
    )
    gains: str = option(
        "fixed",
        "Believe the responses of the images, or fit one factor per image with the scene",
        choices=("fixed", "fitted"),
    )
    gain_prior: float = option(
        0.1,
        "Width of the prior of these factors about one, sigma",
        low=0.0,
        high=1.0,
        closed=False,
    )
    tolerance: float = option(
        0.01,
        "Accuracy of the iterative solve in posterior standard deviations",
        low=0.0,
        high=1.0,
        closed=False,
    )
    max_iterations: int = option(500, "Largest number of its iterations", low=1)

    def __post_init__(self):
        check_options(self)
        parse_rank(self.rank)
        exponent = number_or_auto("exponent", self.exponent, options_of(self)["exponent"])
        object.__setattr__(self, "exponent", exponent)
        self._check_weights()
        self._check_regularisation()

    def _check_weights(self):
        """Check mu, which may be an array, and that mu and gamma are given where they are used."""
        if self.mu is not None:
            try:
                values = np.asarray(self.mu, float)
            except (TypeError, ValueError):
                values = np.nan
            if not (np.all(np.isfinite(values)) and np.all(values > 0)):
                msg = f"mu is {self.mu}: expected a number above 0, or one per component"
                raise ValueError(msg)
        needed = self.tuning == "manual" and self.regularisation != "none"
        if needed and self.mu is None:
            msg = "tuning='manual' needs mu"
            raise ValueError(msg)
        if self.tuning != "manual" and (self.mu is not None or self.gamma is not None):
            msg = f"mu and gamma are only used with tuning='manual', got tuning={self.tuning!r}"
            raise ValueError(msg)
        if self.regularisation == "none" and self.mu is not None:
            msg = f"mu is not used with regularisation='none', got {self.mu!r}"
            raise ValueError(msg)

    def _check_regularisation(self):
        if self.regularisation not in ("auto", "sobolev") and self.exponent not in ("auto", 1):
            msg = f"exponent is only used with regularisation='sobolev', got {self.exponent!r}"
            raise ValueError(msg)
        if self.regularisation == "edge_preserving" and self.tuning == "syfu":
            msg = "regularisation='edge_preserving' needs a tuning other than 'syfu'"
            raise ValueError(msg)
        if self.regularisation == "edge_weighted" and self.boundary == "mirror":
            msg = "regularisation='edge_weighted' needs boundary='free'"
            raise ValueError(msg)
        if self.nonnegative and self.regularisation == "wavelet":
            msg = "nonnegative does not go with regularisation='wavelet'"
            raise ValueError(msg)

        if self.sources == "given" and not self.sourced:
            msg = (
                "sources='given' needs boundary='free', a regularisation and a tuning other than "
                "'syfu'"
            )
            raise ValueError(msg)

    @property
    def prior(self):
        """Regularisation that is meant: never "auto"."""
        if self.regularisation != "auto":
            return self.regularisation
        usual = self.tuning == "evidence" and self.boundary == "free" and self.exponent == "auto"
        return "edge_preserving" if usual else "sobolev"

    @property
    def fits_exponents(self):
        """Whether the exponents of the prior are fitted."""
        automatic = self.exponent == "auto" and self.prior == "sobolev"
        return automatic and self.tuning == "evidence"

    @property
    def sourced(self):
        """Whether there may be point sources with spectra of their own."""
        possible = self.boundary == "free" and self.regularisation != "none"
        return self.sources != "none" and possible and self.tuning != "syfu"

    @property
    def fits_psf(self):
        """Whether the PSFs are fitted."""
        possible = self.boundary == "free" and self.regularisation != "none"
        return self.psf_fit == "width" and possible and self.tuning != "syfu"

    @property
    def refining(self):
        """Whether spectra are fitted again after a first solve."""
        return self.refine and self.tuning != "syfu"
