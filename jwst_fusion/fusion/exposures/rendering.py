"""The fused cube and its errors from component maps, at the resolution of any PSF."""

import numpy as np
import scipy.fft as sf

from jwst_fusion.fusion.exposures.operator import half_plane, psf_modes

__all__ = [
    "amplitude_covariance",
    "density_levels",
    "error_cube",
    "render_cube",
    "source_spectra",
]

_LEVELS = 4  # densities of pixels between which errors are interpolated
_LEAST = 0.02  # of the typical density: where there is less, the prior alone says what is there
_NEAR = 12  # fine pixels around a source at which the error of its spectrum is added


def render_cube(problem, groups, domain, psf):
    """
    Cube of the scene seen with a PSF.

    Parameters
    ----------
    problem : SceneProblem
        The problem, with its spectra.
    groups : array (group, 1, k)
        Component groups.
    domain : Domain
        The domain.
    psf : `~jwst_fusion.psf.PsfCube`
        PSFs on the fine grid; wavelengths beyond its nodes have that of the last node.

    Returns
    -------
    array (L, ny, nx)
        MJy/sr, single precision.
    """
    wavelength = problem.spectra.axis.wavelength
    modes, weights = psf_modes(psf, wavelength)
    otf = domain.grid.otf(modes)[:, :, : domain.grid.half]
    mean, basis = problem.spectra.at(wavelength)
    cube = np.empty((len(wavelength), *domain.product.shape), np.float32)
    cube[:] = mean[:, None, None]
    rows, columns = domain.inside
    for transfer, weight in zip(otf, weights.T, strict=True):
        maps = problem.maps(groups, transfer)[:, rows, columns]
        table = (basis * weight[:, None]).astype(np.float32)
        cube += np.tensordot(table, maps.astype(np.float32), 1)
    return cube


def error_cube(problem, groups, domain, psf, spread=None):
    """
    Standard deviation of the cube under the posterior.

    Parameters
    ----------
    problem : SceneProblem
        The problem, with its weights.
    groups : array (group, 1, k)
        Component groups of its solution.
    domain : Domain
        The domain.
    psf : `~jwst_fusion.psf.PsfCube`
        As in `render_cube`.
    spread : array (knots, k + 1, k + 1), optional
        Covariance of the spectra around every knot; they are taken to be exact without.

    Returns
    -------
    array (L, ny, nx)
        MJy/sr, single precision.

    Notes
    -----
    Pixels are taken to be as dense everywhere as they are around the place in question; errors for
    four densities are interpolated in its logarithm. Near a source the error of its spectrum comes
    on top, and everywhere that of the spectra of the components, which all pixels together
    determine. What the subspace or the PSF get wrong is not part of it.
    """
    grid, rank = domain.grid, len(problem.mu)
    wavelength = problem.spectra.axis.wavelength
    modes, weights = psf_modes(psf, wavelength)
    otf = grid.otf(modes)[:, :, : grid.half].reshape(len(modes), -1)
    basis = problem.spectra.at(wavelength)[1]
    table = (basis[:, :, None] * weights[:, None, :]).reshape(len(wavelength), -1)
    grams, levels, share = problem.grams(), *density_levels(problem, domain)
    cube = np.zeros((len(wavelength), *domain.product.shape), np.float32)
    for level, part in zip(levels, share, strict=True):
        scaled = [gram * factor for gram, factor in zip(grams, level, strict=True)]
        covariance = problem.covariance(scaled)[:, 0]
        weighted = covariance * (grid.multiplicity / grid.rows / grid.columns)[:, None, None]
        sums = np.einsum("rg,gkl,sg->krls", otf.conj(), weighted, otf, optimize=True).real
        sums = sums.reshape(rank * len(modes), -1)
        variance = np.einsum("la,ab,lb->l", table, sums, table, optimize=True)
        cube += np.log(np.maximum(variance, 1e-30))[:, None, None].astype(np.float32) * part
    np.exp(cube, out=cube)
    if problem.prior.sources is not None:
        _add_sources(cube, problem, domain, weights, otf, basis, grams)
    if spread is not None:
        transfer = np.tensordot(weights.mean(axis=0), otf, 1).reshape(grid.rows, grid.half)
        maps = problem.maps(groups, transfer)[:, *domain.inside]
        seen = np.concatenate([np.ones((1, *maps.shape[1:])), maps]).reshape(rank + 1, -1)
        at = np.rint(problem.spectra.axis.position(wavelength)).astype(np.intp)
        for plane, factor in zip(cube, np.linalg.cholesky(spread[at]), strict=True):
            plane += np.sum((factor.T @ seen) ** 2, axis=0).reshape(plane.shape)
    return np.sqrt(cube, out=cube)


