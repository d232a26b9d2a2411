"""The scene that explains every pixel: data, weights and prior in one linear system."""

import zlib

import numpy as np
from scipy import ndimage

from jwst_fusion.fusion.exposures.operator import half_plane
from jwst_fusion.fusion.exposures.surroundings import Surroundings
from jwst_fusion.fusion.solver.point_sources import (
    PointInformation,
    SourcePreconditioner,
    neighbours,
    with_sources,
)
from jwst_fusion.fusion.solver.regularisation import SobolevPrior
from jwst_fusion.numerics.conjugate_gradients import conjugate_gradients

__all__ = ["PixelData", "SceneProblem"]

_SMOOTH = 3.0  # fine pixels over which the density of detector pixels is taken
# Fine pixels without the middle of a detector pixel are covered where those with one are as near as
# this, and as many as this part of what is usual.
_HOLES, _COVERED = 1.0, 0.1
# Share of its trace that is added to the blocks of a frequency: without it those of which neither
# data nor prior know anything, as the mean level of a component without light, are singular.
_RIDGE = 1e-9
# Of the model's brightness: smaller residuals are no outliers, however small the noise is, but what
# the PSF gets wrong at stars. Exposures have unflagged cosmic rays, mosaics hardly any.
_PART = {"exposure": 0.03, "image": 0.3}
_SHOWN = 0.9  # of the field of the exposures, from which on images show what is around it
_REACH = 60.0  # fine pixels over which two sources know of each other in the preconditioner


class PixelData:
    """
    Values of the pixels that one operator explains.

    Parameters
    ----------
    operator : ExposureOperator or ImageOperator
        Its pixels in its own order.
    values, error : array (size,)
        Data and standard deviation, MJy/sr.
    x, y : array (size,)
        Columns and rows of the pixels on the domain, fine pixels.

    Attributes
    ----------
    x, y : array (size,)
        As given, single precision.
    rejected : bool array (size,)
        Pixels that are left out as outliers.
    scales : array (n,)
        Factor on the stated errors of each exposure or image.
    density : array (rows, columns)
        Number of pixels per fine pixel, smoothed.
    coverage : array (rows, columns)
        Part of the surroundings of a fine pixel that pixels cover, weighted as the density.
    area : float
        Fine pixels over which pixels are spread, as one of them sees it: their number over their
        mean density.
    """

    def __init__(self, operator, values, error, x, y):
        self.operator = operator
        self.values, self.error = np.asarray(values, np.float32), np.asarray(error, np.float32)
        self._precision = self.error ** np.float32(-2)
        self.x, self.y = np.asarray(x, np.float32), np.asarray(y, np.float32)
        self.rejected = np.zeros(operator.size, bool)
        self.scales = np.ones(len(operator.parts))
        shape = operator.grid.shape
        column, row = (np.rint(one).astype(np.intp) for one in (x, y))
        index = (row % shape[0]) * shape[1] + column % shape[1]
        density = np.bincount(index, minlength=shape[0] * shape[1]).reshape(shape)
        self.density = ndimage.gaussian_filter(density.astype(float), _SMOOTH, mode="wrap")
        # Where one exposure of many looks, the field is covered.
        near = ndimage.gaussian_filter((density > 0).astype(float), _HOLES, mode="wrap")
        least = _COVERED * np.mean(near, where=near > 0)
        self.coverage = ndimage.gaussian_filter((near > least).astype(float), _SMOOTH, mode="wrap")
        # Slices may be farther apart than what counts as covered.
        self.coverage /= self.coverage.max()
        self.area = float(self.density.sum() ** 2 / np.sum(self.density**2))

    @property
    def weights(self):
        """Inverse variance of every pixel, zero where rejected; single precision."""
        weights = np.where(self.rejected, np.float32(0), self._precision)
        for part, scale in zip(self.operator.parts, self.scales, strict=True):
            weights[part] *= np.float32(scale**-2)
        return weights

    def normalised(self, residuals):
        """
        Divide residuals by the errors.

        Parameters
        ----------
        residuals : array (size,)
            Data minus model.

        Returns
        -------
        array (size,)
            In units of the standard deviation, scales included.
        """
        out = residuals / self.error
        for part, scale in zip(self.operator.parts, self.scales, strict=True):
            out[part] /= scale
        return out


