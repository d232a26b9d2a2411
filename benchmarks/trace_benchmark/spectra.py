"""Spectra of point sources that the step extracts from slits, against noiseless truth."""

from dataclasses import replace
from unittest import mock

import numpy as np
from stdatamodels.jwst import datamodels

from jwst_fusion.products.exposure import spectra
from jwst_fusion.products.extracted_spectra import psf_of_slit
from jwst_fusion.simulation import slit_observation
from jwst_fusion.simulation.slit_observation import slit_truth
from jwst_fusion.simulation.slit_scene import SlitScene, SlitSource
from jwst_fusion.simulation.slits import fixed_slit_exposure, lrs_exposure, mos_exposure
from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep
from trace_benchmark.table import Row

__all__ = ["extracted"]

_LINES = ((1.75, 0.0025, -0.6), (1.86, 0.003, 1.5), (1.92, 0.0025, -0.7))
_STAR = SlitScene((SlitSource(0.03, 1000.0, lines=_LINES),))
_LRS = SlitScene((SlitSource(-0.6, 2000.0, lines=((9.7, 0.6, -0.5),)),))
# Name: maker, its arguments, scene, and whether it takes one scene.
_EXPOSURES = {
    "fixed slit": (fixed_slit_exposure, {"names": ("S200A1",)}, _STAR, False),
    "three shutters": (mos_exposure, {"shutters": (3,)}, _STAR, False),
    "LRS": (lrs_exposure, {}, _LRS, True),
}
_BACKGROUND = 3.0  # MJy/sr, where it is fitted
_LIMIT = 0.3  # per cent of the flux
_BLUE = 4.5  # micrometre: the blue end of the LRS


class _OfPsf:
    """The PSF in place of the simulator's profile."""

    def __init__(self, psf):
        self.psf, self.pitch = psf, psf.pitch

    def __call__(self, distance, wavelength):
        distance, wavelength = np.broadcast_arrays(distance / self.pitch, wavelength)
        return self.psf(distance, wavelength)


def extracted(folder, *, quick=False, **_):
    """
    Extract stars from exposures made with the PSF of the model, and with other wings.

    Parameters
    ----------
    folder : pathlib.Path
        Where the spectra are written.
    quick : bool
        The fixed slit only.

    Returns
    -------
    list of Row
    """
    rows = []
    for name in list(_EXPOSURES)[: 1 if quick else None]:
        for brightness in (1.0, 10.0, 0.015):
            for fitted in (False, True):
                for own in (False, True) if fitted else (True,):
                    flux, error, truth, wave = _run(folder, name, brightness, fitted, own)
                    wings = {True: "wings twice the PSF's", False: "wings of the PSF"}[own]
                    what = (
                        f"{name}, star times {brightness:g}, background "
                        f"{'fitted, ' + wings if fitted else 'subtracted'}"
                    )
                    rows.append(_row(what, flux, error, truth))
                    if name == "LRS" and brightness == 1 and not fitted:
                        blue = wave < _BLUE
                        what += f", below {_BLUE:g} um"
                        rows.append(_row(what, flux[blue], error[blue], truth[blue]))
    return rows


def _row(what, flux, error, truth):
    """Bias with the error that the noise gives it, pulls, and error of a column."""
    pull = (flux - truth) / error
    # Of faint stars single columns say nothing of the bias.
    weight = (truth / error) ** 2
    bias = 100 * (np.sum(weight * flux / truth) / np.sum(weight) - 1)
    spread = np.percentile(np.abs(pull - np.median(pull)), 68.3)
    noise = 100 / np.sqrt(np.sum(weight))
    found = (
        f"{bias:+.2f} ± {noise:.2f} %, pulls {spread:.2f}, "
        f"error of a column {100 * np.median(error / truth):.2g} %"
    )
    # Where noise hides it nothing is said of the target.
    reached = bool(abs(bias) <= _LIMIT) if noise < _LIMIT / 2 else None
    return Row(what, found, target=f"bias <= {_LIMIT:g} %", reached=reached)


def _run(folder, name, brightness, fitted, own):
    """Flux, its error, truth and wavelength of the columns that hold light, in Jy."""
    make, options, scene, one = _EXPOSURES[name]
    (star,) = scene.sources
    scene = replace(
        scene,
        sources=(replace(star, brightness=star.brightness * brightness),),
        background=_BACKGROUND if fitted else 0.0,
    )
    given = {"scene": scene} if one else {"scenes": [scene]}
    model = make(**options, **given, seed=0)
    if not own:
        profile = _OfPsf(psf_of_slit(spectra(model)[0], model))
        with (
            mock.patch.object(slit_observation, "NIRSPEC_PROFILE", profile),
            mock.patch.object(slit_observation, "LRS_PROFILE", profile),
        ):
            model = make(**options, **given, seed=0)
            truth = _truth(model, scene)
    else:
        truth = _truth(model, scene)
    model.meta.cal_step.bkg_subtract = None if fitted else "COMPLETE"
    AdaptiveTraceModelStep.call(model, extract="auto", output_dir=str(folder), fit_threshold=0.0)
    path = folder / model.meta.filename.replace("_cal", "_trace_x1d")
    with datamodels.open(path) as product:
        table = np.array(product.spec[0].spec_table)
    path.unlink()
    used = np.isfinite(table["FLUX"]) & (truth > 0.05 * truth.max())
    columns = table["FLUX"], table["FLUX_ERROR"], truth, table["WAVELENGTH"]
    return tuple(np.asarray(values, float)[used] for values in columns)


def _truth(model, scene):
    """Light of the star on the rows of the slit, Jy, in the columns that the slit has."""
    slit = spectra(model)[0]
    along = 1 if model.meta.instrument.name == "MIRI" else 0
    light = slit_truth(slit, replace(scene, background=0.0))
    total = np.nansum(light, axis=along)
    seen = np.any(np.isfinite(slit.err) & (light > 0), axis=along)
    area = slit.meta.photometry.pixelarea_steradians
    return total[seen] * 1e6 * (1.0 if slit.meta.bunit_data == "MJy" else area)
