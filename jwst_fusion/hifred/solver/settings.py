"""Settings of HIFReD's solvers: regularisation, rank, stopping, errors, likelihood."""

from __future__ import annotations

from dataclasses import dataclass

from jwst_fusion.parameters import check_options, number_or_auto, option, options_of

__all__ = ["KINDS", "LOW_RANK", "HifredSettings"]

LOW_RANK = ("low_rank_sobolev", "low_rank_wavelet", "low_rank")
KINDS = ("wavelet_2d1d", *LOW_RANK, "none", "plug_and_play")
# Components of a spectral subspace; more would be noise, and memory grows with them.
LARGEST_RANK = 200
# Which option holds the weight of the penalty; the other regularisations have no penalty.
_WEIGHTS = {"low_rank_sobolev": "mu", "low_rank_wavelet": "mu", "wavelet_2d1d": "kappa"}
# Where the final solve stops by default. Low rank: the decrease that a Newton step still expects,
# nats per half datum. Full cubes: the gap relative to the objective, which itself is some ten times
# nearer to its minimum.
_TOLERANCE_LOW_RANK, _TOLERANCE_FULL = 1e-6, 1e-4
# Newton steps and primal-dual iterations after which a solve that does not converge is given up.
_ITERATIONS_LOW_RANK, _ITERATIONS_FULL = 200, 2000


