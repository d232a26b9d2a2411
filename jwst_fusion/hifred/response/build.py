"""Terms of a response from PSFs, line spread functions, areas, vignetting and rebinning."""

from __future__ import annotations

import operator

import numpy as np
from scipy import sparse

from jwst_fusion.hifred.response.energies import interpolation, nodes_of, thinned
from jwst_fusion.hifred.response.kernels import kernel_stack
from jwst_fusion.hifred.response.spatial import convolution_matrix
from jwst_fusion.hifred.response.spectral import check_matrix, spectral_matrix

__all__ = ["build_terms", "check_image_shape", "observed_image_shape"]


def check_image_shape(name, shape, dimensions):
    """
    Return a shape as a tuple of positive integers.

    Parameters
    ----------
    name : str
        Name of the parameter, for messages.
    shape : sequence of int
        The shape.
    dimensions : int
        Number of axes that it must have.

    Returns
    -------
    tuple of int
        The shape, checked.

    Raises
    ------
    ValueError
        If it is something else.
    """
    try:
        found = tuple(operator.index(n) for n in shape)
    except TypeError:
        found = ()
    if len(found) != dimensions or min(found) < 1:
        msg = f"{name} is {shape!r}: expected {dimensions} positive integers"
        raise ValueError(msg)
    return found


