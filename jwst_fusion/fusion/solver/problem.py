"""The fusion of given data in a spectral subspace: operators, hyperparameters, solution."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

import numpy as np

from jwst_fusion.fusion.solver.data import FusionData
from jwst_fusion.fusion.solver.edges import shared_edges, with_edges
from jwst_fusion.fusion.solver.evidence import (
    LocalWeights,
    Tuning,
    difference_noise,
    gradient_energy,
    maximise_evidence,
    reweighted_solution,
)
from jwst_fusion.fusion.solver.exponents import exponent_step, with_exponents
from jwst_fusion.fusion.solver.image_components import with_image_components
from jwst_fusion.fusion.solver.iterative import WeightedSystem
from jwst_fusion.fusion.solver.point_sources import with_sources
from jwst_fusion.fusion.solver.regularisation import make_prior
from jwst_fusion.fusion.solver.rendering import cube_from_rows
from jwst_fusion.fusion.solver.subspace import (
    WhitenedSubspace,
    estimate_subspace,
    separate_smoothness,
)
from jwst_fusion.fusion.solver.whitening import Compression, whitened_system

__all__ = ["LowRankProblem", "choose_subspace", "initial_mu", "plain_noise"]

# Prior weight of the regularisation "none", relative to what the gradients of the cube suggest:
# small enough not to be seen, large enough for a solution that is unique to rounding.
_UNIQUE = 1e-4

log = logging.getLogger(__name__)


@dataclass
class LowRankProblem:
    """A fusion with component maps as its unknowns: data, their subspace, what follows from both.

    Attributes
    ----------
    data : FusionData
        Observations, from `~jwst_fusion.fusion.solver.whitening.usable_data`.
    subspace : WhitenedSubspace
        Spectral subspace.
    compression : Compression
        Rows that stand for the channels.
    system : WeightedSystem
        Normal equations on a periodic domain.
    local : LocalWeights
        Amount of data around every pixel.
    edges : ndarray (Y, X) or None
        Weights of the gradients on the periodic domain, of mean one; None if they are uniform.
    exponents : ndarray (k,)
        Exponent of the prior per component.
    """

    data: FusionData
    subspace: WhitenedSubspace
    compression: Compression
    system: WeightedSystem
    local: LocalWeights
    edges: np.ndarray | None = None
    exponents: np.ndarray = field(kw_only=True)

    @classmethod
    def pose(cls, data, subspace, settings, *, edges=None, exponents=None, domain=None):
        """Derive everything from data and subspace.

        Parameters
        ----------
        data : FusionData
            Observations, from `~jwst_fusion.fusion.solver.whitening.usable_data`.
        subspace : WhitenedSubspace
            Spectral subspace.
        settings : FusionSettings
            Regularisation and boundary.
        edges : ndarray (Y, X), optional
            Weights of the gradients that were found for a similar problem.
        exponents : ndarray (k,), optional
            Exponents of the prior, which `tune` may fit again; by default those of the settings, or
            that of the gradient where they are to be fitted.
        domain : tuple of int, optional
            Rows and columns, in spaxels, of the periodic domain of a similar problem.

        Returns
        -------
        LowRankProblem
            The problem, with the subspace as it is given.
        """
        compression = Compression(data.psf_weights, subspace)
        kind, exponent = settings.prior, exponents
        if exponents is None:
            exponent = 1.0 if settings.exponent == "auto" else settings.exponent
            exponents = np.full(subspace.rank, exponent)
        elif not settings.fits_exponents:  # all the same: one transfer function serves
            exponent = exponents[0]
        system = whitened_system(
            data,
            subspace,
            compression,
            settings.boundary,
            prior=lambda grid: with_sources(
                make_prior(kind, grid, data, exponent=exponent), data.sources
            ),
            domain=domain,
        )
        local = LocalWeights(system.image_weight, system.spaxel_weight)
        if edges is not None:
            system, local = with_edges(system, edges), local.with_prior(edges)
        return cls(data, subspace, compression, system, local, edges, exponents=exponents)

    def posed_again(self, data, subspace, settings):
        """Pose a similar problem, with edges and exponents and on the domain of this one.

        Parameters
        ----------
        data : FusionData
            Other observations of the same field.
        subspace : WhitenedSubspace
            Its spectral subspace, of as many components.
        settings : FusionSettings
            Regularisation and boundary.

        Returns
        -------
        LowRankProblem
            The problem.
        """
        return type(self).pose(
            data,
            subspace,
            settings,
            edges=self.edges,
            exponents=self.exponents,
            domain=(self.system.grid.rows, self.system.grid.columns),
        )

    def with_positions(self, positions):
        """Pose the same problem with other point sources.

        Parameters
        ----------
        positions : ndarray (J, 2)
            Columns x and rows y in pixels of the images.

        Returns
        -------
        LowRankProblem
            A copy that shares everything else.
        """
        prior = self.system.prior if self.system.prior.sources is None else self.system.prior.base
        system = self.system.with_prior(with_sources(prior, positions))
        system.blocks = self.system.blocks
        return replace(self, data=replace(self.data, sources=positions), system=system)

    def solve(self, tuned, settings, *, tolerance):
        """Solution for hyperparameters of a similar problem.

        Parameters
        ----------
        tuned : Tuning
            Hyperparameters, and a solution to begin with.
        settings : FusionSettings
            Options.
        tolerance : float
            Accuracy in posterior standard deviations.

        Returns
        -------
        Tuning
            The same hyperparameters with the solution of this problem.
        """
        solution = self.system.solve(
            tuned.mu,
            tuned.scale_image,
            tuned.scale_cube,
            start=tuned.solution.solution,
            tolerance=tolerance,
            max_iterations=settings.max_iterations,
        )
        return replace(tuned, solution=solution)

    def _reweight(self, system, local, groups, mu, free):
        """Fit the spatial weights of the prior, and keep them with the problem."""
        edges, factor = shared_edges(system, local, groups, mu, free)
        before = 1.0 if self.edges is None else self.edges
        moved = float(np.sqrt(np.mean(np.log(edges / before) ** 2)))
        self.edges = edges
        self.system, self.local = with_edges(system, edges), local.with_prior(edges)
        return self.system, self.local, factor, moved

    def _fit_exponents(self, system, groups, mu, determined):
        """Fit the exponents of the prior, and keep them with the problem."""
        found, factor = exponent_step(system, groups, mu, self.exponents, determined)
        moved = float(np.abs(found - self.exponents).max())
        self.exponents = found
        self.system = with_exponents(system, found)
        return self.system, factor, moved

    @property
    def window(self):
        """Fine rows and columns of the data within the periodic domain."""
        d, (h, w) = self.data.factor, self.data.cube.shape[1:]
        return slice(0, d * h), slice(0, d * w)

    def tune(
        self,
        mu,
        settings,
        *,
        tolerance,
        scales=(1.0, 1.0),
        start=None,
        path=(),
        draft=False,
        fresh=False,
    ):
        """Hyperparameters and the solution for them.

        Parameters
        ----------
        mu : ndarray (k,)
            Weights of the prior to begin with, or to use.
        settings : FusionSettings
            Options.
        tolerance : float
            Accuracy in posterior standard deviations.
        scales : tuple of float
            With evidence, first guess of the factors on the inverse variances of images and cube.
        start : ndarray (group, d * d, k), optional
            Component groups to begin with.
        path : sequence of TuningStep
            Steps by which earlier problems were tuned.
        draft : bool
            Leave the edges of the prior as they are.
        fresh : bool
            Whether mu and exponents are first guesses although there is a path.

        Returns
        -------
        Tuning
            Weights of the prior, factors on the inverse variances, and the solve with them.
        """
        preserving = settings.prior == "edge_preserving"
        reweight = self._reweight if preserving and not draft else None
        if settings.tuning == "evidence":
            return maximise_evidence(
                self.system,
                self.local,
                mu,
                tolerance=tolerance,
                max_iterations=settings.max_iterations,
                fit_mu=settings.regularisation != "none",
                noise_scales=settings.noise_scales,
                scales=scales,
                start=start,
                path=path,
                fresh=fresh,
                reweight=reweight,
                fit_exponents=self._fit_exponents if settings.fits_exponents else None,
            )
        scale = 1.0 if settings.gamma is None else float(settings.gamma)
        if reweight is not None:
            solution = reweighted_solution(
                self.system,
                self.local,
                mu,
                (1.0, scale),
                reweight=reweight,
                tolerance=tolerance,
                max_iterations=settings.max_iterations,
                start=start,
            )
            return Tuning(mu, 1.0, scale, solution, 0, True)
        solution = self.system.solve(
            mu,
            1.0,
            scale,
            tolerance=tolerance,
            max_iterations=settings.max_iterations,
            start=start,
        )
        return Tuning(mu, 1.0, scale, solution, 0, True)

    def images_of(self, groups):
        """Images that component groups predict.

        Parameters
        ----------
        groups : ndarray (group, d * d, k)
            Component groups.

        Returns
        -------
        ndarray (F, d * h, d * w)
            The images, in the unit of the data.
        """
        valid = self.subspace.valid
        level = self.data.response[:, valid] @ self.subspace.mean[valid]
        seen = self.system.grid.synthesise(self.system.imager.forward_groups(groups))
        seen = seen[(slice(None), *self.window)] * self.data.image_sigma[:, None, None]
        return seen + level[:, None, None]

    def cube_of(self, groups):
        """Cube that component groups predict.

        Parameters
        ----------
        groups : ndarray (group, d * d, k)
            Component groups.

        Returns
        -------
        ndarray (L, h, w) of float32
            The cube, in the unit of the data; NaN in channels without data.
        """
        h, w = self.data.cube.shape[1:]
        seen = self.system.spectrometer.forward_groups(groups)
        rows = self.system.grid.synthesise_coarse(seen)[:, :h, :w]
        return cube_from_rows(rows, self.compression.expand, self.subspace)[0]


def plain_noise(data):
    """Give each instrument one noise level, estimated from the data, as the SyFu rule assumes.

    Parameters
    ----------
    data : FusionData
        Observations.

    Returns
    -------
    FusionData
        The same data with one error for all channels and one for all images, and with weights of
        0 or 1.
    """
    live, good = np.isfinite(data.cube_sigma), data.spaxel_weight > 0
    cube = difference_noise(np.where(good, data.cube[live], np.nan))
    image = difference_noise(np.where(data.image_weight > 0, data.images, np.nan))
    return replace(
        data,
        cube_sigma=np.where(live, cube, np.nan),
        spaxel_weight=good.astype(float),
        image_sigma=np.full(len(data.images), image),
        image_weight=(data.image_weight > 0).astype(float),
    )


def choose_subspace(data, settings):
    """Estimate the subspace that the options ask for.

    Parameters
    ----------
    data : FusionData
        Observations.
    settings : FusionSettings
        Options.

    Returns
    -------
    WhitenedSubspace
        The subspace, turned to components of separate smoothness where each has a prior of its own.
        With the SyFu rule and an automatic rank, components whose variance exceeds the noise.
    """
    syfu = settings.tuning == "syfu" and settings.rank == "auto"
    subspace = estimate_subspace(
        data.cube,
        data.cube_sigma,
        weight=data.spaxel_weight,
        rank=settings.max_rank if syfu else settings.rank,
        max_rank=settings.max_rank,
    )
    if syfu:
        k = max(1, int(np.sum(subspace.eigenvalues[: subspace.rank] > 1)))
        subspace = replace(subspace, basis=subspace.basis[:, :k], scores=subspace.scores[:k])
    elif settings.rank == "auto":
        subspace = with_image_components(data, subspace, max_rank=settings.max_rank)
    if (
        not syfu
        and settings.regularisation != "none"
        and (settings.tuning == "evidence" or np.size(settings.mu) > 1)
    ):
        subspace = separate_smoothness(subspace)
    log.info("Subspace of rank %d, noise level %.2f", subspace.rank, subspace.noise)
    return subspace


def initial_mu(subspace, factor, settings):
    """Weights of the prior (k,) that are given or follow from the gradients of the cube.

    Parameters
    ----------
    subspace : WhitenedSubspace
        Spectral subspace.
    factor : int
        Fine pixels per spaxel, d.
    settings : FusionSettings
        Options.

    Returns
    -------
    ndarray (k,)
        Weights, for noise-whitened data.

    Raises
    ------
    ValueError
        If mu was given with another number of values than the subspace has components.
    """
    energy = gradient_energy(subspace.scores, factor)
    if settings.regularisation == "none":
        return _UNIQUE / energy
    if settings.tuning == "evidence":
        return 1 / energy
    given = 1 / np.mean(energy) if settings.tuning == "syfu" else settings.mu
    mu = np.asarray(given, float)
    if mu.ndim > 1 or mu.size not in (1, subspace.rank):
        msg = f"mu must have one value, or one per component ({subspace.rank}), got {settings.mu!r}"
        raise ValueError(msg)
    return np.full(subspace.rank, mu) if mu.size == 1 else mu