@dataclass(frozen=True, kw_only=True)
class HifredSettings:
    r"""
    Settings of `~jwst_fusion.hifred.fuse`.

    Parameters
    ----------
    regularisation : str
        "low_rank_sobolev" (LRS), "low_rank_wavelet" (LRW2D), "low_rank", "wavelet_2d1d" (W2D1D),
        "none" or "plug_and_play".
    prior : "relative" or "absolute"
        What is kept small. "absolute": the differences or starlet coefficients of the maps or of
        the cube, as published. "relative": low-rank penalties act on the maps divided by the
        brightness that X shows and are graded by the significance of the components; starlets act
        on the difference to a low-rank solution.
    rank : "auto" or int
        Dimension of the spectral subspace, 1 to 200.
    mu : "auto" or float
        Weight of the penalty of low-rank solutions, above 0; "auto" finds it from the data.
    kappa : "auto" or float
        Threshold of starlet coefficients of a cube, in standard deviations of their noise, above 0.
    line_changes : "auto", "always" or "never"
        Whether the subspace holds the changes of the mean spectrum by lines that move and widen,
        with a weight of its own for the map of each component by the evidence of the data;
        "auto": where this predicts held-out data better. "always" needs rank "auto" and the prior
        "relative", and `mu` then multiplies these weights.
    normalisations : "auto", "fitted" or "given"
        Whether the observations may differ by a factor each from what their responses say, relative
        to the first; "auto": where there are more than two.
    scales_space, scales_energy : int
        Numbers of starlet scales in space and in energy, 1 to 8, of "wavelet_2d1d".
    nonnegative : bool
        Whether the source must not be negative.
    tolerance : float, optional
        When to stop, above 0, at most 0.1. Low rank: Newton decrement per half datum, by default
        1e-6. Others: primal-dual gap divided by the objective (relative change for a denoiser), by
        default 1e-4.
    max_iterations : int, optional
        Largest number of iterations of the final solve, by default 200 Newton steps or 2000
        primal-dual iterations.
    errors : bool
        Whether to compute the errors of the voxels.
    error_samples : int
        Number of posterior samples for them, 2 to 10,000.
    thinning : float
        Part of the data on which weights of the penalty are tried, above 0, at most 0.99; the rest
        judges them.
    seed : int
        Seed of thinning and of these samples, 0 or more.
    likelihood : "poisson" or "gaussian"
        Noise of the data.
    denoiser : callable, optional
        Function of a cube (L, M, N) that returns one, for "plug_and_play".

    Raises
    ------
    ValueError
        If an option is out of range or does not go with another; the message names it.
    """

    regularisation: str = option(
        "low_rank_sobolev",
        "What is known of the scene: sparse in 2D-1D wavelets; few spectral components with smooth "
        "maps; few with maps sparse in wavelets; few; or nothing",
        choices=KINDS,
    )
    prior: str = option(
        "relative",
        "What is kept small: maps relative to the brightness of the sharper cube and wavelets of "
        "what low-rank solutions lack, or the maps and wavelets themselves, as published",
        choices=("relative", "absolute"),
    )
    rank: str | int = option(
        "auto",
        "Number of spectral components, or 'auto'",
        low=1,
        high=LARGEST_RANK,
        words=("auto",),
    )
    mu: str | float = option(
        "auto",
        "Strength of the low-rank regularisations, or 'auto'",
        low=0.0,
        high=1e12,
        closed=False,
        words=("auto",),
    )
    kappa: str | float = option(
        "auto",
        "Strength of wavelet_2d1d in standard deviations of the noise, or 'auto'",
        low=0.0,
        high=1e12,
        closed=False,
        words=("auto",),
    )
    line_changes: str = option(
        "auto",
        "Whether the subspace holds changes of the mean spectrum by lines that move and widen",
        choices=("auto", "always", "never"),
    )
    normalisations: str = option(
        "auto",
        "Whether factors between the observations are fitted; 'auto': of three or more",
        choices=("auto", "fitted", "given"),
    )
    scales_space: int = option(2, "Wavelet scales in space of wavelet_2d1d", low=1, high=8)
    scales_energy: int = option(3, "Wavelet scales in energy of wavelet_2d1d", low=1, high=8)
    nonnegative: bool = option(True, "Allow no negative values in the result")
    tolerance: float | None = option(
        None,
        "Accuracy at which the solver stops; default: 1e-6 nats per half "
        "datum (low rank), else a primal-dual gap of 1e-4 of the objective",
        kind="float",
        low=0.0,
        high=0.1,
        closed=False,
    )
    max_iterations: int | None = option(
        None,
        "Largest number of iterations; default: 200 (low rank), else 2000",
        kind="integer",
        low=1,
        high=10**7,
    )
    errors: bool = option(True, "Estimate the error of each voxel")
    error_samples: int = option(12, "Posterior samples for the errors", low=2, high=10_000)
    thinning: float = option(
        0.8,
        "Part of the data on which strengths are tried; the rest judges them",
        low=0.0,
        high=0.99,
        closed=False,
    )
    seed: int = option(0, "Seed of that split and of the samples", low=0, high=2**63)
    likelihood: str = option("poisson", "Noise of the data", choices=("poisson", "gaussian"))
    # No type of a step's parameters: a function can be given in Python only.
    denoiser: object = option(
        None, "Function of a cube that returns one, for plug_and_play", kind="function"
    )

    def __post_init__(self):
        for name, one in options_of(self).items():
            if one.words:
                value = number_or_auto(name, getattr(self, name), one, whole=name == "rank")
                object.__setattr__(self, name, value)
        check_options(self)
        if (self.denoiser is not None) != (self.regularisation == "plug_and_play"):
            msg = "denoiser and regularisation='plug_and_play' must be given together"
            raise ValueError(msg)
        if self.denoiser is not None and not callable(self.denoiser):
            msg = "denoiser must be a function of a cube (L, M, N) that returns one"
            raise ValueError(msg)

        if self.line_changes == "always":
            given = {"rank": self.rank != "auto", "prior": self.prior != "relative"}
            given["regularisation"] = self.regularisation == "low_rank"
            for name in (name for name, wrong in given.items() if wrong):
                msg = f"line_changes is 'always', which does not go with {name} = "
                msg += f"{getattr(self, name)!r}: leave one of them out"
                raise ValueError(msg)

    @property
    def low_rank(self):
        """Whether the solution is one of low rank."""
        return self.regularisation in LOW_RANK

    @property
    def weight_name(self):
        """Name of the option that holds the weight of the penalty; None if there is no penalty."""
        return _WEIGHTS.get(self.regularisation)

    @property
    def weight(self):
        """What is asked of the weight of the penalty: a number, "auto", or None without one."""
        return None if self.weight_name is None else getattr(self, self.weight_name)

    @property
    def tolerance_in_use(self):
        """Tolerance of the final solve: as given, or what the regularisation takes by default."""
        if self.tolerance is not None:
            return self.tolerance
        return _TOLERANCE_LOW_RANK if self.low_rank else _TOLERANCE_FULL

    @property
    def max_iterations_in_use(self):
        """Most iterations of the final solve: as given, or the default of the regularisation."""
        if self.max_iterations is not None:
            return self.max_iterations
        return _ITERATIONS_LOW_RANK if self.low_rank else _ITERATIONS_FULL
