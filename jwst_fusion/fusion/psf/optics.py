"""Optics of one instrument: a model and the kernels of its pixels, or exposures of a star."""

import math
from dataclasses import dataclass

from jwst_fusion.fusion.psf.headers import cube_channels, image_channels
from jwst_fusion.fusion.psf.pixel_kernels import ChannelOptics
from jwst_fusion.psf import count_nodes, make_psf, star_psf
from jwst_fusion.psf.instruments import identify

__all__ = ["Optics", "TelescopeModel"]


@dataclass(frozen=True, kw_only=True)
class TelescopeModel:
    """
    Model of the telescope, as `jwst_fusion.psf.make_psf` takes it.

    Attributes
    ----------
    source : {"auto", "webbpsf", "aperture"}
        What computes it.
    opd : str or None
        Wavefront.
    jitter : float or None
        Sigma per axis, milliarcsec.
    position : tuple of int or None
        Column and row of the imager's detector.
    maximum_cores : int or str
        Processes.
    """

    source: str = "auto"
    opd: str | None = None
    jitter: float | None = None
    position: tuple | None = None
    maximum_cores: int | str = "none"


@dataclass(frozen=True, kw_only=True)
class Optics:
    """
    Optics of the images or of the cube of a fusion.

    Attributes
    ----------
    instrument : str
        Instrument, as `jwst_fusion.psf.make_psf` names it.
    angle : float
        Degrees counterclockwise from +y of the grid to V3.
    channels : ChannelOptics or dict of str to ChannelOptics
        What pixels and resampling add; for images of NIRCam by channel, "SHORT" and "LONG", for
        cubes of MIRI by channel, "1" to "4".
    model : TelescopeModel
        Model of the telescope.
    broadening : float
        Sigma of a Gaussian that widens the PSF beyond the model, arcsec.
    star : tuple of str
        Exposures of a star that take the place of the model, if any.
    parameter : str
        The parameter that named them, for messages.
    pixel : float or None
        Pixel of the resampled data, arcsec; only for stars.
    """

    instrument: str
    angle: float
    channels: ChannelOptics | dict
    model: TelescopeModel = TelescopeModel()
    broadening: float = 0.0
    star: tuple = ()
    parameter: str = ""
    pixel: float | None = None

    @classmethod
    def of_images(cls, images, *, angle, fine, model, broadening=0.0, star=()):
        """
        Describe the optics of images by what their headers say.

        Parameters
        ----------
        images : list of ImageObservation
            The images, all of one instrument; the first one of each channel of NIRCam stands for
            all of that channel.
        angle : float
            Degrees counterclockwise from +y of the fine grid to V3.
        fine : `~jwst_fusion.fusion.observed.sky.SkyGrid`
            Fine grid.
        model : TelescopeModel
            Model of the telescope.
        broadening : float, optional
            Sigma of a Gaussian that widens the PSF beyond the model, arcsec.
        star : sequence of str, optional
            Images of a star that take the place of the model.

        Returns
        -------
        Optics
            The optics.

        Raises
        ------
        NotFusableError
            If there is no model for the PSF of the instrument.
        """
        channels = {} if star else image_channels(images, angle=angle, fine=fine)
        return cls(
            instrument=images[0].instrument,
            angle=angle,
            channels=channels,
            model=model,
            broadening=broadening,
            star=tuple(star),
            parameter="psf_image",
            pixel=images[0].grid.scale,
        )

    @classmethod
    def of_cube(cls, wavelength, cube, *, angle, spaxel, model, oversample=1.0, star=()):
        """
        Describe the optics of a cube by what its header says.

        Parameters
        ----------
        wavelength : array (L,)
            Channels, micrometre.
        cube : CubeObservation
            The cube.
        angle : float
            Degrees counterclockwise from +y of the grid to V3.
        spaxel : float
            Spaxel, arcsec.
        model : TelescopeModel
            Model of the telescope.
        oversample : float, optional
            Factor by which the exposures were oversampled along the slices.
        star : sequence of str, optional
            Cubes of a star that take the place of the model.

        Returns
        -------
        Optics
            The optics.

        Raises
        ------
        NotFusableError
            If there is no model for the PSF of the instrument.
        """
        instrument, channels = cube.instrument, ChannelOptics()
        if not star:
            given = {"angle": angle, "spaxel": spaxel, "oversample": oversample}
            channels = cube_channels(wavelength, cube, **given)
            instrument = "MIRI_MRS" if instrument == "MIRI" else instrument
        return cls(
            instrument=instrument,
            angle=angle,
            channels=channels,
            model=model,
            star=tuple(star),
            parameter="psf_cube",
            pixel=spaxel,
        )

    def channel(self, name):
        """
        Return the optics of a channel.

        Parameters
        ----------
        name : str
            Channel of NIRCam ("SHORT" or "LONG") or of the MIRI spectrometer ("1" to "4").

        Returns
        -------
        ChannelOptics or None
            Its pixels; None if there are no images in that channel.
        """
        return self.channels.get(name) if isinstance(self.channels, dict) else self.channels

    def serves(self, name):
        """
        Return whether PSFs can be made for a channel.

        Parameters
        ----------
        name : str
            Channel of NIRCam ("SHORT" or "LONG") or of the MIRI spectrometer ("1" to "4").

        Returns
        -------
        bool
            True with stars, and if the optics of that channel are known.
        """
        return bool(self.star) or self.channel(name) is not None

    def psf(self, nodes, name, *, pixel_scale, npix):
        """
        Make the PSFs.

        Parameters
        ----------
        nodes : array (R,)
            Wavelengths, micrometre.
        name : str
            Channel of NIRCam ("SHORT" or "LONG") or of the MIRI spectrometer ("1" to "4").
        pixel_scale : float
            Pixel of the PSFs, arcsec.
        npix : int
            Their size in pixels, odd.

        Returns
        -------
        `~jwst_fusion.psf.PsfCube`
            The PSFs.
        """
        if self.star:
            return star_psf(
                list(self.star),
                wavelength=nodes,
                angle=self.angle,
                broadening=self.broadening,
                pixel=self.pixel,
                parameter=self.parameter,
                pixel_scale=pixel_scale,
                npix=npix,
            )
        own = self.channel(name)
        return make_psf(
            self.instrument,
            wavelength=nodes,
            angle=self.angle,
            detector=own.detector,
            filter=own.filter,
            pixel_kernels=own.pixel_kernels,
            broadening=self._sigma(nodes, own.detector),
            source=self.model.source,
            opd=self.model.opd,
            jitter=self.model.jitter,
            position=self.model.position,
            maximum_cores=self.model.maximum_cores,
            pixel_scale=pixel_scale,
            npix=npix,
        )

    def count(self, low, high, name, *, pixel_scale, npix):
        """
        Count the wavelengths that it takes to interpolate the PSF.

        Parameters
        ----------
        low, high : float
            Range, micrometre.
        name : str
            Channel of NIRCam ("SHORT" or "LONG") or of the MIRI spectrometer ("1" to "4").
        pixel_scale : float
            Pixel of the PSFs, arcsec.
        npix : int
            Their size in pixels, odd.

        Returns
        -------
        int
            The number; 2 for stars, whose PSFs are smooth in wavelength as they were measured.
        """
        if self.star or self.channel(name) is None:
            return 2
        return count_nodes(
            self.instrument,
            low,
            high,
            pixel_kernels=self.channel(name).pixel_kernels,
            broadening=self._sigma((low, high)),
            jitter=self.model.jitter,
            pixel_scale=pixel_scale,
            npix=npix,
        )

    def _sigma(self, nodes, detector=None):
        """Charge diffusion of the detector and broadening, arcsec."""
        model, _ = identify(self.instrument, (nodes[0], nodes[-1]), detector)
        return math.hypot(model.broadening, self.broadening)