def density_levels(problem, domain):
    """
    Densities of pixels for which errors are computed, and where each of them holds.

    Parameters
    ----------
    problem : SceneProblem
        The problem, with its data.
    domain : Domain
        The domain.

    Returns
    -------
    levels : list of list of float
        Factors on the blocks of each set of pixels, for each density.
    share : array (node, ny, nx) of float32
        Share of each density at the pixels of the product; they sum to one.
    """
    images = [one.operator.source is None for one in problem.data]
    typical = [len(one.values) / one.area for one in problem.data]
    rows, columns = domain.inside
    density = sum(
        one.density[rows, columns]
        for one, image in zip(problem.data, images, strict=True)
        if not image
    )
    density = density / sum(one for one, image in zip(typical, images, strict=True) if not image)
    # A pixel at the rim is known from one side, and one beyond it from afar.
    density = density * np.max(
        [
            one.coverage[rows, columns]
            for one, image in zip(problem.data, images, strict=True)
            if not image
        ],
        axis=0,
    )
    logarithm = np.log(np.maximum(density, _LEAST))
    low, high = logarithm.min(), logarithm.max()
    nodes = np.linspace(low, high, _LEVELS) if high > low + 0.1 else np.array([logarithm.mean()])
    if len(nodes) == 1:
        share = np.ones((1, *density.shape))
    else:
        at = (logarithm - low) / (high - low) * (len(nodes) - 1)
        share = np.maximum(1 - np.abs(at - np.arange(len(nodes))[:, None, None]), 0)
    levels = [[1.0 if image else float(np.exp(node)) for image in images] for node in nodes]
    if not any(images):
        return levels, share.astype(np.float32)
    # Where there is no image, the same without.
    seen = np.zeros(density.shape, bool)
    for one, image, usual in zip(problem.data, images, typical, strict=True):
        if image:
            seen |= one.density[rows, columns] > 0.5 * usual
    if not seen.all():
        dark = [
            [0.0 if image else factor for factor, image in zip(level, images, strict=True)]
            for level in levels
        ]
        levels, share = levels + dark, np.concatenate([share * seen, share * ~seen])
    return levels, share.astype(np.float32)


def _add_sources(cube, problem, domain, weights, otf, basis, grams):
    """Add the variance that the amplitudes of the sources bring to the pixels around them."""
    grid, rank = domain.grid, len(problem.mu)
    known = problem.point_information(grams)
    amplitudes = known.covariance().reshape(len(problem.prior.positions), rank, -1, rank)
    transfer = np.tensordot(weights.mean(axis=0), otf, 1).reshape(grid.rows, grid.half)
    reaction = known.reaction[:, 0]  # B^-1 P
    ny, nx = domain.product.shape
    for number, (x, y) in enumerate(problem.prior.positions - domain.margin):
        column, row = round(x), round(y)
        if not (-_NEAR < column < nx + _NEAR and -_NEAR < row < ny + _NEAR):
            continue
        rows = slice(max(row - _NEAR, 0), min(row + _NEAR + 1, ny))
        columns = slice(max(column - _NEAR, 0), min(column + _NEAR + 1, nx))
        if rows.stop <= rows.start or columns.stop <= columns.start:
            continue
        shape = problem.prior.points[:, 0, number, None, None] * reaction
        maps = half_plane(grid, shape.reshape(len(shape), 1, -1)) * transfer
        maps = sf.irfft2(maps, grid.shape, norm="ortho")[:, *domain.inside][:, rows, columns]
        maps = maps.reshape(rank, rank, -1)  # component, amplitude, pixel
        factor = np.linalg.cholesky(
            amplitudes[number, :, number]
            + 1e-12 * np.eye(rank) * np.trace(amplitudes[number, :, number])
        )
        seen = np.einsum("kap,ab->kbp", maps, factor)
        spectra = np.tensordot(basis, seen, 1)  # channel, column of the factor, pixel
        extra = np.einsum("lbp,lbp->lp", spectra, spectra)
        size = rows.stop - rows.start, columns.stop - columns.start
        cube[:, rows, columns] += extra.reshape(-1, *size).astype(np.float32)


def source_spectra(problem, groups, pixel_area, spread=None, *, slopes=None, covariance=None):
    """
    Flux densities of the point sources, with errors.

    Parameters
    ----------
    problem : SceneProblem
        The problem.
    groups : array (group, 1, k)
        Component groups.
    pixel_area : float
        Area of a fine pixel, steradian.
    spread : array (knots, k + 1, k + 1), optional
        As in `error_cube`.
    slopes : array (n, J, k), optional
        Derivatives of the amplitudes by other parameters that were fitted.
    covariance : array (n, n), optional
        Covariance of these.

    Returns
    -------
    flux : array (J, L)
        Jy; that of no source has the shape (0, L).
    error : array (J, L)
        Its standard deviation.
    factor : array (J, L, k)
        F, the part of the errors that channels share: their covariance is F F^T.
    """
    wavelength = problem.spectra.axis.wavelength
    basis = problem.spectra.at(wavelength)[1]
    if problem.prior.sources is None:
        none = np.zeros((0, len(basis)))
        return none, none, np.zeros((0, *basis.shape))
    amplitudes = problem.prior.amplitudes(groups)
    unit = pixel_area * 1e6  # MJy/sr in a pixel to Jy
    blocks = amplitude_covariance(problem, problem.grams(), slopes, covariance)
    values, vectors = np.linalg.eigh(blocks)
    factor = basis @ (vectors * np.sqrt(np.maximum(values, 0))[:, None, :])
    variance = np.sum(factor**2, axis=2)
    if spread is not None:
        at = np.rint(problem.spectra.axis.position(wavelength)).astype(np.intp)
        own = spread[at, 1:, 1:]
        variance = variance + np.einsum("ja,lab,jb->jl", amplitudes, own, amplitudes, optimize=True)
    return amplitudes @ basis.T * unit, np.sqrt(variance) * unit, factor * unit


def amplitude_covariance(problem, grams, slopes=None, covariance=None):
    """
    Covariance of the amplitudes of each point source.

    Parameters
    ----------
    problem : SceneProblem
        The problem, with sources.
    grams : list of array (group, 1, k, k)
        Blocks of its normal matrix.
    slopes, covariance : array, optional
        As in `source_spectra`.

    Returns
    -------
    array (J, k, k)
        The covariances.
    """
    known = problem.point_information(grams).covariance()
    count, rank = len(problem.prior.positions), len(problem.mu)
    blocks = known.reshape(count, rank, count, rank)[np.arange(count), :, np.arange(count)]
    if slopes is not None:
        blocks = blocks + np.einsum("pja,pq,qjb->jab", slopes, covariance, slopes, optimize=True)
    return blocks
