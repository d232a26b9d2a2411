"""Checks of a fused cube as a whole: convergence, noise, spectra, voxels, messages.

The limits are those at which simulated scenes, with their truth known, go wrong.
"""

import numpy as np

from jwst_fusion.numerics.robust import robust_sigma
from jwst_fusion.report.fused.agreement import beside_bands
from jwst_fusion.report.levels import both, level_of, worse
from jwst_fusion.report.measures import residual_structure
from jwst_fusion.report.page import Finding, short

__all__ = [
    "check_convergence",
    "check_cube",
    "check_dropped",
    "check_left_out",
    "check_messages",
    "check_noise",
    "check_psf_fit",
]

# Reduced chi-square of the cube, median over channels: caution, fault.
CUBE_CHI2 = (2.0, 5.0)
# Noise relative to the errors; for a fault that of images times that of the cube.
NOISE_SCALE = (2.5, 6.0)
# Residuals of the images beyond noise, relative to them, below which their noise scale matters to
# nobody: resampling leaves a few tenths of a per cent. Nor does it within half the stated error.
SMALL = (0.01, 0.05)
SMALL_STATED = 0.5
# Mean spectrum of the re-observed cube, median relative error beyond noise.
SPECTRUM = (0.04, 0.1)
# Channels that are not reproduced: how many, and in how many standard deviations of chi-square;
# residuals beyond noise in units of the error that the fused cube states.
CHANNELS = (4, 20)
CHANNEL_SIGMA, CHANNEL_STATED = 6.0, 1.0
# What components above the noise hold that were not kept, in units of the stated error, which
# contains it: half of that.
TRUNCATED = (0.7, np.inf)
# Residuals of an image that was left out, beyond noise, relative to the image.
LEFT_OUT = (0.15, 0.3)
# The same in units of the error that the prediction states, where it states one.
LEFT_OUT_STATED = (2.0, 5.0)
# The cube in the band of a filter: reduced chi-square, and residuals beyond noise relative to the
# cube.
BAND_CHI2 = (3.5, 50.0)
BAND_RELATIVE = (0.02, 0.05)
# Smaller ones count above this if they exceed so many times the error that the fused cube states.
BAND_SMALL, BAND_STATED = 0.01, 1.5
# A single spaxel in the band of a filter or in the continuum: standard deviations, and relative to
# the cube there.
SPAXEL_SIGMA, SPAXEL_RELATIVE = 6.0, 0.1
# Rank correlation of these residuals with gradients: cube_build leaves 0.18.
STRUCTURE = 0.3
# Gaussian (FWHM) that had to widen or narrow a PSF, relative to the width of the telescope's
# diffraction: images, cube. Instruments of the cube differ more from their models.
PSF_FITTED = {"I": (0.5, 0.9), "C": (1.2, 2.0)}
# Likewise, by which the cube is narrower, and standard deviations that this must have: nothing
# makes a cube sharper than the telescope. The images are wider than what point sources told.
PSF_NARROWED, PSF_NARROWED_SIGMA = 0.5, 5.0
_APERTURE = 6.5  # metre, of the telescope
_ARCSEC = 206264.8  # in a radian
_MAPS = ("images", "models", "errors")
# Warnings that findings of their own tell.
_TOLD = ("noise_scale", "offset_corrected", "background")
# What warnings of a kind say, for the verdict.
_TITLES = {
    "no_errors": "errors of the input are missing",
    "damaged_core": "a source is damaged in an image",
    "varied_source": "a source differs in brightness between image and cube",
}
_NO_ERRORS = "Correlated noise, and what else the errors would tell, is not known."
# Warnings of these modules speak of what is usual.
_USUAL = ("bandpass", "fusion.solver.outliers", "fusion.robust", "psf")


def check_convergence(product):
    """
    Look whether the solution converged.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, of which the keyword FUSCONV is read.

    Yields
    ------
    Finding
    """
    if not product.header.get("FUSCONV", True):
        yield Finding(
            "convergence",
            "caution",
            "the solution did not converge",
            "The solver or the search for the regularisation stopped before it had settled.",
            "tuning",
        )