class SceneProblem:
    """
    Linear system of the component maps.

    Parameters
    ----------
    grid : Grid
        Periodic domain, of factor one.
    spectra : SplineSpectra
        Mean and basis spectra.
    data : list of PixelData
        All pixels to explain.
    mu : array (k,)
        Weight of the prior per component.
    positions : array (J, 2), optional
        Columns x and rows y of point sources on the domain, which the prior does not see.
    """

    def __init__(self, grid, spectra, data, mu, positions=None):
        self.grid, self.data, self.mu = grid, data, np.asarray(mu, float)
        self.prior = with_sources(SobolevPrior(grid), positions)
        self._surroundings = None
        self.set_spectra(spectra)

    def set_spectra(self, spectra):
        """
        Take other spectra.

        Parameters
        ----------
        spectra : SplineSpectra
            Mean and basis spectra, of the same rank.
        """
        self.spectra, self._known_of = spectra, {}
        for one in self.data:
            one.operator.set_spectra(spectra)

    def inner(self, first, second):
        """
        Inner product of maps.

        Parameters
        ----------
        first, second : array (group, 1, k)
            Component groups.

        Returns
        -------
        float
            That of the maps they stand for.
        """
        product = first.real * second.real + first.imag * second.imag
        return float(self.grid.multiplicity @ product.sum(axis=(1, 2)))

    def grams(self):
        """
        Blocks of the normal matrix of each set of pixels, for even density.

        Returns
        -------
        list of array (group, 1, k, k)
            In the order of the data.
        """
        return self._kept(
            "grams",
            self._weighting(),
            lambda: [one.operator.gram(one.weights, one.area) for one in self.data],
        )

    def _weighting(self):
        """Tell weights of the data from others."""
        return [(one.scales.tobytes(), zlib.crc32(one.rejected)) for one in self.data]

    def _kept(self, name, state, make):
        """Give what was made last under a name, or make it anew if the state is another one."""
        if name not in self._known_of or self._known_of[name][0] != state:
            self._known_of.pop(name, None)  # not two of them at once
            self._known_of[name] = state, make()
        return self._known_of[name][1]

    def covariance(self, grams):
        """
        Diagonal blocks of the posterior covariance, where all these data are.

        Parameters
        ----------
        grams : list of array (group, 1, k, k)
            Blocks of the normal matrix.

        Returns
        -------
        array (group, 1, k, k)
            Inverse of their sum and the prior of the diffuse part.
        """
        state, present = self._known_of.get("grams", (None, None))
        if grams is present:
            state = state, self.mu.tobytes()
            return self._kept("covariance", state, lambda: self._inverted(grams))
        return self._inverted(grams)

    def _inverted(self, grams):
        total = sum(grams)
        rank = len(self.mu)
        ridge = _RIDGE * np.einsum("gdaa->gd", total).real.max() / rank
        diagonal = self.strength() + ridge
        total = total + diagonal[..., None] * np.eye(rank)
        return np.linalg.inv(total)

    def strength(self):
        """
        Diagonal of the prior of the diffuse part.

        Returns
        -------
        array (group, 1, k)
            Its weight at every frequency.
        """
        base = self.prior if self.prior.sources is None else self.prior.base
        return base.power[:, :, None] * self.mu

    def preconditioner(self):
        """
        Approximate inverse of the system: exact if pixels were spread evenly everywhere.

        Returns
        -------
        callable
            From component groups to component groups.
        """
        state = self._weighting(), self.mu.tobytes()
        return self._kept("inverse", state, self._approximate_inverse)

    def _approximate_inverse(self):
        covariance = self.covariance(self.grams())

        def precondition(groups):
            return (covariance @ groups[..., None])[..., 0]

        if self.prior.sources is None:
            return precondition
        return SourcePreconditioner(precondition, self.grid, self._known(covariance))

    def point_information(self, grams):
        """
        What the data know of the amplitudes of the sources.

        Parameters
        ----------
        grams : list of array (group, 1, k, k)
            Blocks of the normal matrix.

        Returns
        -------
        `~jwst_fusion.fusion.solver.point_sources.PointInformation`
            For pixels that are as dense everywhere as on average.
        """
        return self._known(self.covariance(grams))

    def _known(self, covariance):
        pairs = neighbours(self.prior.positions, _REACH)
        return PointInformation(self.grid, covariance, self.strength(), self.prior.points, pairs)

    def normal(self, groups):
        """
        Apply the normal matrix of data and prior.

        Parameters
        ----------
        groups : array (group, 1, k)
            Component groups.

        Returns
        -------
        array (group, 1, k)
            Component groups.
        """
        total = self.mu * self.prior.apply(groups)
        for one in self.data:
            total = total + one.operator.adjoint(one.operator.forward(groups) * one.weights)
        return total

    def rhs(self):
        """
        Right-hand side: the data, spread back.

        Returns
        -------
        array (group, 1, k)
            Component groups.
        """
        total = 0.0
        for one in self.data:
            values = (one.values - one.operator.mean(self.spectra)) * one.weights
            total = total + one.operator.adjoint(values)
        return total

    def solve(self, *, start=None, tolerance=1e-3, max_iterations=30, precondition=None):
        """
        Solve for the component maps.

        Parameters
        ----------
        start : array (group, 1, k), optional
            Component groups to begin with.
        tolerance : float, optional
            Relative residual, in the norm of the preconditioner, at which to stop.
        max_iterations : int, optional
            Largest number of iterations.
        precondition : callable, optional
            Preconditioner; that of the present weights by default.

        Returns
        -------
        `~jwst_fusion.numerics.conjugate_gradients.Solution`
            Component groups (group, 1, k).
        """
        return conjugate_gradients(
            self.normal,
            self.rhs(),
            precondition or self.preconditioner(),
            self.inner,
            start=start,
            tolerance=tolerance,
            max_iterations=max_iterations,
        )

    def continued(self, groups):
        """
        Continue the diffuse scene beyond the data, where a solve leaves it as it was.

        Images of all of the field show what is around it, too; what lies beyond them is too far to
        matter.

        Parameters
        ----------
        groups : array (group, 1, k)
            Component groups.

        Returns
        -------
        array (group, 1, k)
            Component groups; those that were given if images show all of the field.
        """
        if self._surrounded():
            return groups
        if self._surroundings is None:
            self._surroundings = Surroundings(self.grid, [one.density for one in self.data])
        sources = self.prior.sources
        diffuse = groups if sources is None else sources.diffuse(groups)
        return groups + self._surroundings.continued(diffuse)

    def _surrounded(self):
        """Whether images show nearly all that the exposures look at."""
        images = [one.coverage for one in self.data if one.operator.source is None]
        exposures = [one.coverage for one in self.data if one.operator.source is not None]
        if not images or not exposures:
            return bool(images)
        looked = np.max(exposures, axis=0) > 0.5
        return np.mean(np.max(images, axis=0)[looked] > 0.5) > _SHOWN

    def residuals(self, groups):
        """
        Data minus model.

        Parameters
        ----------
        groups : array (group, 1, k)
            Component groups.

        Returns
        -------
        list of array (size,)
            For each set of pixels in the order of its operator, MJy/sr.
        """
        return [
            one.values - one.operator.mean(self.spectra) - one.operator.forward(groups)
            for one in self.data
        ]

    def reject(self, groups, threshold):
        """
        Leave out what the scene does not explain, and take back what it does.

        An outlier also differs from the model by a part of its brightness that the PSF cannot be
        blamed for.

        Parameters
        ----------
        groups : array (group, 1, k)
            Component groups.
        threshold : float
            Largest residual in standard deviations.

        Returns
        -------
        int
            Number of pixels that are left out now.
        """
        for one, residuals in zip(self.data, self.residuals(groups), strict=True):
            least = _PART["image" if one.operator.source is None else "exposure"]
            wrong = np.abs(residuals) > least * np.abs(one.values - residuals)
            one.rejected = wrong & (np.abs(one.normalised(residuals)) > threshold)
        return sum(int(one.rejected.sum()) for one in self.data)

    def maps(self, groups, factors=1.0):
        """
        Component maps.

        Parameters
        ----------
        groups : array (group, 1, k)
            Component groups.
        factors : array (rows, columns // 2 + 1), optional
            Transfer function that they pass.

        Returns
        -------
        array (k, rows, columns)
            The maps.
        """
        spectra = half_plane(self.grid, groups) * factors
        return self.grid.synthesise_coarse(spectra.reshape(len(spectra), -1).T)
