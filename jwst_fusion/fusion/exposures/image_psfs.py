"""PSFs of the images of a fusion from exposures, each for itself, and the PSF of the product."""

import itertools
from dataclasses import dataclass, field, replace

import numpy as np

from jwst_fusion.bandpass import load_bandpass
from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.psf.headers import default_size
from jwst_fusion.fusion.psf.optics import Optics, TelescopeModel
from jwst_fusion.numerics.gaussian import FWHM_OF_SIGMA
from jwst_fusion.psf import PsfCube, chebyshev_nodes, read_psf
from jwst_fusion.psf.checks import LARGEST_FIELD
from jwst_fusion.psf.instruments import INSTRUMENTS, NIRCAM_LIMIT

__all__ = ["JoinedPsf", "image_psfs", "product_psf", "psf_pixels"]

# Nodes of neighbouring parts of a joined PSF are that far apart, micrometre.
_APART = 1e-4
_ROLL, _SCALE = 2, 4  # digits to which rolls (degree) and pixels (arcsec) of images are the same
_MODELS = {"SHORT": "NIRCAM_SW", "LONG": "NIRCAM_LW", "MIRI": "MIRI_IMAGER"}


@dataclass(frozen=True)
class JoinedPsf(PsfCube):
    """
    PSFs of several ranges of wavelength, between which they may jump.

    Attributes
    ----------
    counts : tuple of int
        Number of nodes of each range, in the order of wavelengths. A wavelength between two ranges
        has the PSF of the nearer one.
    """

    counts: tuple = field(default=())

    def weights(self, wavelength):
        """
        Interpolation weights of the nodes, those of the range of each wavelength.

        Parameters
        ----------
        wavelength : array_like
            Wavelengths, shape (L,) [um].

        Returns
        -------
        ndarray
            Shape (L, node); every row sums to one.
        """
        wavelength = np.atleast_1d(np.asarray(wavelength, float))
        ends = np.cumsum([0, *self.counts])
        ranges = [slice(*pair) for pair in itertools.pairwise(ends)]
        borders = [
            (self.wavelength[one.stop - 1] + self.wavelength[two.start]) / 2
            for one, two in itertools.pairwise(ranges)
        ]
        which = np.searchsorted(borders, wavelength)
        table = np.zeros((len(wavelength), len(self.wavelength)))
        for number, one in enumerate(ranges):
            rows = np.flatnonzero(which == number)
            if rows.size:
                part = PsfCube(self.data[one], self.wavelength[one], self.pixel_scale, self.source)
                inside = np.clip(wavelength[rows], *part.wavelength[[0, -1]])
                table[rows, one] = part.weights(inside)
        return table

    @classmethod
    def of(cls, parts):
        """
        Join PSFs.

        Parameters
        ----------
        parts : list of tuple
            PSF (PsfCube) and the wavelengths from and to which it holds, micrometre, in their order
            and without overlap.

        Returns
        -------
        PsfCube
            The only one, or a JoinedPsf.
        """
        if len(parts) == 1:
            return parts[0][0]
        cut, last = [], -np.inf
        for psf, low, high in parts:
            low, high = np.clip([low, high], *psf.wavelength[[0, -1]])
            # The last node of a part and the first of the next may coincide.
            low = max(low, last + _APART)
            if high <= low:
                continue
            nodes = chebyshev_nodes(low, high, len(psf.wavelength))
            cut.append((nodes, psf.evaluate(nodes)))
            last = nodes[-1]
        side = max(data.shape[1] for _, data in cut)
        first = parts[0][0]
        return cls(
            data=np.concatenate([_padded(data, side) for _, data in cut]),
            wavelength=np.concatenate([nodes for nodes, _ in cut]),
            pixel_scale=first.pixel_scale,
            source=first.source,
            meta=first.meta,
            counts=tuple(len(nodes) for nodes, _ in cut),
        )


def _padded(data, side):
    rim = (side - data.shape[1]) // 2
    return np.pad(data, ((0, 0), (rim, rim), (rim, rim)))


def psf_pixels(size, wavelength, instrument, scale):
    """
    Return the side of PSFs in pixels.

    Parameters
    ----------
    size : float or None
        Side that is asked for, arcsec; what suits the wavelengths if None.
    wavelength : array (L,)
        Channels, micrometre.
    instrument : str
        Instrument of the exposures.
    scale : float
        Fine pixel, arcsec.

    Returns
    -------
    int
        An odd number.
    """
    size = size or default_size(wavelength, instrument.removesuffix("_MRS"))
    npix = int(size / scale) // 2 * 2 + 1
    return npix - 2 if npix * scale > LARGEST_FIELD else npix


