"""The direct solution against dense algebra and conjugate gradients made without the package."""

from dataclasses import replace

import numpy as np
from scipy.ndimage import convolve
from scipy.sparse.linalg import LinearOperator, cg

from fusion_benchmark.lines import Line
from fusion_benchmark.observe import uniform
from fusion_benchmark.scenes import nebula, nebula_psf
from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.solver.settings import FusionSettings

__all__ = ["exactness"]

_LIMIT = 1e-8
_RANK = 3
_MU = 1e-3


def exactness(*, quick=False):
    """
    Relative difference between the coefficients of the direct and of other solutions.

    Parameters
    ----------
    quick : bool
        Only the dense comparison.

    Returns
    -------
    list of Line
    """
    lines = [_compare((3, 4), 60, dense=True)]
    if not quick:
        lines.append(_compare((10, 10), 101, dense=False))
    return lines


def _compare(field, channels, *, dense):
    psf = nebula_psf(channels, nodes=4, size=15)
    # a PSF without symmetry, so that no conjugation can hide
    skew = np.zeros((4, 15, 15))
    skew[:, 5, 9] = np.linspace(0.1, 0.3, 4)
    share = 1 - skew.sum((1, 2), keepdims=True)
    psf = replace(psf, image=share * psf.image + skew, cube=share * psf.cube + skew)
    data = uniform(nebula(field, channels).problem(psf))
    options = {"tuning": "manual", "mu": _MU, "rank": _RANK, "boundary": "mirror"}
    result = fuse(data, FusionSettings(**options, refine=False, errors=False))
    reference = _Reference(data, result.subspace)
    if dense:
        solution = reference.solve_densely()
        how = f"dense algebra, {solution.size} unknowns"
    else:
        solution, count = reference.solve_iteratively()
        how = f"conjugate gradients, {solution.size} unknowns, {count} iterations"
    rows, columns = (3 * size for size in field)
    expected = solution.reshape(_RANK, 2 * rows, 2 * columns)[:, :rows, :columns]
    error = np.linalg.norm(result.coefficients - expected) / np.linalg.norm(expected)
    return Line.at_most(
        f"direct solution, {field[0]} x {field[1]} spaxels: relative difference",
        error,
        _LIMIT,
        beside=how + " in direct space",
    )


class _Reference:
    """Normal equations by convolution in direct space on the mirrored, periodic domain."""

    def __init__(self, data, subspace):
        self.data, self.factor = data, data.factor
        self.shape = tuple(2 * self.factor * size for size in data.cube.shape[1:])
        basis = subspace.basis
        image = np.einsum("fl,lr,la->fra", data.response, data.psf_weights, basis)
        self.image = image / data.image_sigma[:, None, None]
        cube = data.psf_weights[:, :, None] * basis[:, None, :]
        self.cube = cube / data.cube_sigma[:, None, None]
        level = (data.response @ subspace.mean)[:, None, None]
        images = (data.images - level) / data.image_sigma[:, None, None]
        voxels = (data.cube - subspace.mean[:, None, None]) / data.cube_sigma[:, None, None]
        mirror = [(0, 0), (0, images.shape[1]), (0, images.shape[2])]
        self.images = np.pad(images, mirror, mode="symmetric")
        mirror = [(0, 0), (0, voxels.shape[1]), (0, voxels.shape[2])]
        self.voxels = np.pad(voxels, mirror, mode="symmetric")

    def forward(self, maps):
        """Whitened images and cube of component maps (k, Y, X)."""
        return self._seen(maps, self.data.psf_image, self.image), self._sampled(maps)

    def adjoint(self, images, voxels):
        """Component maps of whitened images and cube."""
        spread = np.zeros((len(voxels), *self.shape))
        start = (self.factor - 1) // 2
        spread[:, start :: self.factor, start :: self.factor] = voxels
        return self._spread(images, self.data.psf_image, self.image) + self._spread(
            spread, self.data.psf_cube, self.cube
        )

    def normal(self, maps):
        """Apply the operator of the normal equations."""
        out = self.adjoint(*self.forward(maps))
        for axis in (1, 2):
            step = maps - np.roll(maps, 1, axis)
            out += _MU * (step - np.roll(step, -1, axis))
        return out

    def solve_densely(self):
        """Solve with the matrix of `normal`."""
        size = _RANK * self.shape[0] * self.shape[1]
        matrix = np.empty((size, size))
        for index, unit in enumerate(np.eye(size)):
            matrix[:, index] = self.normal(unit.reshape(_RANK, *self.shape)).ravel()
        return np.linalg.solve(matrix, self.adjoint(self.images, self.voxels).ravel())

    def solve_iteratively(self):
        """Solve by conjugate gradients without preconditioner to a tight tolerance."""
        rhs = self.adjoint(self.images, self.voxels).ravel()
        count = []
        operator = LinearOperator(
            (rhs.size, rhs.size), lambda v: self.normal(v.reshape(_RANK, *self.shape)).ravel()
        )
        solution, _ = cg(operator, rhs, rtol=1e-13, maxiter=3000, callback=count.append)
        return solution, len(count)

    def _seen(self, maps, psfs, mixing):
        blurred = np.array([[convolve(one, psf, mode="wrap") for one in maps] for psf in psfs])
        return np.tensordot(mixing, blurred, 2)

    def _sampled(self, maps):
        start = (self.factor - 1) // 2
        blurred = np.array(
            [[convolve(one, psf, mode="wrap") for one in maps] for psf in self.data.psf_cube]
        )
        take = (..., slice(start, None, self.factor), slice(start, None, self.factor))
        return np.tensordot(self.cube, blurred[take], 2)

    def _spread(self, images, psfs, mixing):
        mixed = np.tensordot(mixing, images, (0, 0))
        return sum(
            np.array([convolve(one, psf[::-1, ::-1], mode="wrap") for one in part])
            for part, psf in zip(mixed, psfs, strict=True)
        )
