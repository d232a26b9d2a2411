"""Solve with masks and weights: conjugate gradients preconditioned by the direct block solve."""

from __future__ import annotations

import logging
from copy import copy

import numpy as np

from jwst_fusion.fusion.solver.direct import BlockSystem
from jwst_fusion.fusion.solver.point_sources import (
    PointInformation,
    SourcePreconditioner,
    neighbours,
)
from jwst_fusion.fusion.solver.regularisation import SobolevPrior
from jwst_fusion.messages import warn
from jwst_fusion.numerics.conjugate_gradients import Solution, conjugate_gradients

__all__ = ["WeightedSystem"]

log = logging.getLogger(__name__)


class WeightedSystem:
    """The fusion problem on a periodic domain, with a weight for every pixel and spaxel.

    Parameters
    ----------
    imager : Imager
        Imager on noise-whitened images.
    spectrometer : Spectrometer
        Spectrometer on noise-whitened, compressed rows.
    images : ndarray (F, Y, X)
        Whitened images, minus the response to the mean spectrum; any finite value at weight 0.
    image_weight : ndarray (F, Y, X)
        Relative inverse variances.
    rows : ndarray (n, h, w)
        Whitened, compressed cube, minus the mean spectrum.
    spaxel_weight : ndarray (h, w)
        Relative inverse variances.
    gaps : tuple of (ndarray (g,), ndarray (g, n, n)), optional
        Flat indices of spaxels that lack voxels, and the Gram matrix of the compression over the
        voxels that are there.
    prior : SobolevPrior, optional
        Penalty of the component maps; that of their gradients by default.
    independent : ndarray (F,), optional
        Share of the pixels of each image whose noise is independent; 1 by default.
    cube_independent : float, optional
        The same of the spaxels.
    """

    def __init__(
        self,
        imager,
        spectrometer,
        images,
        image_weight,
        rows,
        spaxel_weight,
        gaps=None,
        prior=None,
        independent=None,
        cube_independent=1.0,
    ):
        self.imager, self.spectrometer, self.grid = imager, spectrometer, imager.grid
        self.prior = SobolevPrior(self.grid) if prior is None else prior
        self.blocks = BlockSystem(imager, spectrometer, self.prior.power)
        self._points = None
        self.images, self.image_weight = images, image_weight
        self.rows, self.spaxel_weight, self.gaps = rows, spaxel_weight, gaps
        complete = np.all(image_weight == 1) and np.all(spaxel_weight == 1) and not gaps
        self.uniform = bool(complete and self.prior.diagonal)
        self.filters, self.rank = len(images), spectrometer.rank
        self.rhs_image = imager.adjoint_groups(self.grid.analyse(image_weight * images))
        # Rows of spaxels with gaps are sums over the voxels that are there: no Gram matrix.
        self.rhs_cube = spectrometer.adjoint_groups(self.grid.analyse_coarse(spaxel_weight * rows))
        share = np.ones(len(images)) if independent is None else np.asarray(independent)
        # Pixels larger than those of the grid have noise at low frequencies only.
        self.image_bands = [(share == one, self.grid.band(one)) for one in np.unique(share)]
        self.count_image = float(share @ np.count_nonzero(image_weight, axis=(1, 2)))
        share = np.array(spaxel_weight > 0, float)
        if gaps:
            flat = share.reshape(-1)
            flat[gaps[0]] *= np.trace(gaps[1], axis1=1, axis2=2) / len(rows)
        # Variance that residuals of images and cube show, over that of their errors: those of
        # spaxels that share their noise are larger.
        self.scatter = np.array([1.0, cube_independent])
        self.count_cube = len(rows) * float(share.sum())

    def with_prior(self, prior, *, alike=False):
        """Pose the same problem with another prior.

        Parameters
        ----------
        prior : SobolevPrior
            Penalty of the component maps.
        alike : bool
            Whether its transfer function and its sources are those of the prior so far, so that
            preconditioners serve again.

        Returns
        -------
        WeightedSystem
            A copy that shares data and operators.
        """
        other = copy(self)
        other.prior, other.uniform = prior, self.uniform and prior.diagonal
        if not alike:
            other.blocks, other._points = self.blocks.with_power(prior.power), None
        return other

    def without_images(self, chosen):
        """Pose the same problem without some of the images.

        Parameters
        ----------
        chosen : ndarray of int
            Indices of these images, whose weights become zero.

        Returns
        -------
        WeightedSystem
            A copy that shares everything else; its preconditioner is its own.
        """
        other = copy(self)
        other.image_weight = self.image_weight.copy()
        other.image_weight[chosen] = 0.0
        seen = self.grid.analyse(other.image_weight * self.images)
        other.rhs_image = self.imager.adjoint_groups(seen)
        other.blocks, other._points = self.blocks.with_power(self.blocks.power), None
        return other

    @property
    def norm(self):
        """Norm of an error of one posterior standard deviation in each coefficient."""
        return float(np.sqrt(self.rank * self.images[0].size))

    def inner(self, a, b):
        """Inner product of component groups that equals the one of the real maps.

        Parameters
        ----------
        a, b : ndarray (group, d * d, k)
            Component groups.

        Returns
        -------
        float
            The product; groups that stand for their mirror image as well count twice.
        """
        return float(np.einsum("g,gda,gda->", self.grid.multiplicity, a.conj(), b).real)

    def observe(self, rows):
        """Restrict rows to the voxels that are there, spaxel by spaxel.

        Parameters
        ----------
        rows : ndarray (n, h, w)
            Whitened rows of the cube.

        Returns
        -------
        ndarray (n, h, w)
            Rows; in spaxels with gaps, times the Gram matrix over the voxels that are there. The
            same array if there are no gaps.
        """
        if not self.gaps:
            return rows
        index, gram = self.gaps
        flat = rows.reshape(len(rows), -1).copy()
        flat[:, index] = (gram @ flat[:, index].T[..., None].astype(gram.dtype))[..., 0].T
        return flat.reshape(rows.shape)

    def apply(self, groups, scale_image, scale_cube, mu):
        """Apply the normal operator.

        Parameters
        ----------
        groups : ndarray (group, d * d, k)
            Component groups.
        scale_image, scale_cube : float
            Factors on the inverse variances of the two instruments.
        mu : ndarray (k,)
            Weight of the prior per component.

        Returns
        -------
        ndarray (group, d * d, k)
            What the operator makes of them.
        """
        grid = self.grid
        images = grid.synthesise(self.imager.forward_groups(groups))
        out = scale_image * self.imager.adjoint_groups(grid.analyse(self.image_weight * images))
        rows = grid.synthesise_coarse(self.spectrometer.forward_groups(groups))
        coarse = grid.analyse_coarse(self.spaxel_weight * self.observe(rows))
        out += scale_cube * self.spectrometer.adjoint_groups(coarse)
        return out + mu * self.prior.apply(groups)

    def typical_weights(self):
        """Mean weights over the pixels (F,) and spaxels that have data."""
        valid = np.maximum((self.image_weight > 0).sum((1, 2)), 1)
        spaxels = max(np.count_nonzero(self.spaxel_weight), 1)
        return self.image_weight.sum((1, 2)) / valid, self.spaxel_weight.sum() / spaxels

    def solve(
        self,
        mu,
        scale_image=1.0,
        scale_cube=1.0,
        *,
        rhs=None,
        start=None,
        tolerance,
        error=None,
        max_iterations,
    ):
        """Component groups for given hyperparameters.

        Parameters
        ----------
        mu : ndarray (k,)
            Weight of the prior per component.
        scale_image, scale_cube : float
            Factors on the inverse variances of the two instruments.
        rhs : ndarray (group, d * d, k), optional
            Right-hand side; that of the data by default.
        start : ndarray, optional
            First iterate.
        tolerance : float
            Accuracy of an iterative solve in units of the posterior standard deviation, which is
            what the norm of the operator measures: root mean square over all coefficients.
        error : float, optional
            Squared error in that norm, not averaged, at which an iterative solve stops as well.
        max_iterations : int
            Limit of an iterative solve.

        Returns
        -------
        Solution
            Direct (0 iterations) if all weights are one, iterative otherwise.

        Raises
        ------
        numpy.linalg.LinAlgError
            If no step can be made because the operator is not positive definite.
        """
        if rhs is None:
            rhs = scale_image * self.rhs_image + scale_cube * self.rhs_cube
        image_weight, cube_weight = self.typical_weights()
        weights = (scale_image * image_weight, scale_cube * cube_weight, mu)
        if self.uniform:
            return Solution(self.blocks.solve(rhs, *weights), True, 0)
        found = conjugate_gradients(
            lambda groups: self.apply(groups, scale_image, scale_cube, mu),
            rhs,
            self._preconditioner(*weights),
            self.inner,
            start=start,
            scale=self.norm,
            tolerance=tolerance,
            error=error,
            inexact=True,
            max_iterations=max_iterations,
        )
        if found.broken_down:
            if not found.iterations:
                msg = "the normal equations are not positive definite: check errors and weights"
                raise np.linalg.LinAlgError(msg)
            warn(log, "Conjugate gradients break down after %d iterations", found.iterations)
        return found

    def precondition(self, groups, mu, scale_image, scale_cube):
        """Solve with the normal operator of uniform weights.

        Parameters
        ----------
        groups : ndarray (group, d * d, k)
            Right-hand side.
        mu : ndarray (k,)
            Weight of the prior per component.
        scale_image, scale_cube : float
            Factors on the inverse variances of the two instruments.

        Returns
        -------
        ndarray (group, d * d, k)
            Component groups; exact to single precision if all weights are one.
        """
        image_weight, cube_weight = self.typical_weights()
        weights = (scale_image * image_weight, scale_cube * cube_weight, mu)
        return self._preconditioner(*weights)(groups)

    def _preconditioner(self, *weights):
        """Inverse of the blocks, corrected for sources that the prior does not see."""
        sources = self.prior.sources
        if sources is None:
            return self.blocks.preconditioner(*weights)
        information = self.point_information(*weights)
        precondition = self.blocks.preconditioner(*weights)
        return SourcePreconditioner(precondition, self.grid, information)

    def _strength(self, mu):
        """Diagonal (group, d * d, k) of the prior, that of the diffuse part, for mean weights."""
        sources = self.prior.sources
        power = (self.prior if sources is None else sources).power
        power = power[:, :, None] if power.ndim == 2 else power
        return power * (mu * getattr(self.prior, "mu", 1.0))

    def point_information(self, *weights):
        """What data and prior of the diffuse part know of the amplitudes of the sources.

        Parameters
        ----------
        *weights
            Weights of the images (F,), of the cube, and of the prior (k,).

        Returns
        -------
        PointInformation
            For these weights, or such that differ by less than a tenth.
        """
        covariance, strength = self.covariance(*weights)
        sources = self.prior.sources
        if self._points is None or self._points[0] is not covariance:
            pairs = neighbours(sources.positions, self.spectrometer.reach)
            found = PointInformation(self.grid, covariance, strength, sources.points, pairs)
            self._points = covariance, found
        return self._points[1]

    def covariance(self, *weights):
        """Posterior covariance of the diffuse components at every frequency, and their prior.

        Parameters
        ----------
        *weights
            Weights of the images (F,), of the cube, and of the prior (k,).

        Returns
        -------
        covariance : ndarray (group, d * d, k, k)
            Diagonal blocks of the inverse, for these weights or such that differ by less than a
            tenth.
        strength : ndarray (group, d * d, k)
            Diagonal of the prior.
        """
        self.blocks.informed = True
        self.blocks.preconditioner(*weights)
        covariance, mu = self.blocks.kept_covariance()
        if covariance is None:  # of blocks that did not know yet that they would be asked
            self.blocks.forget()
            self.blocks.preconditioner(*weights)
            covariance, mu = self.blocks.kept_covariance()
        return covariance, self._strength(mu)

    def misfit(self, groups):
        """Weighted sums of squared residuals of both instruments.

        Parameters
        ----------
        groups : ndarray (group, d * d, k)
            Component groups.

        Returns
        -------
        tuple of float
            The sums for the whitened images and for the rows of the cube.
        """
        grid = self.grid
        images = self.images - grid.synthesise(self.imager.forward_groups(groups))
        rows = grid.synthesise_coarse(self.spectrometer.forward_groups(groups))
        rows = self.rows - self.observe(rows)
        return (
            float(np.sum(self.image_weight * images**2)),
            float(np.sum(self.spaxel_weight * rows**2)),
        )
