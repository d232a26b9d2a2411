"""PSFs of a cube and of the images at common wavelengths on their common grid."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from jwst_fusion.fusion.psf.mrs import mrs_parts
from jwst_fusion.psf import chebyshev_nodes, read_psf
from jwst_fusion.psf.cube import lagrange_weights
from jwst_fusion.psf.instruments import NIRCAM_LIMIT

__all__ = ["PsfPair", "psf_pair", "read_psf_pair"]

log = logging.getLogger(__name__)

# Wavelengths at which measured PSFs, smooth already, are sampled.
_STAR_NODES = 16
# Wavelengths at most for files: PSFs of a grating or channel need 10 to 20.
_FILE_NODES = 32
# Sum of the absolute weights (1 without any overshoot) from which one polynomial is not trusted to
# interpolate between the wavelengths of a file.
_UNSTABLE = 5.0


@dataclass(frozen=True)
class PsfPair:
    """
    PSFs of images and cube at common wavelength nodes.

    Attributes
    ----------
    weights : array (L, R)
        Interpolation weights of the nodes for each channel; rows sum to 1.
    image, cube : array (R, m, m)
        PSFs on the fine grid, unit sum, odd size.
    source : str
        Where they come from.
    nodes : array (R,)
        Wavelength of the nodes, micrometre.
    """

    weights: np.ndarray
    image: np.ndarray
    cube: np.ndarray
    source: str
    nodes: np.ndarray


def psf_pair(wavelength, image, cube, *, count="auto", pixel_scale, npix):
    """
    Make the PSFs of images and cube at common wavelength nodes.

    Parameters
    ----------
    wavelength : array (L,)
        Channels of the cube, micrometre.
    image, cube : `~jwst_fusion.fusion.psf.optics.Optics`
        How the PSFs of the images and of the cube are made.
    count : int or "auto"
        Number of nodes, or as many as it takes to interpolate both PSFs to the accuracy of
        `jwst_fusion.psf.nodes.TOLERANCE`.
    pixel_scale : float
        Pixel of the common grid, arcsec.
    npix : int
        Size of the PSFs in pixels, odd.

    Returns
    -------
    PsfPair
        The PSFs.

    Raises
    ------
    ValueError
        If an instrument has no PSF model or a parameter is out of range.

    Notes
    -----
    PSFs of NIRCam jump where its channels meet, those of the MIRI spectrometer at its channels.
    Nodes are therefore laid on either side. On a side of NIRCam's limit without images the images'
    PSF is that of the nearest wavelength that has some.
    """
    parts = []
    grid = {"pixel_scale": pixel_scale, "npix": npix}
    for channel, inside in _channels(wavelength, image, cube):
        if not inside.any():
            continue
        low, high = wavelength[inside].min(), wavelength[inside].max()
        share = (high - low) / max(np.ptp(wavelength), 1e-9)
        nodes = np.array([low])
        if high - low > 1e-6 * high:
            number = count
            if count == "auto":
                counts = [one.count(low, high, channel, **grid) for one in (image, cube)]
                number = _STAR_NODES if image.star and cube.star else max(counts)
            else:
                number = max(min(4, count), round(count * share))
            nodes = chebyshev_nodes(low, high, number)
        ours = image.psf(nodes, channel, **grid) if image.serves(channel) else None
        parts.append((inside, ours, cube.psf(nodes, channel, **grid)))
    parts = _continued(parts)
    weights = np.zeros((len(wavelength), sum(len(one.data) for _, one, _ in parts)))
    start = 0
    for inside, one, _ in parts:
        stop = start + len(one.data)
        weights[inside, start:stop] = one.weights(wavelength[inside])
        start = stop
    return PsfPair(
        weights=weights,
        image=np.concatenate([one.data for _, one, _ in parts]),
        cube=np.concatenate([one.data for _, _, one in parts]),
        source=_named(*parts[0][1:]),
        nodes=np.concatenate([one.wavelength for _, one, _ in parts]),
    )


def _named(image, cube):
    """Source of both, or of images and cube if they differ."""
    if image.source == cube.source:
        return image.source
    return f"{image.source} (images), {cube.source} (cube)"


def _continued(parts):
    """Let the images' PSF at the edge of one channel stand for a channel without images."""
    known = next(image for _, image, _ in parts if image is not None)
    filled = []
    for inside, image, cube in parts:
        if image is None:
            beyond = cube.wavelength[0] > known.wavelength[-1]
            edge = -1 if beyond else 0
            log.info(
                "No image %s %.3f um: the result has the imager's PSF at that wavelength there",
                "beyond" if beyond else "below",
                known.wavelength[edge],
            )
            data = np.repeat(known.data[edge][None], len(cube.data), axis=0)
            image = replace(known, data=data, wavelength=cube.wavelength)
        filled.append((inside, image, cube))
    return filled


def read_psf_pair(wavelength, path_image, path_cube, *, pixel_scale, npix, broadening=0.0):
    """
    Read the PSFs of images and cube from files.

    Parameters
    ----------
    wavelength : array (L,)
        Channels of the cube, micrometre.
    path_image, path_cube : str
        Complete PSFs in the orientation of the common grid, as read by `jwst_fusion.psf.read_psf`.
    pixel_scale : float
        Pixel of the common grid, arcsec.
    npix : int
        Size of the PSFs in pixels, odd.
    broadening : float, optional
        Sigma of a Gaussian that widens the PSF of the images, arcsec.

    Returns
    -------
    PsfPair
        The PSFs at as many nodes as the file that has more of them.

    Raises
    ------
    ValueError
        If a file does not cover the wavelengths.
    """
    image = read_psf(path_image, pixel_scale=pixel_scale, npix=npix, broadening=broadening)
    cube = read_psf(path_cube, pixel_scale=pixel_scale, npix=npix)
    count = min(max(len(image.wavelength), len(cube.wavelength)), _FILE_NODES)
    nodes = chebyshev_nodes(wavelength.min(), wavelength.max(), count)
    return PsfPair(
        weights=lagrange_weights(nodes, wavelength),
        image=_at_nodes(image, nodes, path_image),
        cube=_at_nodes(cube, nodes, path_cube),
        source=f"{image.source} (file)",
        nodes=nodes,
    )


def _at_nodes(psf, nodes, path):
    """PSFs of a file at other wavelengths, shape (node, y, x)."""
    try:
        weights = psf.weights(nodes)
    except ValueError as error:
        msg = f"the PSF file {path}: {error}"
        raise ValueError(msg) from error
    if np.abs(weights).sum(axis=1).max() <= _UNSTABLE:
        return np.tensordot(weights, psf.data, axes=1)
    # One polynomial through many evenly spaced wavelengths oscillates: cubics through the nearest.
    out = np.empty((len(nodes), *psf.data.shape[1:]))
    last = len(psf.wavelength) - 4
    for one, node in zip(out, nodes, strict=True):
        start = int(np.clip(np.searchsorted(psf.wavelength, node) - 2, 0, last))
        near = slice(start, start + 4)
        row = lagrange_weights(psf.wavelength[near], [node])[0]
        one[...] = np.tensordot(row, psf.data[near], axes=1)
    return out


def _channels(wavelength, image, cube):
    """Parts of the wavelengths between which a PSF jumps, each with a name."""
    if cube.instrument == "MIRI_MRS" and isinstance(cube.channels, dict):
        return list(mrs_parts(wavelength, "".join(cube.channels)).items())
    if image.instrument != "NIRCAM":
        return [(image.instrument, np.ones(len(wavelength), bool))]
    short = wavelength < NIRCAM_LIMIT
    return [("SHORT", short), ("LONG", ~short)]
