"""Results of the demo, printed and drawn: cubes before and after each step against the truth."""

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from scipy import ndimage

from jwst_fusion.metrics import ergas, mean_spectrum_error, psnr, sam
from jwst_fusion.metrics.wiggles import brightest_spaxels, measure_wiggles
from jwst_fusion.numerics.spectral_axis import file_wavelengths
from jwst_fusion.report.fused.overview import Panel, SpectrumPlot, draw_overview
from jwst_fusion.simulation.psfs import cube_psf, imager_psf
from jwst_fusion.simulation.truth import truth_cube

__all__ = ["compare", "interpolate_cube", "print_table"]

_LINE, _CONTINUUM = 2.1218, (2.10, 2.115)  # micrometre: molecular hydrogen and beside it


def compare(scene, *, native, cube, fused, exposed, images, rolls, oversample, picture):
    """
    Compare the products of the demo with the truth, and draw them.

    Parameters
    ----------
    scene : jwst_fusion.simulation.scene.Scene
        The scene that was observed, from which the truth is computed.
    native, cube, fused : str
        Cube without and with the trace model, and fused cube.
    exposed : str
        Cube that was fused from the exposures.
    images : sequence of str
        Images (i2d) that were fused.
    rolls : tuple of float
        Position angle of V3 of spectrograph and imager, degree.
    oversample : float
        Factor of the trace model.
    picture : str or pathlib.Path
        PNG file to write.

    Returns
    -------
    dict
        See `print_table`.
    """
    coarse, product = _read(cube), _read(fused)
    wiggles = {}
    for name, path, factor in (("before", native, 1.0), ("after", cube, oversample)):
        data, header, wavelength = _read(path)[:3]
        psf = cube_psf(scene, roll=rolls[0], oversample=factor, source="aperture")
        expected = truth_cube(scene, psf, header, wavelength)
        wiggles[name] = measure_wiggles(data, expected, brightest_spaxels(data, 20)).mean
    data, header, wavelength = product[:3]
    truth = truth_cube(
        scene, imager_psf(scene, roll=rolls[1], source="aperture"), header, wavelength
    )
    cubic = interpolate_cube(coarse[0], coarse[1], header)
    plain = interpolate_cube(*_read(native)[:2], header)
    seen = np.all(np.isfinite(data) & np.isfinite(cubic), axis=0)
    factor = abs(coarse[1]["CDELT1"] / header["CDELT1"])
    cubes = {
        "cube without trace model, interpolated": plain,
        "cube with trace model, interpolated": cubic,
        "fused from that cube": data,
    }
    quality = {
        name: _scores(truth, values, seen & np.all(np.isfinite(values), axis=0), factor)
        for name, values in cubes.items()
    }
    quality["fused from the exposures"] = _scores_of_file(
        scene, exposed, rolls[1], abs(coarse[1]["CDELT1"])
    )
    with fits.open(fused) as hdus:
        table = hdus["FUSFILTERS"].data
        filters = {
            row["filter"]: (float(row["psnr"]), float(row["ssim"]), float(row["calibration"]))
            for row in table
        }
    spectrum = mean_spectrum_error(truth[:, seen][:, None], data[:, seen][:, None])
    _draw(picture, coarse, product, truth, cubic, images[-1], seen)
    return {
        "wiggles": wiggles,
        "quality": quality,
        "filters": filters,
        "mean_spectrum": float(np.median(np.abs(spectrum))),
        "picture": str(picture),
    }


def _scores(truth, cube, seen, factor):
    """Figures of merit of a cube in the pixels that are seen."""
    return {
        "PSNR": psnr(truth, cube, seen),
        "SAM": sam(truth, cube, seen),
        "ERGAS": ergas(truth, cube, factor, seen),
    }


def _scores_of_file(scene, path, roll, spaxel):
    """Figures of merit of a fused cube with a grid of its own; spaxel (degree) of the cubes."""
    data, header, wavelength = _read(path)[:3]
    truth = truth_cube(scene, imager_psf(scene, roll=roll, source="aperture"), header, wavelength)
    seen = np.all(np.isfinite(data), axis=0)
    return _scores(truth, data, seen, spaxel / abs(header["CDELT1"]))


def interpolate_cube(cube, header, target):
    """
    Cubic interpolation of a cube onto another sky grid, channel by channel.

    Parameters
    ----------
    cube : ndarray
        Shape (n, h, w); missing voxels are replaced by the nearest spaxel before, and what they
        touch is NaN afterwards.
    header, target : astropy.io.fits.Header
        Headers of the cube and of the grid.

    Returns
    -------
    ndarray
        Shape (n, ny, nx).
    """
    y, x = np.mgrid[: target["NAXIS2"], : target["NAXIS1"]]
    sky = WCS(target).celestial.all_pix2world(x, y, 0)
    column, row = WCS(header).celestial.all_world2pix(*sky, 0)
    missing = np.mean(np.isfinite(cube), axis=0) < 0.5
    nearest = ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True)
    out = np.empty((len(cube), *y.shape))
    for channel, image in zip(out, cube, strict=True):
        filled = image[tuple(nearest)]
        holes = ~np.isfinite(filled)
        if holes.any():
            where = ndimage.distance_transform_edt(
                holes, return_distances=False, return_indices=True
            )
            filled = filled[tuple(where)]
        channel[:] = ndimage.map_coordinates(filled, (row, column), order=3, mode="nearest")
    near = ndimage.map_coordinates(missing.astype(float), (row, column), order=1, cval=1.0)
    out[:, near > 1e-6] = np.nan
    return out


