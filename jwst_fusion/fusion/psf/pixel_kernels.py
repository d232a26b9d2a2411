"""Kernels of pixels, slices and resampling, with which the PSF of the optics is convolved."""

from dataclasses import dataclass

from jwst_fusion.psf import aperture_angle
from jwst_fusion.psf.instruments import pixel_of

__all__ = ["ChannelOptics", "cube_pixel_kernels", "image_pixel_kernels"]

# Names of the imagers in `jwst_fusion.psf.instruments`, by channel.
_IMAGERS = {"SHORT": "NIRCAM_SW", "LONG": "NIRCAM_LW", "MIRI": "MIRI_IMAGER"}


@dataclass(frozen=True, kw_only=True)
class ChannelOptics:
    """
    What one channel of an instrument adds to the optics of the telescope.

    Attributes
    ----------
    pixel_kernels : tuple of tuple of float
        Rectangles (width_x, width_y, angle), see `image_pixel_kernels` and `cube_pixel_kernels`.
    detector : str or None
        Detector, or band of the MIRI spectrometer; None for the usual one.
    filter : str or None
        Filter, if it may have a focus of its own.
    """

    pixel_kernels: tuple = ()
    detector: str | None = None
    filter: str | None = None


def image_pixel_kernels(*, instrument, channel, detector, pixfrac, pixel_scale, grid_angle, angle):
    """
    Return what detector and drizzling add to the optics of an image.

    Parameters
    ----------
    instrument : {"NIRCAM", "MIRI"}
        Instrument.
    channel : {"SHORT", "LONG", "MIRI"}
        Channel of NIRCam; "MIRI" for MIRI.
    detector : str or None
        Detector whose axes the pixels follow.
    pixfrac : float or None
        Drizzle pixel fraction; None if the image was not resampled.
    pixel_scale : float
        Pixel of the resampled image, arcsec.
    grid_angle : float
        Degrees counterclockwise from the axes of the common grid to those of the image.
    angle : float
        Degrees counterclockwise from +y of the common grid to the telescope's V3 axis.

    Returns
    -------
    tuple of tuple of float
        Rectangles (width_x, width_y, angle), arcsec and degrees counterclockwise from the axes of
        the common grid: detector pixel, drop, output pixel.

    Raises
    ------
    ValueError
        If the pixels of the instrument are not known.
    """
    _check(instrument, ("NIRCAM", "MIRI"))
    native = pixel_of(_IMAGERS[channel])
    turned = angle + aperture_angle(instrument, detector)
    kernels = [(*native, turned)]
    if pixfrac is not None:
        # An output pixel takes each drop by the area they share: drop and output pixel, convolved.
        if pixfrac > 0:
            kernels.append((*(pixfrac * width for width in native), turned))
        kernels.append((pixel_scale, pixel_scale, grid_angle))
    return tuple(kernels)


def cube_pixel_kernels(*, instrument, spaxel, angle, resampled=True, oversample=1.0, band=None):
    """
    Return what slices, detector pixels and cube building add to the optics of a cube.

    Parameters
    ----------
    instrument : {"NIRSPEC", "MIRI_MRS"}
        Instrument.
    spaxel : float
        Spaxel of the cube, arcsec.
    angle : float
        Degrees counterclockwise from +y of the cube's grid to the telescope's V3 axis.
    resampled : bool, optional
        Whether the cube was built from detector pixels by drizzling or weighting. If not, spaxels
        are taken to be the detector's own pixels, aligned with the grid.
    oversample : float, optional
        Factor by which the exposures were oversampled along the slices before.
    band : str, optional
        Band of the MIRI spectrometer, for which it is needed, such as "2A".

    Returns
    -------
    tuple of tuple of float
        Rectangles (width_x, width_y, angle), arcsec and degrees counterclockwise from the axes of
        the common grid: slice and pixel, their drop in the cube, spaxel.

    Raises
    ------
    ValueError
        If the pixels of the instrument are not known.

    Notes
    -----
    Oversampling divides the drop with which a sample enters the cube, not the detector pixel that
    integrated the light.
    """
    if not resampled:
        return ((spaxel, spaxel, 0.0),)
    _check(instrument, ("NIRSPEC", "MIRI_MRS"))
    turned = angle + aperture_angle(instrument, band)
    pixel = width_x, width_y = pixel_of(instrument, band)
    # slices run along ideal y in NIRSpec, along ideal x in MIRI
    along_x = instrument == "MIRI_MRS"
    drop = (width_x / oversample, width_y) if along_x else (width_x, width_y / oversample)
    return ((*pixel, turned), (*drop, turned), (spaxel, spaxel, 0.0))


def _check(instrument, known):
    if instrument not in known:
        msg = f"pixels are known for {' and '.join(known)} only"
        raise ValueError(msg)
