"""Calibrated exposures of slits with known truth: NIRSpec fixed slits, MOS, time series, LRS."""

import numpy as np
from jwst.assign_wcs.util import update_s_region_keyword, update_s_region_nrs_slit
from stdatamodels.jwst import datamodels

from jwst_fusion.simulation.exposures import NIRSPEC_ANGLE, NIRSPEC_V2V3
from jwst_fusion.simulation.metadata import set_disperser, set_metadata
from jwst_fusion.simulation.slit_geometry import (
    LRS_BOX,
    LRS_PITCH,
    NIRSPEC_PITCH,
    SlitPlace,
    lrs_wcs,
    nirspec_slit_wcs,
)
from jwst_fusion.simulation.slit_observation import observe_slit, slit_coordinate
from jwst_fusion.simulation.slit_scene import SlitScene

__all__ = [
    "SLITS",
    "bright_object_exposure",
    "fixed_slit_exposure",
    "lrs_exposure",
    "mos_exposure",
]

# length, width and middle on the sky, arcsec; row of the cutout on the detector
SLITS = {
    "S200A1": (3.20, 0.2, -10.0, 6.0, 1056),
    "S200A2": (3.20, 0.2, 10.0, 4.0, 1022),
    "S400A1": (3.65, 0.4, 0.0, -2.0, 981),
    "S1600A1": (1.60, 1.6, 5.0, -6.0, 945),
    "S200B1": (3.20, 0.2, 30.0, 0.0, 900),
}
_SHUTTER, _BARRED = 0.46, 1.15  # open height, arcsec; distance of neighbours, open heights
_POINTING = {"ra": 83.8187, "dec": -5.4083, "roll": 30.0}  # degree, a field in Orion
_LRS_V2V3 = {"slit": (-414.27, -400.71), "slitless": (-378.83, -344.94)}  # arcsec, SIAF
_LRS_APERTURE = {"slit": "MIRIM_SLIT", "slitless": "MIRIM_SLITLESSPRISM"}
_LRS_ANGLE = 4.8  # degree, SIAF
_START, _INTEGRATION = 60000.0, 20.0  # MJD; seconds


def fixed_slit_exposure(
    *,
    names=("S200A1", "S200A2", "S400A1", "S1600A1"),
    scenes=None,
    single=False,
    grating="G235M",
    filter_name="F170LP",
    detector="NRS1",
    columns=600,
    unit="MJy",
    noise=None,
    seed=0,
):
    """
    Simulate NIRSpec fixed slits.

    Parameters
    ----------
    names : sequence of str
        Slits, see `SLITS`.
    scenes : sequence of SlitScene, optional
        What each sees. Default: one star in each.
    single : bool
        Return the first slit alone.
    grating, filter_name, detector : str
        For example "G235M", "F170LP" and "NRS1"; the grating one of `slit_geometry.SPECTRA` or
        "PRISM".
    columns : int
        Columns of each cutout.
    unit : {"MJy", "MJy/sr"}
        Of data and errors; MJy is the flux of a pixel.
    noise : Noise, optional
        Default: `jwst_fusion.simulation.slit_observation.slit_noise`.
    seed : int
        Seed of the noise.

    Returns
    -------
    stdatamodels.jwst.datamodels.MultiSlitModel or stdatamodels.jwst.datamodels.SlitModel
        All slits, or the first alone.
    """
    names = names[:1] if single else names
    scenes = [SlitScene()] * len(names) if scenes is None else scenes
    rng = np.random.default_rng(seed)
    slits = []
    for number, (name, scene) in enumerate(zip(names, scenes, strict=True), start=1):
        slit = _new_nirspec("NRS_FIXEDSLIT", detector, grating, filter_name)
        _place_slit(slit, _fixed_place(name, columns), name, number, scene)
        slit.meta.instrument.fixed_slit = names[0]
        observe_slit(slit, scene, unit=unit, noise=noise, rng=rng)
        slits.append(slit)
    return slits[0] if single else _join(slits)