def check_noise(product, bands):
    """
    Look for data that scatter more than their errors.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, of which the keywords FUSNSIMG and FUSNSCUB are read.
    bands : list of `~jwst_fusion.report.fused.agreement.BandAgreement`
        Agreement in the band of each image.

    Yields
    ------
    Finding
    """
    told = [one.image for one in bands if one.image.stated > SMALL_STATED]
    largest = max((one.relative for one in told), default=0.0)
    scales = [max(product.header.get(key, 1.0), 1.0) for key in ("FUSNSIMG", "FUSNSCUB")]
    # Which of the two a misfit shows in is a matter of weights; a small one of images is none.
    together = np.prod(scales if level_of(largest, SMALL) else scales[1:])
    for key, name, chi2 in (("FUSNSIMG", "images", "FUSCHI2I"), ("FUSNSCUB", "cube", "FUSCHI2C")):
        value = product.header.get(key, 1.0)
        if value == 1.0 and level_of(np.sqrt(product.header.get(chi2, 1.0)), NOISE_SCALE):
            yield _unscaled(name, np.sqrt(product.header[chi2]))
        if not level_of(value, NOISE_SCALE):
            continue
        level = level_of(max(value, together), NOISE_SCALE)
        text = (
            f"Errors had to be taken {value:.1f} times as large. They are understated, or PSF, "
            "offset or calibration are wrong."
        )
        if name == "images":
            level = both(level, level_of(largest, SMALL)) or "note"
            if level != "note":
                text += f" Residuals beyond noise: up to {short(100 * largest)} % of an image."
        yield Finding(
            "noise_scale",
            level,
            f"the {name} scatter more than their errors"
            if name == "images"
            else "the cube scatters more than its errors",
            text,
            "tuning",
        )


def _unscaled(name, scatter):
    """Errors that data contradict and that were kept."""
    return Finding(
        "noise_scale",
        "caution",
        f"the {name} scatter more than their errors"
        if name == "images"
        else "the cube scatters more than its errors",
        f"By a factor of {scatter:.1f}, while noise_scales is off: errors of the fused cube are "
        f"too small by as much where the {name} tell{'s' if name == 'cube' else ''} it.",
        "tuning",
    )


def check_psf_fit(product):
    """
    Look how far PSFs that were fitted are from their models.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, of which the keywords FUSPFIX, FUSPFIY, FUSPFCX, FUSPFCY, FUSPFSIG, FUSBRACR
        and FUSBRALO are read.

    Yields
    ------
    Finding
    """
    # micrometre over metre
    diffraction = 1e-6 * _ARCSEC * float(np.median(product.wavelength)) / _APERTURE
    significance = _narrowed(product, diffraction)
    if significance > PSF_NARROWED_SIGMA:
        widths = [-product.header[f"FUSPFC{axis}"] for axis in "XY"]
        fitted = any(product.header.get(f"FUSPFI{axis}", 0.0) for axis in "XY")
        why = (
            "The Gaussian by which point sources have those of the images widened is not what is "
            "wrong with them"
            if fitted
            else "Without point sources nothing tells which of the two is wrong"
        )
        yield Finding(
            "psf_fit",
            "caution",
            "the PSF of the images is wider than its model",
            "To fit both, that of the cube had to be made narrower by Gaussians of "
            f'{widths[0]:.3f}" and {widths[1]:.3f}" (FWHM) along x and y, '
            f"{significance:.0f} sigma. No cube is sharper than its model. {why}: the fused cube "
            "is less sharp than it says. See psf_source, psf_opd and psf_broadening_image.",
            "tuning",
        )
    for instrument, name in (("I", "images"), ("C", "cube")):
        widths = [product.header.get(f"FUSPF{instrument}{axis}", 0.0) for axis in "XY"]
        largest = max(widths, key=abs)
        level = level_of(abs(largest) / diffraction, PSF_FITTED[instrument])
        if level:
            yield Finding(
                "psf_fit",
                # The fit has taken it out, as far as a Gaussian can.
                "note" if level == "caution" else "caution",
                f"the PSF of the {name} is not as its model",
                f"It had to be made {'narrower' if largest < 0 else 'wider'} by a Gaussian of "
                f'{abs(largest):.3f}" (FWHM). A Gaussian stands for jitter, not for another '
                "wavefront: errors of bright sources and beside them may be up to twice as large "
                "as stated. See psf_source and psf_opd.",
                "tuning",
            )


def _narrowed(product, diffraction):
    """Sigma by which the cube was made narrower than its model; 0 if that is little."""
    header = product.header
    images, cube = (
        [_squared(header.get(f"FUSPF{one}{axis}", 0.0)) for axis in "XY"] for one in "IC"
    )
    # A Gaussian that the cube was given before, and that is taken back, is no narrower PSF.
    given = max(float(header.get(f"FUSBRA{one}", 0.0)) for one in ("CR", "LO"))
    beyond = [one + given**2 for one in cube]
    # The significance in the header is that of the cube against the images.
    apart = sum(cube) - sum(images)
    if max(beyond) > -((PSF_NARROWED * diffraction) ** 2) or not apart < 0:
        return 0.0
    return abs(header.get("FUSPFSIG", 0.0)) * sum(beyond) / apart


def _squared(width):
    """Square of a width with its sign, below zero if narrower."""
    return float(width * abs(width))