def _read(path):
    """Data, header, wavelengths and errors of a cube."""
    with fits.open(path) as hdus:
        header = hdus["SCI"].header
        data, error = (hdus[name].data.astype(float) for name in ("SCI", "ERR"))
        return data, header, file_wavelengths(hdus, str(path)), error


def _draw(picture, coarse, product, truth, cubic, image, seen):
    data, header, wavelength, error = product
    scales = [abs(h["CDELT1"]) * 3600 for h in (coarse[1], header)]
    line = np.argmin(np.abs(wavelength - _LINE))
    near = slice(line - 2, line + 3)
    beside = (wavelength > _CONTINUUM[0]) & (wavelength < _CONTINUUM[1])

    def line_map(cube):
        return np.mean(cube[near], axis=0) - np.median(cube[beside], axis=0)

    with fits.open(image) as hdus:
        imager = _on_grid(hdus["SCI"].data.astype(float), hdus["SCI"].header, header)
        name = hdus[0].header["FILTER"]
    band = (wavelength > 2.109) & (wavelength < 2.134)
    rows = [
        (
            name,
            [
                Panel("NIRCam", imager, scales[1]),
                Panel("NIRSpec", np.mean(coarse[0][band], axis=0), scales[0]),
                Panel("fused", np.mean(data[band], axis=0), scales[1]),
                Panel("truth", np.mean(truth[band], axis=0), scales[1]),
            ],
        ),
        (
            f"H$_2$ {_LINE} µm",
            [
                Panel("NIRSpec, cubic interpolation", line_map(cubic), scales[1]),
                Panel("NIRSpec", line_map(coarse[0]), scales[0]),
                Panel("fused", line_map(data), scales[1]),
                Panel("truth", line_map(truth), scales[1]),
            ],
        ),
    ]
    gain = np.full(seen.shape, -np.inf)
    gain[seen] = np.mean(np.abs(cubic - truth)[:, seen] - np.abs(data - truth)[:, seen], axis=0)
    bright = np.where(seen, np.mean(truth, axis=0), -np.inf)
    spectra = []
    for mark, title, measure in (("A", "brightest", bright), ("B", "largest gain", gain)):
        y, x = np.unravel_index(np.argmax(measure), measure.shape)
        near_y, near_x = np.ogrid[: measure.shape[0], : measure.shape[1]]
        gain[np.hypot(near_y - y, near_x - x) < 6] = -np.inf
        spectra.append(
            SpectrumPlot(
                f"{mark}: {title}",
                wavelength,
                {"cube": cubic[:, y, x], "fused": data[:, y, x], "truth": truth[:, y, x]},
                error[:, y, x],
                (
                    (x - (measure.shape[1] - 1) / 2) * scales[1],
                    (y - (measure.shape[0] - 1) / 2) * scales[1],
                ),
            )
        )
    draw_overview(
        picture, rows, spectra, title="Simulated young star in a nebula: NIRCam + NIRSpec"
    )


def _on_grid(image, header, target):
    y, x = np.mgrid[: target["NAXIS2"], : target["NAXIS1"]]
    sky = WCS(target).celestial.all_pix2world(x, y, 0)
    column, row = WCS(header).celestial.all_world2pix(*sky, 0)
    return ndimage.map_coordinates(image, (row, column), order=3, cval=np.nan)


def print_table(result):
    """
    Print the figures of the demo.

    Parameters
    ----------
    result : dict
        What `jwst_fusion.command.demo_run.run_demo` returned.
    """
    wiggles = result["wiggles"]
    print("\nWiggles: mean half-amplitude in the 20 brightest spaxels")
    print(f"  without the trace model {100 * wiggles['before']:6.2f} %")
    print(f"  with the trace model    {100 * wiggles['after']:6.2f} %")
    print("\nFused cube seen through each filter against the image")
    print("  filter   PSNR [dB]   SSIM    calibration")
    for name, (ratio, similarity, calibration) in result["filters"].items():
        print(f"  {name:8s} {ratio:8.2f}   {similarity:7.4f}   {calibration:7.4f}")
    print("\nAgainst the truth at the resolution of the imager")
    print("                                         PSNR [dB]  SAM [deg]   ERGAS")
    for name, row in result["quality"].items():
        print(f"  {name:38s} {row['PSNR']:8.2f}  {row['SAM']:8.3f}  {row['ERGAS']:8.3f}")
    print(f"\nMean spectrum: median error {100 * result['mean_spectrum']:.3f} %")
    print("\nSeconds")
    for name, seconds in result["times"].items():
        print(f"  {name:46s} {seconds:7.1f}")
    print(f"  {'total':46s} {sum(result['times'].values()):7.1f}")
    print("\nFiles")
    for name, path in result["files"].items():
        print(f"  {name:12s} {path}")
    print(f"  {'picture':12s} {result['picture']}")
