"""Reference file with which jwst extracts spectra from simulated cubes."""

import numpy as np
from stdatamodels.jwst import datamodels

__all__ = ["write_extraction_parameters"]


def write_extraction_parameters(path, *, radius=0.5):
    """
    Write a reference file for extract_1d on cubes of an integral field unit.

    The aperture grows with the wavelength as the diffraction limit does.

    Parameters
    ----------
    path : str or pathlib.Path
        ASDF file to write.
    radius : float
        Radius of the aperture at 2 micrometre, arcsec. The annulus of the background lies from
        1.5 to 2 times the radius.

    Returns
    -------
    str
        The path.

    Examples
    --------
    >>> from jwst_fusion.simulation.extraction import write_extraction_parameters
    >>> path = write_extraction_parameters("extract1d.asdf")  # doctest: +SKIP
    """
    wavelength = np.array([0.5, 30.0], "f4")
    radii = np.asarray(radius * np.maximum(wavelength / 2.0, 0.5), "f4")
    model = datamodels.Extract1dIFUModel()
    model.meta.instrument.name = "NIRSPEC"
    model.meta.exposure.type = "NRS_IFU"
    model.meta.reftype = "extract1d"
    model.meta.description = "nominal apertures for simulated cubes"
    model.meta.author = "jwst_fusion.simulation"
    model.meta.pedigree = "DUMMY"
    model.meta.useafter = "2022-01-01T00:00:00"
    model.meta.region_type = "target"
    model.meta.subtract_background = True
    model.meta.method = "subpixel"
    model.meta.subpixels = 10
    model.data = {
        "wavelength": wavelength,
        "wavelength_units": "micron",
        "radius": radii,
        "radius_units": "arcsec",
        "inner_bkg": 1.5 * radii,
        "inner_bkg_units": "arcsec",
        "outer_bkg": 2.0 * radii,
        "outer_bkg_units": "arcsec",
    }
    model.save(str(path))
    return str(path)
