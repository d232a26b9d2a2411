"""The aperture model against STPSF, centring, and PSFs measured on simulated stars."""

import numpy as np

from jwst_fusion.psf import make_psf
from jwst_fusion.psf.centre import core_centre
from jwst_fusion.psf.resample import resample_psf
from psf_benchmark.figures import Figure
from psf_benchmark.setup import NPIX, PIXEL, sides

__all__ = ["centring", "models"]

# Radii [lambda / D] of the encircled energy; at 2 um 0.063 arcsec each.
RADII = (1.0, 1.6, 3.2, 8.0)
CASES = (
    ("NIRCAM", "NRCB1", (0.7, 0.9, 1.15, 1.5, 1.66, 2.0, 2.3)),
    ("NIRCAM", "NRCB5", (2.5, 3.0, 3.6, 4.1, 4.6, 5.0)),
    ("NIRSPEC", "NRS1", (0.7, 1.0, 1.3, 1.66, 2.0, 2.3, 3.0, 4.0, 5.0)),
    ("MIRI", "MIRIMAGE", (5.6, 7.7, 10.0, 15.0, 21.0, 25.5)),
    ("MIRI_MRS", None, (5.2, 7.0, 10.0, 15.0, 20.0, 26.0)),
)


def _profile(psf, pixel, resolution):
    """Full width at half maximum [arcsec] and encircled energy."""
    middle = psf.shape[0] // 2
    y, x = np.indices(psf.shape) - middle
    radius = np.hypot(y, x) * pixel
    order = np.argsort(radius, axis=None)
    energy = np.cumsum(psf.ravel()[order])
    found = np.interp([r * resolution for r in RADII], radius.ravel()[order], energy)
    bright = np.clip(psf / psf.max() - 0.5, -0.5, 0.5)
    # half of the pixels at the edge count, so that the width is not quantised
    edge = np.clip(0.5 + bright * pixel_slope(bright), 0.0, 1.0)
    return 2.0 * np.sqrt(edge.sum() / np.pi) * pixel, found


def pixel_slope(bright):
    """Inverse of the change over a pixel where the profile crosses half of the maximum."""
    slope = np.hypot(*np.gradient(bright))
    return 1.0 / np.maximum(slope, 1e-6)


def models(quick=False):
    """Compare widths, encircled energies and their growth with wavelength."""
    rows = []
    for instrument, detector, wavelengths in CASES:
        wavelengths = wavelengths[::3] if quick else wavelengths
        found = {source: [] for source in ("webbpsf", "aperture")}
        for wavelength in wavelengths:
            resolution = np.rad2deg(wavelength * 1e-6 / 6.5) * 3600.0
            pixel = round(resolution / 8.0, 5)
            for source, values in found.items():
                psf = make_psf(
                    instrument,
                    wavelength=[wavelength],
                    pixel_scale=pixel,
                    npix=min(401, int(9.9 / pixel) // 2 * 2 - 1),
                    detector=detector,
                    source=source,
                    use_cache=False,
                ).data[0]
                width, energy = _profile(psf, pixel, resolution)
                values.append(np.append(width, energy))
        table = {source: np.array(values) for source, values in found.items()}
        ratio = table["aperture"] / table["webbpsf"]
        growth = {source: values[1:] / values[:-1] for source, values in table.items()}
        growth = growth["aperture"] / growth["webbpsf"]
        name = f"{instrument} {detector or ''}".strip()
        for low, high in _ranges(instrument):
            use = (np.array(wavelengths) >= low) & (np.array(wavelengths) <= high)
            if not use.any():
                continue
            span = f"{name}, {low:g} to {high:g} um"
            error = 100 * np.abs(ratio[use] - 1)
            rows.append(Figure(f"{span}: FWHM", error[:, 0].max(), "%", 5.0))
            rows.append(Figure(f"{span}: encircled energy", error[:, 1:].max(), "%", 5.0))
            steps = 100 * np.abs(growth[(use[1:] & use[:-1])] - 1)
            if len(steps):
                rows.append(Figure(f"{span}: growth between wavelengths", steps.max(), "%", 5.0))
    return rows


def _ranges(instrument):
    """Ranges of wavelength judged on their own: below 1 um the wavefront matters most."""
    if instrument.startswith("MIRI"):
        return ((5.0, 26.0),)
    return ((1.0, 5.0), (0.7, 1.0))


def centring(quick=False):
    """Distance of the core from the middle pixel, and error of the sum."""
    rows = []
    for source in ("aperture",) if quick else ("webbpsf", "aperture"):
        worst, total = 0.0, 0.0
        for side in sides(source):
            psf = side.psf(np.array([1.66, 1.98, 2.3]), "SHORT", pixel_scale=PIXEL, npix=NPIX)
            for image in psf.data:
                fine = resample_psf(image, PIXEL, npix=121, pixel_scale=PIXEL / 4)
                worst = max(worst, np.abs(np.array(core_centre(fine)) / 4 - 15.0).max())
                total = max(total, abs(image.sum() - 1))
        rows.append(Figure(f"{source}: core off the middle pixel", worst, "pixel", 0.01))
        rows.append(Figure(f"{source}: sum - 1", total))
    return rows
