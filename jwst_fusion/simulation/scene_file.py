"""The truth of a simulation on disk: a scene, and the imager that defines the resolution."""

from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from jwst_fusion.simulation.miri import miri_imager_psf
from jwst_fusion.simulation.psfs import imager_psf, long_imager_psf
from jwst_fusion.simulation.scene import PointSource, Scene
from jwst_fusion.simulation.truth import truth_cube

__all__ = ["ObservedTruth", "is_scene_file", "read_truth", "write_truth"]

_KIND = "SCENE"  # value of the keyword TRUTH of the primary header
_PSFS = {"SHORT": imager_psf, "LONG": long_imager_psf, "MIRI": miri_imager_psf}


@dataclass(frozen=True)
class ObservedTruth:
    """
    A scene, and with which imager a perfect instrument would have seen it.

    Parameters
    ----------
    scene : Scene
        What was simulated.
    imager : {"SHORT", "LONG", "MIRI"}
        Channel of NIRCam, or the imager of MIRI.
    roll : float
        Position angle of V3 of the images, degree.
    """

    scene: Scene
    imager: str
    roll: float

    def cube(self, header, wavelength):
        """
        Scene on the grid of a product, at the resolution of the imager.

        Parameters
        ----------
        header : astropy.io.fits.Header
            Header of the extension whose first two axes are the sky grid.
        wavelength : ndarray
            Ascending centres of the channels, micrometre, shape (n,).

        Returns
        -------
        ndarray
            Means over the channels, MJy/sr, shape (n, ny, nx); NaN where the imager does not see.
        """
        recorded, wavelength = self.scene.integrated(wavelength), np.asarray(wavelength)
        psf = _PSFS[self.imager](self.scene, roll=self.roll, source="aperture")
        # The imager has a resolution only where it sees.
        inside = (wavelength >= psf.wavelength[0]) & (wavelength <= psf.wavelength[-1])
        out = np.full((len(wavelength), header["NAXIS2"], header["NAXIS1"]), np.nan)
        out[inside] = truth_cube(recorded, psf, header, wavelength[inside])
        return out


def write_truth(path, truth):
    """
    Write a scene as FITS: spectra, maps and point sources of its components.

    Parameters
    ----------
    path : str or pathlib.Path
        File to write.
    truth : ObservedTruth
        Scene and imager.

    Returns
    -------
    str
        The path.
    """
    scene = truth.scene
    primary = fits.PrimaryHDU()
    cards = {
        "TRUTH": (_KIND, "Maps times spectra, and point sources"),
        "TRUIMAGE": (truth.imager, "Imager that gives the resolution"),
        "TRUROLL": (truth.roll, "[deg] Position angle of V3 of the images"),
        "TRURA": (scene.ra, "[deg] Centre of the maps"),
        "TRUDEC": (scene.dec, "[deg] Centre of the maps"),
        "TRUSCALE": (scene.pixel_scale, "[arcsec] Pixel of the maps, x to the west"),
    }
    primary.header.update(cards)
    rows = [(one.component, one.east, one.north, one.flux) for one in scene.sources]
    table = np.array(
        rows, dtype=[("component", "i4"), ("east", "f8"), ("north", "f8"), ("flux", "f8")]
    )
    hdus = [
        primary,
        fits.ImageHDU(np.asarray(scene.wavelength, float), name="WAVELENGTH"),
        fits.ImageHDU(scene.spectra, name="SPECTRA"),
        fits.ImageHDU(scene.maps.astype(np.float32), name="MAPS"),
        fits.BinTableHDU(table, name="SOURCES"),
    ]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return str(path)


def is_scene_file(hdus):
    """
    Say whether a file holds a scene.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        The file.

    Returns
    -------
    bool
        Otherwise it may be a true cube.
    """
    return hdus[0].header.get("TRUTH") == _KIND


def read_truth(hdus, name):
    """
    Read what `write_truth` wrote.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        The file.
    name : str
        Its name, for messages.

    Returns
    -------
    ObservedTruth
        Scene and imager.

    Raises
    ------
    ValueError
        If an extension or a keyword is missing or of the wrong shape.
    """
    header = hdus[0].header
    try:
        scene = Scene(
            hdus["WAVELENGTH"].data.astype(float),
            hdus["SPECTRA"].data.astype(float),
            hdus["MAPS"].data.astype(float),
            float(header["TRUSCALE"]),
            float(header["TRURA"]),
            float(header["TRUDEC"]),
            tuple(
                PointSource(int(row[0]), *(float(value) for value in list(row)[1:]))
                for row in hdus["SOURCES"].data
            ),
        )
        imager, roll = str(header["TRUIMAGE"]), float(header["TRUROLL"])
    except KeyError as error:
        msg = f"{name} is not a whole truth file of 'jwst-fusion simulate': {error}"
        raise ValueError(msg) from error
    if imager not in _PSFS:
        msg = f"{name}: TRUIMAGE is {imager!r}, allowed are {', '.join(_PSFS)}"
        raise ValueError(msg)
    return ObservedTruth(scene, imager, roll)