def check_cube(product, bands):
    """
    Look at the re-observed cube: channels, bands of the filters, mean spectrum.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with its keywords FUSCHI2C and FUSREERR and the table of channels.
    bands : list of `~jwst_fusion.report.fused.agreement.BandAgreement`
        Agreement in the band of each image.

    Yields
    ------
    Finding
    """
    chi2 = product.header.get("FUSCHI2C", np.nan)
    level = level_of(chi2, CUBE_CHI2)
    if level:
        yield Finding(
            "chi2_cube",
            level,
            "the cube is not reproduced within its errors",
            f"Reduced chi-square {chi2:.1f} (median channel). Too few components, a wrong PSF, or "
            "understated errors.",
            "spectrum",
        )
    yield from _components(product)
    yield from _channels(product)
    yield from _bands(product, bands)
    yield from _spaxels(product)
    yield from _spectrum(product)


def _components(product):
    """Components that stand out of the noise and were not kept."""
    kept, above = product.header.get("FUSNCOMP", 0), product.header.get("FUSNSIGN", 0)
    noise = np.asarray(product.channels["noise"], float)
    known = np.isfinite(noise) & np.isfinite(product.stated_error)
    if not above > kept or not known.any():
        return
    ratio = product.header.get("FUSTRUNC", 0.0) * float(
        np.median(noise[known] / product.stated_error[known])
    )
    level = level_of(ratio, TRUNCATED)
    if level:
        yield Finding(
            "components",
            level,
            f"{above - kept} of {above} components above the noise are left out",
            f"What they hold of the cube is {short(ratio)} times the error that the fused cube "
            "states, on the mean over field and channels, and most of that error: spectra and "
            "lines that the fused cube cannot have. Give a higher rank (max_rank), or rank=auto.",
            "spectrum",
        )


def _channels(product):
    """Channels whose residuals are beyond noise and beyond what the fused cube states."""
    table = product.channels
    voxels = np.maximum(np.asarray(table["voxels"], float), 1)
    noise = np.asarray(table["noise"], float)
    # What all channels share is told by the noise scale.
    usual = max(float(product.header.get("FUSNSCUB", 1.0)), 1.0) ** 2
    beyond = np.asarray(table["chi2"], float) - usual * (1 + CHANNEL_SIGMA * np.sqrt(2 / voxels))
    with np.errstate(invalid="ignore"):
        ratio = np.sqrt(np.maximum(beyond, 0)) * noise / product.stated_error
        bad = np.flatnonzero(ratio > CHANNEL_STATED)
    level = level_of(len(bad), (CHANNELS[0] - 1, CHANNELS[1]))
    if level:
        waves = product.wavelength[bad]
        yield Finding(
            "channels",
            level,
            f"{len(bad)} channels are not reproduced",
            f"Between {waves.min():.3f} and {waves.max():.3f} µm, residuals beyond noise are up to "
            f"{short(np.max(ratio[bad]))} times the error that the fused cube states. Too few "
            "components (rank), lines that no component has, or bad channels.",
            "spectrum",
        )


def _bands(product, bands):
    """Residuals of the cube in the bands of the filters."""
    found, structured, level = [], False, None
    named = [(band.label, band.cube) for band in bands]
    for index, (label, cube) in enumerate([*named, *beside_bands(product)]):
        reached = both(level_of(cube.chi2, BAND_CHI2), level_of(cube.relative, BAND_RELATIVE))
        if cube.chi2 > BAND_CHI2[0] and cube.relative > BAND_SMALL and cube.stated > BAND_STATED:
            reached = reached or "caution"
        if not reached:
            continue
        level = worse(level, reached)
        maps = (np.asarray(product.arrays[f"band_{name}"][index], float) for name in _MAPS)
        observed, model, error = maps
        structure = residual_structure((observed - model) / error, model)
        structured |= structure > STRUCTURE
        found.append(
            f"{label}: chi-square {short(cube.chi2)}, {short(100 * cube.relative)} % beyond "
            f"noise, {short(cube.stated)} times the stated error, structure {structure:.2f}"
        )
    if not found:
        return
    text = f"In the band of a filter or beside it, seen by the spectrometer: {'; '.join(found)}."
    if structured:
        yield Finding(
            "structure_cube",
            level,
            "residuals of the cube are structured",
            f"{text} They follow the edges of the scene (rank correlation above {STRUCTURE}), as "
            "those of a wrong PSF or offset do.",
            "spectrum",
        )
    else:
        yield Finding(
            "bands_cube",
            level,
            "the cube is not reproduced in some bands",
            f"{text} Image and cube do not show the same scene: background, a variable source, "
            "calibration or PSF.",
            "spectrum",
        )