def mos_exposure(
    *,
    shutters=(3, 5, 3),
    scenes=None,
    grating="G235M",
    filter_name="F170LP",
    detector="NRS1",
    columns=600,
    unit="MJy",
    noise=None,
    seed=0,
):
    """
    Simulate NIRSpec slitlets of several shutters each.

    Parameters
    ----------
    shutters : sequence of int
        Odd number of open shutters of each slitlet; the source's shutter is the middle one.
    scenes : sequence of SlitScene, optional
        What each slitlet sees. Default: one star in each.
    grating, filter_name, detector : str
        As for `fixed_slit_exposure`.
    columns : int
        Columns of each cutout.
    unit : {"MJy", "MJy/sr"}
        Of data and errors; MJy is the flux of a pixel.
    noise : Noise, optional
        Default: `jwst_fusion.simulation.slit_observation.slit_noise`.
    seed : int
        Seed of the noise.

    Returns
    -------
    stdatamodels.jwst.datamodels.MultiSlitModel
        With the bar-shadow correction attached; the data are corrected.
    """
    scenes = [SlitScene()] * len(shutters) if scenes is None else scenes
    rng = np.random.default_rng(seed)
    slits = []
    for number, (count, scene) in enumerate(zip(shutters, scenes, strict=True), start=1):
        half = count // 2 * _BARRED + 0.55
        place = SlitPlace(
            unit=_SHUTTER,
            ymin=-half,
            ymax=half,
            across=15.0 * number,
            along=20.0 * number,
            corner=(100 + 90 * number, 300 * number),
            columns=columns,
        )
        slit = _new_nirspec("NRS_MSASPEC", detector, grating, filter_name)
        _place_slit(slit, place, str(number), number, scene)
        _describe_shutters(slit, number, count)
        observe_slit(slit, scene, unit=unit, noise=noise, rng=rng)
        phase = (slit_coordinate(slit)[0] / _SHUTTER / _BARRED) % 1
        bars = 1 - 0.35 * np.exp(-0.5 * ((phase - 0.5) / 0.07) ** 2)
        slit.barshadow = np.where(np.isfinite(bars), bars, 1).astype(np.float32)
        slits.append(slit)
    return _join(slits)


def bright_object_exposure(
    *,
    scene=None,
    light_curve=(1.0, 1.0, 0.985, 0.98, 0.985, 1.0, 1.0),
    grating="PRISM",
    filter_name="CLEAR",
    columns=420,
    unit="MJy",
    noise=None,
    seed=0,
):
    """
    Simulate a NIRSpec time series through the slit S1600A1.

    Parameters
    ----------
    scene : SlitScene, optional
        Default: one star.
    light_curve : sequence of float
        Factor of the light in each integration.
    grating, filter_name : str
        As for `fixed_slit_exposure`.
    columns : int
        Columns of the cutout.
    unit : {"MJy", "MJy/sr"}
        Of data and errors; MJy is the flux of a pixel.
    noise : Noise, optional
        Default: `jwst_fusion.simulation.slit_observation.slit_noise`.
    seed : int
        Seed of the noise.

    Returns
    -------
    stdatamodels.jwst.datamodels.SlitModel
        Data of shape (integration, row, column).
    """
    model = _new_nirspec("NRS_BRIGHTOBJ", "NRS1", grating, filter_name)
    model.meta.instrument.fixed_slit = "S1600A1"
    model.meta.subarray.name = "SUB512" if grating == "PRISM" else "SUB2048"
    model.meta.visit.tsovisit = True
    model.meta.exposure.nints = len(light_curve)
    model.int_times = _times(len(light_curve))
    scene = SlitScene() if scene is None else scene
    _place_slit(model, _fixed_place("S1600A1", columns), "S1600A1", 1, scene)
    rng = np.random.default_rng(seed)
    observe_slit(model, scene, unit=unit, noise=noise, rng=rng, light_curve=light_curve)
    return model


def _times(count):
    """Table of the times of integrations."""
    kind = datamodels.SlitModel().get_dtype("int_times")
    table = np.zeros(count, kind)
    table["integration_number"] = np.arange(1, count + 1)
    start = _START + np.arange(count) * _INTEGRATION / 86400
    for place in ("MJD_UTC", "BJD_TDB"):
        for part, fraction in (("start", 0.0), ("mid", 0.5), ("end", 1.0)):
            table[f"int_{part}_{place}"] = start + fraction * _INTEGRATION / 86400
    return table


