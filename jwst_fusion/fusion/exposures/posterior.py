"""The posterior of a scene from exposures in compact form, for errors of sums over its cube."""

import numpy as np
import scipy.fft as sf

from jwst_fusion.fusion.exposures.operator import MODES, half_plane
from jwst_fusion.fusion.exposures.rendering import amplitude_covariance, density_levels
from jwst_fusion.fusion.solver.map_covariance import covariance_reach, logarithmic
from jwst_fusion.fusion.solver.posterior import CubePosterior, SourcePosterior

__all__ = ["scene_posterior"]

# Of its largest value: where the sharpest transfer function is less, no cube shows the maps.
_UNSEEN = 3e-3
# Fine pixels: half size of the PSFs beyond the sharpest. Errors of sums in the demo change by less
# than 0.1 % from half of that to all of the PSF, and take an eighth of the time.
_HALF = 16
_FAINT = 1e-3  # of the variance by what was fitted beside the scene: smaller parts are left out


def scene_posterior(problem, groups, domain, psf, spread=None, *, slopes=None, elimination=None):
    r"""
    Posterior of the cube of a scene, smaller than the cube.

    Parameters
    ----------
    problem : SceneProblem
        The problem, with its weights.
    groups : array (group, 1, k)
        Component groups of its solution.
    domain : Domain
        The domain.
    psf : `~jwst_fusion.psf.PsfCube`
        PSFs of the cube on the fine grid.
    spread : array (knots, k + 1, k + 1), optional
        Covariance of the spectra around every knot; they are taken to be exact without.
    slopes : array (m, J, k), optional
        Derivatives of the amplitudes of the sources by other parameters that were fitted.
    elimination : Elimination, optional
        How the scene follows these, and their covariance.

    Returns
    -------
    CubePosterior
        The posterior, on the grid of the product.

    Notes
    -----
    As in `~jwst_fusion.fusion.exposures.rendering.error_cube`, pixels are taken to be as dense
    everywhere as they are around a place, for some densities; between these, variances are
    interpolated in the logarithm. With the posterior covariance :math:`C_{ab}(f)` of two components
    at a frequency, maps at pixels that are d apart have the covariance
    :math:`N^{-1} \sum_f C_{ab}(f) e^{2 \pi i f d}`, N being the number of pixels of the domain.
    """
    grid = domain.grid
    wavelength = problem.spectra.axis.wavelength
    basis = problem.spectra.at(wavelength)[1]
    sharp, modes, weights = _behind_sharpest(grid, psf, wavelength)
    power = (np.abs(sharp) ** 2).ravel()[:, None, None]
    grams, levels, share = problem.grams(), *density_levels(problem, domain)
    shape = (len(wavelength), *domain.product.shape)
    reach = covariance_reach(shape, 1, len(problem.mu), len(levels))
    kernels, variances = [], []
    for level in levels:
        scaled = [gram * factor for gram, factor in zip(grams, level, strict=True)]
        kernel = _near(grid, problem.covariance(scaled)[:, 0] * power, reach)
        kernels.append(kernel)
        # Between levels it is the variance of what the cube shows that is interpolated.
        variances.append(np.einsum("la,ab,lb->", basis, kernel[:, :, reach, reach], basis))
    maps = problem.maps(groups, sharp)[:, *domain.inside]
    sources = common = common_mean = None
    if problem.prior.sources is not None:
        fitted = None, None
        if slopes is not None:
            alike = elimination.alike
            fitted = slopes[alike], elimination.own[np.ix_(alike, alike)]
        sources = _sources(problem, domain, grams, reach, sharp, fitted)
    if elimination is not None:
        common, common_mean = _common(problem, groups, domain, sharp, elimination)
    spectra = None
    if spread is not None:
        at = np.rint(problem.spectra.axis.position(wavelength)).astype(np.intp)
        spectra = spread[at]
    return CubePosterior(
        covariance=np.array(kernels, np.float32),
        share=(share * logarithmic(share, np.array(variances))).astype(np.float32),
        basis=basis,
        psf_weights=weights,
        psf=modes,
        maps=maps,
        spectra=spectra,
        sources=sources,
        common=common,
        common_mean=common_mean,
    )