def _spaxels(product):
    """Single spaxels whose light the fused cube does not have."""
    found = {}
    for index, label in enumerate([*product.labels, "continuum"]):
        cube, model, error = (
            np.asarray(product.arrays[f"band_{name}"][index], float)
            for name in ("images", "models", "errors")
        )
        pull = (cube - model) / error
        # Noise that the errors do not state must not pass for light.
        known = pull[np.isfinite(pull)]
        scatter = max(robust_sigma(known), 1.0) if known.size else 1.0
        with np.errstate(invalid="ignore"):
            bad = np.abs(pull) > SPAXEL_SIGMA * scatter
            bad &= np.abs(cube - model) > SPAXEL_RELATIVE * np.abs(cube)
        for y, x in zip(*np.nonzero(bad), strict=True):
            found.setdefault((int(y), int(x)), []).append(
                f"{label} {pull[y, x]:+.0f} sigma, {100 * (cube - model)[y, x] / cube[y, x]:+.0f} %"
            )
    if found:
        told = "; ".join(
            f"spaxel x {x}, y {y}: {', '.join(text)}" for (y, x), text in list(found.items())[:3]
        )
        yield Finding(
            "spaxels",
            "caution",
            f"{'one spaxel' if len(found) == 1 else f'{len(found)} spaxels'} of the cube not "
            "reproduced",
            f"Cube minus fused cube: {told}. A source that an image lacks, or that varies; a bad "
            "spaxel of the cube.",
            "spectrum",
        )


def _spectrum(product):
    error = product.header.get("FUSREERR", np.nan)
    table = product.channels
    with np.errstate(invalid="ignore", divide="ignore"):
        noise = np.asarray(table["noise"], float) / np.sqrt(np.asarray(table["voxels"], float))
        relative = np.abs(noise / np.asarray(table["mean_cube"], float))
    known = relative[np.isfinite(relative)]
    # Median of the absolute value of normal noise.
    expected = 0.6745 * np.median(known) if known.size else 0.0
    beyond = np.sqrt(max(error**2 - expected**2, 0.0)) if np.isfinite(error) else np.nan
    level = level_of(beyond, SPECTRUM)
    if level:
        yield Finding(
            "spectrum",
            level,
            "the mean spectrum is not that of the cube",
            f"Re-observed, it differs by {100 * error:.1f} % (median channel), of which noise "
            f"explains {100 * expected:.1f} %.",
            "spectrum",
        )


def check_left_out(product):
    """
    Look at images that were left out and predicted.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the table of images that were left out, if it has one.

    Yields
    ------
    Finding
    """
    table = product.tables.get("left_out", ())
    # Products of earlier versions do not have this column.
    has_stated = len(table) > 0 and "stated_error" in table.dtype.names
    for row in table:
        chi2, error = float(row["chi2"]), float(row["relative_error"])
        beyond = error * np.sqrt(max(1 - 1 / chi2, 0.0)) if chi2 > 0 else np.nan
        level = level_of(beyond, LEFT_OUT)
        text = (
            f"Fused without {row['left_out']}, the prediction is off by {100 * beyond:.0f} % "
            "beyond noise"
        )
        stated = float(row["stated_error"]) if has_stated else np.nan
        if np.isfinite(stated):
            level = both(level, level_of(beyond / stated, LEFT_OUT_STATED))
            text += f", where {short(100 * stated)} % are expected"
        if level:
            yield Finding(
                "left_out",
                level,
                f"{row['filter']} is not predicted without its image",
                f"{text}. Channels without an image may be wrong by as much.",
                "field",
            )


def check_dropped(product):
    """
    Look for images that were not used.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, of which the keywords FUSNGIVN and FUSNIMG are read.

    Yields
    ------
    Finding
    """
    given, used = product.header.get("FUSNGIVN"), product.header.get("FUSNIMG")
    if given and used and used < given:
        yield Finding(
            "dropped",
            "caution",
            f"{given - used} of {given} images not used",
            "The warnings of the fusion, below, say why.",
            "dropped",
        )


def check_messages(product):
    """
    Repeat the warnings of the step.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the table of messages, if it has one.

    Yields
    ------
    Finding
    """
    names = ("source", "kind", "text")
    rows = [tuple(str(row[name]) for name in names) for row in product.tables.get("messages", ())]
    for source, kind, text in dict.fromkeys(rows):
        if kind in _TITLES:
            more = f" {_NO_ERRORS}" if kind == "no_errors" else ""
            yield Finding(kind, "caution", _TITLES[kind], f"{text}.{more}", "dropped")
        elif kind not in _TOLD and not source.startswith(_USUAL):
            yield Finding("message", "note", "the step warned", text, "dropped")