def lrs_exposure(
    *, kind="slit", scene=None, light_curve=(1.0, 0.99, 1.0), unit="MJy/sr", noise=None, seed=0
):
    """
    Simulate the low-resolution spectrometer of MIRI, dispersed along the columns of the detector.

    Parameters
    ----------
    kind : {"slit", "slitless"}
        With the slit, on the full detector; or without it, a time series on its subarray.
    scene : SlitScene, optional
        Default: one star.
    light_curve : sequence of float
        Factor of the light in each integration of the time series.
    unit : {"MJy", "MJy/sr"}
        Of data and errors; MJy is the flux of a pixel.
    noise : Noise, optional
        Default: `jwst_fusion.simulation.slit_observation.slit_noise`.
    seed : int
        Seed of the noise.

    Returns
    -------
    stdatamodels.jwst.datamodels.SlitModel
        Data of shape (1024, 1032), NaN outside the slit, or (integration, 416, 72).
    """
    shape = {"slit": (1024, 1032), "slitless": (416, 72)}[kind]
    model = datamodels.SlitModel()
    model.meta.filename = "jw09999004001_04101_00001_mirimage_cal.fits"
    set_metadata(
        model,
        **_POINTING,
        exposure=1,
        aperture=_LRS_APERTURE[kind],
        v2v3=_LRS_V2V3[kind],
        angle=_LRS_ANGLE,
        pixel_area=LRS_PITCH**2,
    )
    meta = model.meta
    meta.instrument.name, meta.instrument.detector = "MIRI", "MIRIMAGE"
    meta.instrument.filter = "P750L"
    meta.exposure.type = {"slit": "MIR_LRS-FIXEDSLIT", "slitless": "MIR_LRS-SLITLESS"}[kind]
    meta.subarray.name = {"slit": "FULL", "slitless": "SLITLESSPRISM"}[kind]
    meta.subarray.xstart, meta.subarray.ystart = 1, {"slit": 1, "slitless": 529}[kind]
    meta.subarray.ysize, meta.subarray.xsize = shape
    meta.target.source_type = "POINT"
    meta.wcsinfo.dispersion_direction = 2
    meta.wcs = lrs_wcs(model, kind)
    model.data = np.zeros(shape, np.float32)
    (left, right), (bottom, top) = LRS_BOX[kind]
    corners = meta.wcs([left, right, right, left], [bottom + 1, bottom + 1, top - 1, top - 1])
    update_s_region_keyword(model, np.array(corners[:2]).T.ravel())
    scene = SlitScene() if scene is None else scene
    to_sky = meta.wcs.get_transform("alpha_beta", "world")
    ra, dec, _ = to_sky(scene.sources[0].position, 0.0, 8.0)
    meta.dither.dithered_ra, meta.dither.dithered_dec = float(ra), float(dec)
    x, y = meta.wcs.backward_transform(ra, dec, 8.0)
    model.source_xpos, model.source_ypos = float(x), float(y)
    meta.visit.tsovisit = kind == "slitless"
    curve = light_curve if kind == "slitless" else None
    rng = np.random.default_rng(seed)
    observe_slit(model, scene, unit=unit, noise=noise, rng=rng, light_curve=curve)
    return model


def _new_nirspec(kind, detector, grating, filter_name):
    """Slit with the metadata of its exposure."""
    model = datamodels.SlitModel()
    model.meta.filename = f"jw09999003001_03101_00001_{detector.lower()}_cal.fits"
    set_metadata(
        model,
        **_POINTING,
        exposure=1,
        aperture="NRS_S200A1_SLIT",
        v2v3=NIRSPEC_V2V3,
        angle=NIRSPEC_ANGLE,
        pixel_area=NIRSPEC_PITCH**2,
    )
    set_disperser(model, detector=detector, grating=grating, filter_name=filter_name)
    model.meta.exposure.type = kind
    model.meta.subarray.name = "FULL"
    model.meta.subarray.xstart = model.meta.subarray.ystart = 1
    model.meta.subarray.xsize = model.meta.subarray.ysize = 2048
    model.meta.wcsinfo.spectral_order = -1
    model.meta.wcsinfo.dispersion_direction = 1
    return model


def _join(slits):
    """Exposure of several slits."""
    model = datamodels.MultiSlitModel()
    model.update(slits[0], only="PRIMARY")
    for slit in slits:
        model.slits.append(slit)
    return model


def _fixed_place(name, columns):
    """Place of a fixed slit."""
    if name not in SLITS:
        msg = f"no fixed slit {name!r}; choose from {', '.join(SLITS)}"
        raise ValueError(msg)
    length, width, across, along, row = SLITS[name]
    return SlitPlace(
        unit=length,
        width=width,
        across=across,
        along=along,
        corner=(700, row),
        columns=columns,
    )


def _place_slit(slit, place, name, number, scene):
    """Give a slit its WCS and what extract_2d writes about it."""
    slit.data = np.zeros(place.shape, np.float32)
    slit.meta.wcs = nirspec_slit_wcs(slit, place)
    slit.name, slit.source_id, slit.shutter_id = name, number, number
    slit.xstart, slit.ystart = (corner + 1 for corner in place.corner)
    slit.ysize, slit.xsize = place.shape
    slit.slit_ymin, slit.slit_ymax = place.ymin, place.ymax
    slit.source_type = "POINT"
    source = scene.sources[0].position if scene.sources else 0.0
    slit.source_xpos, slit.source_ypos = 0.0, -source / place.unit
    area = place.width * NIRSPEC_PITCH
    slit.meta.photometry.pixelarea_arcsecsq = area
    slit.meta.photometry.pixelarea_steradians = area / 206264.806**2
    update_s_region_nrs_slit(slit)


def _describe_shutters(slit, number, count):
    """Write what extract_2d says of a slitlet."""
    slit.slitlet_id, slit.quadrant, slit.xcen, slit.ycen = number, 3, 100 + number, 80
    slit.source_name = slit.source_alias = f"9999_{number}"
    slit.stellarity, slit.dither_position = 1.0, 1
    slit.slit_xscale, slit.slit_yscale = 1.35, _BARRED
    slit.shutter_state = "1" * (count // 2) + "x" + "1" * (count // 2)
    transform = slit.meta.wcs.get_transform("slit_frame", "world")
    ra, dec, _ = transform(slit.source_xpos, slit.source_ypos, 2e-6)
    slit.source_ra, slit.source_dec = float(ra), float(dec)
