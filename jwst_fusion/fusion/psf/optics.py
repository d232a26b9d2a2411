"""How the PSFs of one instrument are made: a model with the boxes of its pixels, or a star."""

import math
from dataclasses import dataclass, field

from jwst_fusion.psf import count_nodes, make_psf, star_psf
from jwst_fusion.psf.instruments import identify

__all__ = ["Optics"]


@dataclass(frozen=True)
class Optics:
    """
    One instrument of a fusion.

    Attributes
    ----------
    instrument : str
        Instrument.
    angle : float
        Degrees counterclockwise from +y of the grid to V3.
    boxes : tuple or dict
        What detector and resampling add, see `jwst_fusion.fusion.psf.instrument_psf`; for images of
        NIRCam by channel, "SHORT" and "LONG", for cubes of MIRI by channel, "1" to "4".
    source : {"auto", "webbpsf", "aperture"}
        Model of the optics.
    options : dict
        Further parameters of `jwst_fusion.psf.make_psf`; those that differ between the channels as
        dictionaries in ``by_channel``.
    by_channel : dict
        See above: name of the parameter, then channel.
    broadening : float
        Sigma of a Gaussian that widens the PSF beyond the optics, arcsec.
    star : list of str
        Exposures of a star that take the place of the model, if any.
    parameter : str
        The parameter that named them.
    pixel : float or None
        Pixel of the resampled data, arcsec; only for stars.
    """

    instrument: str
    angle: float
    boxes: tuple | dict
    source: str = "auto"
    options: dict = field(default_factory=dict)
    by_channel: dict = field(default_factory=dict)
    broadening: float = 0.0
    star: list = field(default_factory=list)
    parameter: str = ""
    pixel: float | None = None

    def footprints(self, channel):
        """
        Return the boxes of a channel.

        Parameters
        ----------
        channel : str
            Channel of NIRCam ("SHORT" or "LONG") or of the MIRI spectrometer ("1" to "4").

        Returns
        -------
        tuple or None
            The boxes; None if there are no images in that channel.
        """
        return self.boxes.get(channel) if isinstance(self.boxes, dict) else self.boxes

    def psf(self, nodes, channel, grid):
        """
        Make the PSFs.

        Parameters
        ----------
        nodes : array (R,)
            Wavelengths, micrometre.
        channel : str
            Channel of NIRCam ("SHORT" or "LONG") or of the MIRI spectrometer ("1" to "4").
        grid : dict
            ``pixel_scale`` (arcsec) and ``npix``.

        Returns
        -------
        `~jwst_fusion.psf.PsfCube`
            The PSFs.
        """
        if self.star:
            return star_psf(
                self.star,
                wavelength=nodes,
                angle=self.angle,
                broadening=self.broadening,
                pixel=self.pixel,
                parameter=self.parameter,
                **grid,
            )
        own = {name: values.get(channel) for name, values in self.by_channel.items()}
        return make_psf(
            self.instrument,
            wavelength=nodes,
            angle=self.angle,
            pixel_kernels=self.footprints(channel),
            broadening=self._sigma(nodes, own.get("detector")),
            source=self.source,
            **own,
            **self.options,
            **grid,
        )

    def _sigma(self, nodes, detector=None):
        """Charge diffusion of the detector and broadening."""
        model, _ = identify(self.instrument, (nodes[0], nodes[-1]), detector)
        return math.hypot(model.broadening, self.broadening)

    def count(self, low, high, channel, grid):
        """
        Count the wavelengths that it takes to interpolate the PSF.

        Parameters
        ----------
        low, high : float
            Range, micrometre.
        channel, grid
            As for `psf`.

        Returns
        -------
        int
            The number; 2 for stars, whose PSFs are smooth in wavelength as they were measured.
        """
        if self.star or self.footprints(channel) is None:
            return 2
        return count_nodes(
            self.instrument,
            low,
            high,
            pixel_kernels=self.footprints(channel),
            broadening=self._sigma((low, high)),
            jitter=self.options.get("jitter"),
            **grid,
        )