def image_psfs(images, grid, *, wavelength, npix, options, opd=None):
    """
    Make the PSF of each image.

    Parameters
    ----------
    images : list of ImageObservation
        Images of any instruments.
    grid : SkyGrid
        Fine grid of the product.
    wavelength : array (L,)
        Channels, micrometre.
    npix : int
        Side of the PSFs in fine pixels, odd.
    options : `~jwst_fusion.fusion.options.FusionOptions`
        Parameters.
    opd : str, optional
        Wavefront, as `jwst_fusion.psf.make_psf` takes it.

    Returns
    -------
    list of PsfCube
        One for each image; those of one channel, detector, roll and pixel are the same object.

    Raises
    ------
    NotFusableError
        If an image does not say the roll of the telescope, or there is no model for its instrument;
        the message names it.
    ValueError
        If one file is to stand for images of several instruments.
    """
    sigma = options.psf_broadening_image / FWHM_OF_SIGMA
    size = {"pixel_scale": grid.scale, "npix": npix}
    files = options.psf_files().get("psf_image", ())
    if files:
        kinds = {image.instrument for image in images}
        if len(kinds) > 1:
            msg = f"psf_image stands for one instrument, but there are images of {sorted(kinds)}"
            raise ValueError(msg)
        if options.psf_kind == "file":
            return [read_psf(files[0], broadening=sigma, **size)] * len(images)
    model = TelescopeModel(
        source="auto" if options.psf_kind in ("data", "file") else options.psf_kind,
        opd=opd,
        jitter=options.psf_jitter,
        position=options.position(),
        maximum_cores=options.maximum_cores,
    )
    known, psfs = {}, []
    for image in images:
        roll = image.pa_v3 if options.roll_image is None else options.roll_image
        if roll is None:
            msg = (
                f"{image.name} does not say the telescope's roll (keywords ROLL_REF, PA_V3), which "
                "its PSF needs: set the parameter roll_image"
            )
            raise NotFusableError(msg)
        key = (
            image.instrument,
            _channel(image),
            image.detector,
            round(roll, _ROLL),
            round(image.grid.scale, _SCALE),
            round(image.grid.pa_y, _ROLL),
            image.pixfrac,
        )
        if key not in known:
            optics = Optics.of_images(
                [image],
                angle=roll - grid.pa_y,
                fine=grid,
                model=model,
                broadening=sigma,
                star=tuple(files),
            )
            if isinstance(optics.channels, dict):
                # A PSF that stands for a channel has no filter's focus.
                plain = {name: replace(one, filter=None) for name, one in optics.channels.items()}
                optics = replace(optics, channels=plain)
            known[key] = _made(optics, _channel(image), wavelength, size)
        psfs.append(known[key])
    return psfs


def _channel(image):
    """Part of the instrument that shares a PSF."""
    if image.instrument != "NIRCAM":
        return image.instrument
    return "SHORT" if load_bandpass(image.filter).pivot < NIRCAM_LIMIT else "LONG"


def _made(optics, channel, wavelength, size):
    low, high = wavelength[0], wavelength[-1]
    if channel in _MODELS:
        least, most = INSTRUMENTS[_MODELS[channel]].wavelength
        low, high = max(low, least), min(high, most)
    if high - low < 1e-6 * high:
        return optics.psf(np.array([low]), channel, **size)
    count = optics.count(low, high, channel, **size)
    return optics.psf(chebyshev_nodes(low, high, count), channel, **size)


def product_psf(images, psfs, exposures, exposure_psfs, wavelength, *, resolution):
    """
    Make the PSF of the product.

    Parameters
    ----------
    images : list of ImageObservation
        The images.
    psfs : list of PsfCube
        PSF of each.
    exposures : list of ExposureObservation
        The exposures.
    exposure_psfs : list of PsfCube
        PSF of each.
    wavelength : array (L,)
        Channels, micrometre.
    resolution : {"imager", "ifu", "deconvolved"}
        Sharpness of the product. "imager" is the PSF of the images or, without any, that of the
        exposures, as "ifu" is with images, too.

    Returns
    -------
    PsfCube
        That of the finest images where there are several, by wavelength: between two ranges without
        one, that of the nearer range.
    """
    if resolution == "deconvolved":
        scale = exposure_psfs[0].pixel_scale
        return PsfCube(np.ones((1, 1, 1)), wavelength[:1], scale, "none")
    if images and resolution == "imager":
        # of several images of a channel, that with the smallest pixels
        order = sorted(range(len(images)), key=lambda one: images[one].grid.scale)
        chosen = {}
        for one in order:
            if images[one].instrument == images[order[0]].instrument:
                chosen.setdefault(_channel(images[one]), psfs[one])
        found = list(chosen.values())
    else:
        found = list({id(psf): psf for psf in exposure_psfs}.values())
    return JoinedPsf.of(_ranges(found, wavelength))


def _ranges(psfs, wavelength):
    """Give each part of the wavelengths to the PSF that was made for it, the first of several."""
    parts, taken = [], []
    for psf in psfs:
        low, high = psf.wavelength[[0, -1]]
        for start, stop in taken:
            if start <= low <= stop:
                low = stop
            if start <= high <= stop:
                high = start
        if high > low or not parts:
            parts.append((psf, float(low), float(high)))
            taken.append((psf.wavelength[0], psf.wavelength[-1]))
    return sorted(parts, key=lambda part: part[1])
