"""Fusion without a low rank: sparse 2-D-1-D starlets, no penalty, or a denoiser as prior."""

from __future__ import annotations

import logging

import numpy as np

from jwst_fusion.hifred.solver.posterior import local_square
from jwst_fusion.hifred.solver.prepared import held_out_deviance
from jwst_fusion.hifred.solver.primal_dual import PrimalDual
from jwst_fusion.hifred.solver.sparse_dual import SparseDual
from jwst_fusion.hifred.solver.thresholds import gradient_noise
from jwst_fusion.hifred.solver.tuning import search
from jwst_fusion.numerics.starlet import Starlet2D1D

__all__ = ["FullCube", "local_errors"]

log = logging.getLogger(__name__)

_BALANCE = 3.0  # factor of primal steps; from 1 to 10 it hardly changes how many are needed
_TRIAL = 40  # iterations for a trial of kappa, each from the one before
# Trials of kappa: the first, in standard deviations, the factor between them, and most of them.
_FIRST, _STEP, _TRIED = 2.0, 2**0.5, 6
_FAINTEST = 1e-3  # of the mean of the low-rank source: the least size of the source for steps


class FullCube:
    """
    Fusion of a pair of observations without a low rank, to be solved.

    Parameters
    ----------
    observations : list of InstrumentData
        Data of X and Y with scaled responses.
    low_rank : ndarray (L, M * N)
        Low-rank source: it sets steps and thresholds, and is the reference of a relative penalty.
    settings : HifredSettings
        Settings of the solver.
    """

    def __init__(self, observations, low_rank, settings):
        self.observations, self.settings = observations, settings
        self.low_rank = np.maximum(low_rank, 0.0) if settings.nonnegative else low_rank
        self.likelihoods = [one.likelihood for one in observations]
        self.responses = [one.response for one in observations]
        self.shape = self.responses[0].shape
        self.scale, self.bound = self._scale()
        self.noise = None
        if settings.regularisation == "wavelet_2d1d":
            self.starlet = Starlet2D1D(self.shape, *self._scales(), dtype=np.float32)
            at = np.maximum(self.low_rank, _FAINTEST * np.abs(self.low_rank).mean())
            models = [r.forward_flat(at) for r in self.responses]
            self.noise = gradient_noise(self.starlet, self.likelihoods, self.responses, models)

    def _scales(self):
        """Numbers of scales, no more than fit into the cube."""
        spatial, spectral = self.settings.scales_space, self.settings.scales_energy
        fit = int(np.log2(min(self.shape[1:]))) if min(self.shape[1:]) > 1 else 1
        return max(min(spatial, fit), 1), max(min(spectral, int(np.log2(self.shape[0]))), 1)

    def _scale(self):
        if self.settings.likelihood == "poisson":
            return np.maximum(self.low_rank, _FAINTEST * np.abs(self.low_rank).mean()), None
        # the size of the source whose model is as large as the variance of the data
        ones = [np.ones_like(one.data) for one in self.likelihoods]
        pairs = list(zip(self.responses, self.likelihoods, ones, strict=True))
        seen = sum(r.adjoint_flat(one) for r, _, one in pairs)
        weight = sum(r.adjoint_flat(one.weights) for r, one, _ in pairs)
        weight = np.maximum(weight, 1e-6 * weight.mean())
        return seen / weight, np.maximum(np.abs(self.low_rank), 1.0 / np.sqrt(weight))

    def solver(self, kappa):
        """
        Primal-dual method at a threshold.

        Parameters
        ----------
        kappa : float
            Threshold in units of the noise; not used without starlets.

        Returns
        -------
        PrimalDual
            The method, at its start.
        """
        sparse = reference = None
        if self.noise is not None:
            floor = 1e-6 * max(float(one.max()) for one in self.noise)
            limits = [kappa * np.maximum(one, floor) for one in self.noise]
            sparse = SparseDual(self.starlet, limits, self.scale, 1.0, _BALANCE)
            reference = self.low_rank if self.settings.prior == "relative" else None
        return PrimalDual(
            self.likelihoods,
            self.responses,
            self.scale,
            sparse,
            bound=self.bound,
            reference=reference,
            nonnegative=self.settings.nonnegative,
            denoiser=self.settings.denoiser,
            balance=_BALANCE,
        )

    def tune(self, held):
        """
        Threshold by held-out data.

        Parameters
        ----------
        held : list of InstrumentData
            Data that are independent of these.

        Returns
        -------
        kappa : float
            Threshold in units of the noise.
        table : list of dict
            See `~jwst_fusion.hifred.solver.tuning.search`.
        text : str
            How it was chosen.
        bracketed : bool
            Whether worse thresholds were tried on both sides.
        """
        solver = self.solver(1.0)
        state = {"cube": self.low_rank, "kappa": 1.0}

        def evaluate(kappa):
            solver.rescale_penalty(kappa / state["kappa"])
            state["kappa"] = kappa
            found = solver.run(
                state["cube"], tolerance=self.settings.tolerance_in_use, max_iterations=_TRIAL
            )
            state["cube"] = found.cube
            return held_out_deviance(held, found.cube, nonnegative=self.settings.nonnegative)

        kappa, table, bracketed = search(evaluate, _FIRST, step=_STEP, most=_TRIED, what="kappa")
        part = self.settings.thinning
        text = f"kappa = {kappa:.3g} by {len(table)} trials on {part:.0%} of the data, judged on "
        text += "the rest" + ("" if bracketed else " (at the end of the range)")
        return kappa, table, text, bracketed


def local_errors(low_rank_errors, low_rank, cube, shape):
    r"""
    Estimate of the errors of a full cube.

    Parameters
    ----------
    low_rank_errors : ndarray (L, P)
        Posterior errors of the low-rank source.
    low_rank, cube : ndarray (L, P)
        Low-rank source, and the solution.
    shape : tuple of int
        Shape (L, M, N).

    Returns
    -------
    ndarray (L, P) of float32
        Standard deviations.

    Notes
    -----
    :math:`\sigma^2 = \sigma_\mathrm{low\ rank}^2 + \langle (Z - Z_\mathrm{low\ rank})^2 \rangle`,
    the mean over 9 energies and 3 by 3 pixels: what the solution takes beyond the low rank, noise
    or not, counts as its uncertainty.
    """
    return np.sqrt(low_rank_errors**2 + local_square(cube - low_rank, shape))