def observed_image_shape(shape, rebin, spatial, observed_image):
    """
    Find the shape of the observed images; see `Response.build`.

    Parameters
    ----------
    shape : tuple of int
        Shape (L, M, N) of the source.
    rebin : sequence of int
        Numbers of channels, rows and columns that are summed.
    spatial : array_like or sparse matrix (m * n, M * N) or None
        Spatial response, if it is given as a matrix.
    observed_image : sequence of int or None
        The shape, if it is given.

    Returns
    -------
    tuple of int
        Shape (m, n): as given, or (M, N) rebinned.

    Raises
    ------
    ValueError
        If the shape or `rebin` are not positive integers, or `spatial` does not have as many rows
        as the images have pixels.
    """
    if observed_image is not None:
        return check_image_shape("observed_image", observed_image, 2)
    factors = check_image_shape("rebin", rebin, 3)[1:]
    image = (shape[1] // factors[0], shape[2] // factors[1])
    if spatial is not None and np.shape(spatial)[0] != image[0] * image[1]:
        msg = f"spatial has {np.shape(spatial)[0]} rows: observed_image must say of which image"
        raise ValueError(msg)
    return image


def _check_rebin(shape, rebin, spatial):
    factors = check_image_shape("rebin", rebin, 3)
    if spatial is not None:
        return factors
    for axis, size, factor in zip("yx", shape[1:], factors[1:], strict=True):
        if size % factor:
            msg = f"rebin along {axis} is {factor}: expected a divisor of {size} pixels"
            raise ValueError(msg)
    return factors


def _field_weights(psf_weights, image):
    if psf_weights is None:
        return None
    weights = np.asarray(psf_weights, float)
    if weights.ndim != 3 or weights.shape[1:] != image:
        msg = f"psf_weights has the shape {weights.shape}: expected (P, {image[0]}, {image[1]})"
        raise ValueError(msg)
    if not np.isfinite(weights).all() or weights.min() < 0:
        msg = "psf_weights must be finite and not negative"
        raise ValueError(msg)
    total = weights.sum(axis=0)
    if np.abs(total - 1).max() > 1e-6:
        msg = f"psf_weights must sum to 1 at every pixel; found {total.min():.4g} to "
        msg += f"{total.max():.4g}"
        raise ValueError(msg)
    return weights


def _psf_terms(shape, psf, psf_nodes, psf_weights, factors, centre):
    """Nodes' weights (K, L) and a matrix for each node."""
    image = shape[1:]
    weights = _field_weights(psf_weights, image)
    places = 1 if weights is None else len(weights)
    psf = np.asarray(psf, float)
    one = 2 if weights is None else 3
    if psf.ndim not in (one, one + 1) or (weights is not None and psf.shape[-3] != places):
        msg = (
            f"psf has the shape {psf.shape}: expected (y, x), (K, y, x), or with psf_weights "
            "(P, y, x), (K, P, y, x)"
        )
        raise ValueError(msg)
    stack = psf[None] if psf.ndim == one else psf
    nodes = nodes_of("psf_nodes", psf_nodes, len(stack), shape[0])
    if np.isfinite(stack).all():
        kept = thinned("psf", stack, nodes)
        stack, nodes = stack[kept], nodes[kept]
    kernels = kernel_stack("psf", stack, dimensions=2, centre=centre)
    matrices = [
        convolution_matrix(
            kernels[k * places : (k + 1) * places], image, rebin=factors[1:], weights=weights
        )
        for k in range(len(stack))
    ]
    return interpolation(nodes, shape[0]), matrices


def _vignetting_terms(shape, vignetting, nodes):
    """Nodes' weights (K, L) and a map (M * N,) for each node."""
    vignetting = np.asarray(vignetting, float)
    if vignetting.ndim not in (2, 3) or vignetting.shape[-2:] != shape[1:]:
        msg = f"vignetting has the shape {vignetting.shape}: expected (M, N) or (K, M, N), with "
        msg += f"M, N = {shape[1]}, {shape[2]}"
        raise ValueError(msg)
    if not np.isfinite(vignetting).all() or vignetting.min() < 0 or not vignetting.any():
        msg = "vignetting must be finite, not negative and not zero throughout"
        raise ValueError(msg)
    stack = vignetting[None] if vignetting.ndim == 2 else vignetting
    nodes = nodes_of("vignetting_nodes", nodes, len(stack), shape[0])
    kept = thinned("vignetting", stack, nodes)
    return interpolation(nodes[kept], shape[0]), stack[kept].reshape(len(kept), -1)


def build_terms(
    shape,
    *,
    psf=None,
    psf_nodes=None,
    psf_weights=None,
    lsf=None,
    rmf=None,
    arf=None,
    exposure=1.0,
    rebin=(1, 1, 1),
    vignetting=None,
    vignetting_nodes=None,
    spectral=None,
    spatial=None,
    centre=None,
):
    """
    Terms of a response, from the same parameters as `Response.build`.

    Parameters
    ----------
    shape : tuple of int
        Shape (L, M, N) of the source: energy, y, x.
    psf : array_like, optional
        Kernel (y, x), or (K, y, x), (P, y, x) or (K, P, y, x) by energy node K and place P.
    psf_nodes : array_like (K,), optional
        Index of the energy of each kernel, not necessarily whole.
    psf_weights : array_like (P, M, N), optional
        Weight of the kernel of each place for a source at each pixel, of sum 1 over P.
    lsf : array_like (k,) or (L, k), optional
        Line spread function on the source's energies.
    rmf : array_like or sparse matrix (channels, L), optional
        Redistribution matrix.
    arf : array_like (L,), optional
        Effective area per energy.
    exposure : float
        Exposure time; multiplies the response.
    rebin : tuple of int
        Numbers of channels, rows and columns that are summed.
    vignetting : array_like (M, N) or (K, M, N), optional
        Transmission, one map or one per energy node.
    vignetting_nodes : array_like (K,), optional
        Indices of energies like `psf_nodes`.
    spectral : array_like or sparse matrix (channels, L), optional
        Spectral response instead of `lsf` or `rmf`.
    spatial : array_like or sparse matrix (m * n, M * N), optional
        Spatial response instead of `psf`, rebinning included.
    centre : "centroid", "middle" or tuple of float, optional
        Which place of a kernel is the position of the source; by default the middle of PSFs and
        the centroid of line spread functions.

    Returns
    -------
    list of tuple
        Energies (slice), spectral matrix (l, energies) and spatial matrix (m * n, M * N) of each
        term, both sparse.

    Raises
    ------
    ValueError
        If sizes disagree, values are not finite or negative, parameters exclude one another, or
        `rebin` does not divide.
    """
    size, pixels = shape[0], shape[1] * shape[2]
    factors = _check_rebin(shape, rebin, spatial)
    if not (np.ndim(exposure) == 0 and np.isfinite(exposure) and exposure > 0):
        msg = f"exposure is {exposure!r}: expected a positive number"
        raise ValueError(msg)
    if psf is not None and spatial is not None:
        msg = "psf and spatial are given: expected one of them"
        raise ValueError(msg)
    if psf is None and (psf_weights is not None or psf_nodes is not None):
        msg = "psf_weights and psf_nodes belong to psf, which is not given"
        raise ValueError(msg)
    area = spectral_matrix(
        size,
        lsf=lsf,
        rmf=rmf,
        matrix=spectral,
        arf=arf,
        rebin=factors[0],
        # an index per axis is of the PSF
        centre=centre if isinstance(centre, str) else "centroid",
    ) * float(exposure)
    bands = np.ones((1, size))
    if psf is not None:
        place = "middle" if centre is None else centre
        bands, matrices = _psf_terms(shape, psf, psf_nodes, psf_weights, factors, place)
    elif spatial is not None:
        matrices = [check_matrix("spatial", spatial, pixels)]
    else:
        matrices = [convolution_matrix([np.ones((1, 1))], shape[1:], rebin=factors[1:])]
    fields, maps = np.ones((1, size)), [None]
    if vignetting is not None:
        fields, maps = _vignetting_terms(shape, vignetting, vignetting_nodes)
    terms = []
    for band, matrix in zip(bands, matrices, strict=True):
        for field, image in zip(fields, maps, strict=True):
            held = np.flatnonzero(band * field)
            if not held.size:
                continue
            energies = slice(int(held[0]), int(held[-1]) + 1)
            weights = sparse.diags_array((band * field)[energies])
            spatial_term = matrix if image is None else matrix @ sparse.diags_array(image)
            terms.append((energies, area[:, energies] @ weights, sparse.csr_array(spatial_term)))
    return terms