def _common(problem, groups, domain, sharp, elimination):
    """Changes of maps (q, k, y, x) and mean (q, L) by what was fitted beside the scene.

    Widths that all PSFs share are not among it.
    """
    chosen = ~elimination.alike
    if not chosen.any():
        return None, None
    mean, basis = problem.spectra.at(problem.spectra.axis.wavelength)
    maps = [
        problem.maps(one, sharp)[:, *domain.inside].astype(np.float32)
        for one in elimination.changes(problem, groups)
    ]
    maps = elimination.folded(np.array(maps))[chosen]
    spectra = np.zeros((len(elimination.parameters), len(mean)))
    for one, spectrum in zip(elimination.parameters, spectra, strict=True):
        if one.spectral:
            spectrum[:] = 1.0 if one.kind == "level" else mean
    spectra = elimination.folded(spectra)[chosen]
    # The largest changes of the cube together.
    seen = np.einsum("pkyx,kl->plyx", maps, np.linalg.cholesky(_square(basis)).astype(np.float32))
    seen = seen.reshape(len(maps), -1)
    size = (seen @ seen.T).astype(float) / seen.shape[1]
    values, vectors = np.linalg.eigh(elimination.own[np.ix_(chosen, chosen)])
    root = vectors * np.sqrt(np.maximum(values, 0))
    values, vectors = np.linalg.eigh(root.T @ size @ root)
    kept = values > _FAINT * values.sum()
    if not kept.any():
        return None, None
    turned = root @ vectors[:, kept]
    common = np.tensordot(turned.T.astype(np.float32), maps, 1)
    return common, turned.T @ spectra


def _square(basis):
    """Mean over the channels of the products of basis spectra, positive definite."""
    square = basis.T @ basis / len(basis)
    return square + 1e-9 * np.trace(square) * np.eye(len(square))


def _behind_sharpest(grid, psf, wavelength):
    """Transfer function of the sharpest PSF, and modes (m, y, x), weights (L, m) beyond it.

    Maps without a PSF have errors at high frequencies that reach far, and that no cube shows.
    """
    transfer = grid.otf(psf.data)[:, :, : grid.half]
    sharp = transfer[np.argmax(np.sum(psf.data**2, axis=(1, 2)))]
    relative = transfer * sharp.conj() / (np.abs(sharp) ** 2 + _UNSEEN**2)
    planes = np.roll(sf.irfft2(relative, grid.shape), [n // 2 for n in grid.shape], (1, 2))
    half = min(_HALF, *(n // 2 - 1 for n in grid.shape))
    y, x = (slice(n // 2 - half, n // 2 + half + 1) for n in grid.shape)
    planes = planes[:, y, x]
    nodes = psf.weights(np.clip(wavelength, *psf.wavelength[[0, -1]]))
    left, values, right = np.linalg.svd(planes.reshape(len(planes), -1), full_matrices=False)
    kept = values > MODES * values[0]
    return sharp, right[kept].reshape(-1, *planes.shape[1:]), nodes @ (left * values)[:, kept]


def _near(grid, blocks, reach):
    """Kernels (a, b, 2 reach + 1, 2 reach + 1) of blocks (group, a, b), their middle at zero.

    What lies farther is spread over all of a kernel, so that its sum stays that of the whole.
    """
    rank = blocks.shape[-1]
    spectra = half_plane(grid, blocks.reshape(len(blocks), 1, -1))
    at = np.arange(-reach, reach + 1)
    found = np.empty((len(spectra), len(at), len(at)))
    for one, spectrum in zip(found, spectra, strict=True):
        one[:] = sf.irfft2(spectrum, grid.shape)[np.ix_(at, at)]
        one += (spectrum[0, 0].real - one.sum()) / one.size
    return found.reshape(rank, rank, len(at), len(at))


def _sources(problem, domain, grams, reach, sharp, fitted):
    """What the errors of the point sources add."""
    reaction = problem.point_information(grams).reaction[:, 0] * sharp.ravel()[:, None, None]
    return SourcePosterior(
        positions=problem.prior.positions - domain.margin,
        covariance=amplitude_covariance(problem, grams, *fitted),
        response=_near(domain.grid, reaction, reach),
    )
