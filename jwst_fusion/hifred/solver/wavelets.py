"""Fusion without a low rank: sparse 2-D-1-D starlets, no penalty, or a denoiser as prior."""

from __future__ import annotations

import logging

import numpy as np

from jwst_fusion.hifred.solver.posterior import local_square
from jwst_fusion.hifred.solver.prepared import held_out
from jwst_fusion.hifred.solver.primal_dual import PrimalDual
from jwst_fusion.hifred.solver.sparse_dual import SparseDual
from jwst_fusion.hifred.solver.thresholds import gradient_noise
from jwst_fusion.hifred.solver.tuning import search
from jwst_fusion.numerics.starlet import Starlet2D1D

__all__ = ["Cubes", "local_errors"]

log = logging.getLogger(__name__)

_BALANCE = 3.0
_TRIAL = 40  # iterations for a trial of kappa, each from the one before
_TRIED = 6
_FAINTEST = 1e-3


class Cubes:
    """
    Problem of a full cube for a pair of observations.

    Parameters
    ----------
    observations : list of Observation
        Data of X and Y with scaled responses.
    pilot : ndarray (L, M * N)
        Low-rank source: it sets steps and thresholds, and is the reference of a relative penalty.
    options : Options
        Parameters.
    """

    def __init__(self, observations, pilot, options):
        self.observations, self.options = observations, options
        self.pilot = np.maximum(pilot, 0.0) if options.nonnegative else pilot
        self.likelihoods = [one.likelihood for one in observations]
        self.responses = [one.response for one in observations]
        self.shape = self.responses[0].shape
        self.scale, self.bound = self._scale()
        self.noise = None
        if options.regularisation == "wavelet_2d1d":
            self.starlet = Starlet2D1D(self.shape, *self._scales(), dtype=np.float32)
            at = np.maximum(self.pilot, _FAINTEST * np.abs(self.pilot).mean())
            models = [r.forward_flat(at) for r in self.responses]
            self.noise = gradient_noise(self.starlet, self.likelihoods, self.responses, models)

    def _scales(self):
        """Numbers of scales, no more than fit into the cube."""
        spatial, spectral = self.options.scales
        fit = int(np.log2(min(self.shape[1:]))) if min(self.shape[1:]) > 1 else 1
        return max(min(spatial, fit), 1), max(min(spectral, int(np.log2(self.shape[0]))), 1)

    def _scale(self):
        if self.options.likelihood == "poisson":
            return np.maximum(self.pilot, _FAINTEST * np.abs(self.pilot).mean()), None
        # the size of the source whose model is as large as the variance of the data
        ones = [np.ones_like(one.data) for one in self.likelihoods]
        pairs = list(zip(self.responses, self.likelihoods, ones, strict=True))
        seen = sum(r.adjoint_flat(one) for r, _, one in pairs)
        weight = sum(r.adjoint_flat(one.weights) for r, one, _ in pairs)
        weight = np.maximum(weight, 1e-6 * weight.mean())
        return seen / weight, np.maximum(np.abs(self.pilot), 1.0 / np.sqrt(weight))

    def solver(self, kappa):
        """
        Primal-dual method at a strength.

        Parameters
        ----------
        kappa : float
            Threshold in units of the noise; not used without starlets.

        Returns
        -------
        PrimalDual
        """
        sparse = reference = None
        if self.noise is not None:
            floor = 1e-6 * max(float(one.max()) for one in self.noise)
            limits = [kappa * np.maximum(one, floor) for one in self.noise]
            sparse = SparseDual(self.starlet, limits, self.scale, 1.0, _BALANCE)
            reference = self.pilot if self.options.prior == "relative" else None
        return PrimalDual(
            self.likelihoods,
            self.responses,
            self.scale,
            sparse,
            bound=self.bound,
            reference=reference,
            nonnegative=self.options.nonnegative,
            denoiser=self.options.denoiser,
            balance=_BALANCE,
        )

    def tune(self, held):
        """
        Strength by held-out data.

        Parameters
        ----------
        held : list of Observation
            Data that are independent of these.

        Returns
        -------
        kappa : float
        table : list of dict
            See `~jwst_fusion.hifred.solver.tuning.search`.
        text : str
            How it was chosen.
        """
        solver = self.solver(1.0)
        state = {"cube": self.pilot, "kappa": 1.0}

        def evaluate(kappa):
            solver.sparse.rescale(kappa / state["kappa"])
            state["kappa"] = kappa
            found = solver.run(state["cube"], tolerance=self.options.tolerance, most=_TRIAL)
            state["cube"] = found.cube
            return held_out(held, found.cube, nonnegative=self.options.nonnegative)

        kappa, table, bracketed = search(evaluate, 2.0, step=2**0.5, most=_TRIED, what="kappa")
        part = self.options.thinning
        text = f"kappa = {kappa:.3g} by {len(table)} trials on {part:.0%} of the data, judged on "
        return kappa, table, text + "the rest" + ("" if bracketed else " (at the end of the range)")


def local_errors(pilot_errors, pilot, cube, shape):
    r"""
    Estimate of the errors of a full cube.

    Parameters
    ----------
    pilot_errors : ndarray (L, P)
        Posterior errors of the low-rank source.
    pilot, cube : ndarray (L, P)
        Low-rank source, and the solution.
    shape : tuple of int
        Shape (L, M, N).

    Returns
    -------
    ndarray (L, P) of float32

    Notes
    -----
    :math:`\sigma^2 = \sigma_\mathrm{low\ rank}^2 + \langle (Z - Z_\mathrm{low\ rank})^2 \rangle`,
    the mean over 9 energies and 3 by 3 pixels: what the solution takes beyond the low rank, noise
    or not, counts as its uncertainty.
    """
    return np.sqrt(pilot_errors**2 + local_square(cube - pilot, shape))
