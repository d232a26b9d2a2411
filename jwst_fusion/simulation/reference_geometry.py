"""The real geometry of NIRSpec IFU and MIRI MRS through jwst's own AssignWcsStep, offline."""

from pathlib import Path

from jwst.assign_wcs import AssignWcsStep
from stdatamodels.jwst import datamodels

from jwst_fusion.simulation.crds import crds_offline
from jwst_fusion.simulation.exposures import new_nirspec_exposure
from jwst_fusion.simulation.metadata import set_metadata

__all__ = ["assign_reference_wcs", "mrs_exposure", "new_mrs_exposure", "nirspec_exposure"]

_NIRSPEC_COMMON = {
    "camera": "nirspec_ifu_camera",
    "collimator": "nirspec_ifu_collimator",
    "ote": "nirspec_ifu_ote",
    "fpa": "nirspec_fpa",
    "ifufore": "nirspec_ifufore",
    "ifupost": "nirspec_ifupost",
    "ifuslicer": "nirspec_ifuslicer",
    "chromcorr": "nirspec_chromcorr_identity",
    "wavelengthrange": "nirspec_wavelengthrange",
}
_NIRSPEC_UNUSED = ("distortion", "filteroffset", "specwcs", "regions", "msa")
_MRS_UNUSED = (
    "camera",
    "collimator",
    "disperser",
    "fore",
    "fpa",
    "filteroffset",
    "ifufore",
    "ifupost",
    "ifuslicer",
    "msa",
    "ote",
    "chromcorr",
)
# Reference point of MIRIFU_CHANNEL1A (V2, V3 in arcsec) and its angle (degree), SIAF
_MRS_V2V3 = (-503.3, -318.9)
_MRS_ANGLE = 8.1
_MRS_PIXEL_AREA = 0.196 * 0.177  # arcsec^2 in channel 1


def nirspec_exposure(folder, **metadata):
    """
    Empty NIRSpec IFU exposure with the real geometry.

    Parameters
    ----------
    folder : str or pathlib.Path
        Folder with the reference files, named as in the instrument's offline set
        (``nirspec_disperser_g235h.asdf``, ``nirspec_fore_f170lp.asdf`` and so on).
    **metadata
        Arguments of `jwst_fusion.simulation.exposures.new_nirspec_exposure`.

    Returns
    -------
    stdatamodels.jwst.datamodels.IFUImageModel
        Exposure of shape (2048, 2048) without light, with a WCS.

    Raises
    ------
    FileNotFoundError
        If a reference file of this grating or filter is absent; the message names it.

    Notes
    -----
    With stdatamodels 6.0.0 PRISM ends in a TypeError: its ``Rotation3DToGWA`` cannot rotate by a
    single angle. Exposures that have passed assign_wcs elsewhere are not affected.
    """
    model = new_nirspec_exposure(**metadata)
    instrument = model.meta.instrument
    files = dict(_NIRSPEC_COMMON)
    files["disperser"] = f"nirspec_disperser_{instrument.grating.lower()}"
    files["fore"] = f"nirspec_fore_{instrument.filter.lower()}"
    overrides = {kind: Path(folder) / f"{name}.asdf" for kind, name in files.items()}
    return assign_reference_wcs(model, overrides, unused=_NIRSPEC_UNUSED)


def mrs_exposure(folder, **metadata):
    """
    Empty MIRI MRS exposure of band 12A (channels 1 and 2, short) with the real geometry.

    Parameters
    ----------
    folder : str or pathlib.Path
        Folder with distortion, specwcs, wavelengthrange and regions files of band 12A.
    **metadata
        Arguments of `new_mrs_exposure`.

    Returns
    -------
    stdatamodels.jwst.datamodels.IFUImageModel
        Exposure of shape (1024, 1032) without light, with a WCS.

    Raises
    ------
    FileNotFoundError
        If a reference file is absent; the message names it.
    """
    folder = Path(folder)
    overrides = {
        "distortion": folder / "jwst_miri_mrs12A_distortion_flt9.asdf",
        "specwcs": folder / "jwst_miri_mrs12A_specwcs_flt9.asdf",
        "wavelengthrange": folder / "jwst_miri_mrs_wavelengthrange_flt9.asdf",
        "regions": folder / "generated_mrs12A_regions.asdf",
    }
    return assign_reference_wcs(new_mrs_exposure(**metadata), overrides, unused=_MRS_UNUSED)


def new_mrs_exposure(*, ra, dec, roll, exposure=1):
    """
    Empty MIRI MRS exposure (MIRIFUSHORT, band SHORT) with the pipeline's metadata, without a WCS.

    Parameters
    ----------
    ra, dec : float
        Pointing of the centre of the field, degree.
    roll : float
        Position angle of V3 there, degree east of north.
    exposure : int
        Number of the exposure, from 1.

    Returns
    -------
    stdatamodels.jwst.datamodels.IFUImageModel
        Exposure of shape (1024, 1032) without light.
    """
    model = datamodels.IFUImageModel((1024, 1032))
    model.meta.filename = f"jw09999002001_02101_{exposure:05d}_mirifushort_cal.fits"
    set_metadata(
        model,
        ra=ra,
        dec=dec,
        roll=roll,
        exposure=exposure,
        aperture="MIRIFU_CHANNEL1A",
        v2v3=_MRS_V2V3,
        angle=_MRS_ANGLE,
        pixel_area=_MRS_PIXEL_AREA,
    )
    instrument = model.meta.instrument
    instrument.name, instrument.detector = "MIRI", "MIRIFUSHORT"
    instrument.channel, instrument.band = "12", "SHORT"
    model.meta.exposure.type = "MIR_MRS"
    return model


def assign_reference_wcs(model, overrides, *, unused=()):
    """
    Run AssignWcsStep with the given reference files and without CRDS.

    Parameters
    ----------
    model : stdatamodels.jwst.datamodels.IFUImageModel
        Exposure without a WCS.
    overrides : dict
        Reference type to path.
    unused : sequence of str
        Reference types that this mode does not need.

    Returns
    -------
    stdatamodels.jwst.datamodels.IFUImageModel
        The exposure with its WCS.

    Raises
    ------
    FileNotFoundError
        If a reference file is absent.
    RuntimeError
        If the step does not complete.
    """
    absent = [str(path) for path in overrides.values() if not Path(path).is_file()]
    if absent:
        msg = f"reference files are missing: {', '.join(absent)}"
        raise FileNotFoundError(msg)
    with crds_offline():
        step = AssignWcsStep()
        for kind, path in overrides.items():
            setattr(step, f"override_{kind}", str(path))
        for kind in unused:
            setattr(step, f"override_{kind}", "N/A")
        result = step.run(model)
    if result.meta.cal_step.assign_wcs != "COMPLETE":
        msg = f"assign_wcs ended as {result.meta.cal_step.assign_wcs} for {model.meta.filename}"
        raise RuntimeError(msg)
    return result
