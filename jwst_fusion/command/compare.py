"""``jwst-fusion compare``: a fused cube against the truth, in numbers and a picture."""

from pathlib import Path

__all__ = ["add_parser", "compare_with_truth"]

_BRIGHTEST = 0.97  # quantile of the brightness above which pixels are looked at by themselves
_SEEN = 5.0  # standard errors of a voxel that a line has to be bright to be compared
_HALF_WIDTH = 3.0  # arcsec: of the field that is drawn at most, of JWST
_APART = 6  # pixels between the places whose spectra are drawn


def add_parser(subparsers):
    """
    Add the command.

    Parameters
    ----------
    subparsers : argparse action
        The subparsers of ``jwst-fusion``.
    """
    text = "compare a fused cube with the truth of its scene"
    one = subparsers.add_parser(
        "compare",
        help=text,
        description=f"{text.capitalize()}: print figures of merit, and draw a picture.",
    )
    add = one.add_argument
    add("fused", type=Path, help="fused cube (fused_s3d, hifred)")
    add("truth", type=Path, help="what 'simulate' wrote, or a true cube at the images' resolution")
    text = "cube before the fusion, to compare with (default: the one beside the product)"
    add("--cube", type=Path, help=text)
    add("--picture", type=Path, help="PNG to write (default: beside the product, _compared.png)")
    one.set_defaults(run=_run)


def _run(options):
    stem = options.fused.name.removesuffix(".gz").removesuffix(".fits")
    picture = options.picture or options.fused.with_name(f"{stem}_compared.png")
    found = compare_with_truth(options.fused, options.truth, cube=options.cube, picture=picture)
    if found["resolution"] != "imager":
        print(
            f"{options.fused.name} has the resolution '{found['resolution']}', the truth that of "
            "the images: they are not to agree"
        )
    print("Against the truth              PSNR [dB]  SAM [deg]    ERGAS")
    for name, row in found["quality"].items():
        print(f"  {name:26s} {row['PSNR']:10.2f} {row['SAM']:10.3f} {row['ERGAS']:8.3f}")
    print(f"Mean spectrum: median error {100 * found['mean_spectrum']:.3f} %")
    if found["within"] >= 0:
        print(
            f"Within 2 standard errors: {100 * found['within']:.1f} % of the voxels (95 expected)"
        )
    bright = found["brightest"]
    place = f"{bright['wavelength']:.4f} {found['unit']}"
    line = f"strongest line ({place}) by {100 * bright['line']:.2f} % (median)"
    print(
        f"Brightest 3 % of the pixels: spectra wrong by {100 * bright['spectra']:.2f} % rms, "
        f"{line if bright['line'] >= 0 else 'no line'}; 68 % of errors over those stated "
        f"{bright['pull']:.2f} (1 expected)"
    )
    print(f"{picture} written")
    return 0


def compare_with_truth(fused, truth, *, cube=None, picture=None):
    """
    Compare a fused cube with the truth.

    Parameters
    ----------
    fused : path-like
        Fused cube.
    truth : path-like
        File of `jwst_fusion.simulation.scene_file.write_truth`, or a cube with extension SCI in
        MJy/sr that covers the field, of which the wavelengths are interpolated.
    cube : path-like, optional
        Cube before the fusion, which is compared too, interpolated to the same grid. Default: the
        one of which the product has the name, if it lies beside it.
    picture : path-like, optional
        PNG to draw.

    Returns
    -------
    dict
        ``quality``: PSNR [dB], SAM [degree] and ERGAS by name of cube; ``mean_spectrum``: median
        relative error; ``within``: part of the voxels within two standard errors; ``brightest``:
        of the brightest 3 % of the pixels the rms relative error of their ``spectra``, the median
        one of the strongest ``line`` above its surroundings in wavelength (NaN where none is five
        standard errors bright), its ``wavelength`` [um], and the 68 % quantile of errors over those
        stated (``pull``); ``resolution`` of the product; ``unit`` of the wavelengths, or "keV".

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    ValueError
        If a file is not of the kind that is needed, or the two do not overlap.
    """
    import numpy as np

    from jwst_fusion.metrics import mean_spectrum_error

    product = _read(Path(fused), "fused cube")
    reference = _read_truth(Path(truth), product)
    data, header = product["data"], product["header"]
    seen = np.all(np.isfinite(reference), axis=(1, 2))
    if not seen.any():
        seen = np.any(np.isfinite(reference), axis=(1, 2))
    if not seen.any():
        msg = f"{truth} has no value in the wavelengths and field of {fused}"
        raise ValueError(msg)
    cubes = {"fused cube": data}
    path = Path(cube) if cube is not None else _beside(Path(fused), product)
    coarse = None
    factor = float(product["primary"].get("FUSFACT", 1))
    if path is not None:
        coarse = _read(path, "cube before the fusion")
        cubes["cube, interpolated"] = _regridded(coarse, product)
    usable = np.all([np.isfinite(one[seen]).all(axis=0) for one in cubes.values()], axis=0)
    usable &= np.isfinite(reference[seen]).all(axis=0)
    if not usable.any():
        msg = f"{truth} and {fused} have no spaxel in common"
        raise ValueError(msg)
    quality = {
        name: _scores(reference[seen], one[seen], usable, factor) for name, one in cubes.items()
    }
    spectrum = mean_spectrum_error(
        reference[seen][:, usable][:, None], data[seen][:, usable][:, None]
    )
    off = (data - reference)[seen][:, usable] / product["error"][seen][:, usable]
    off = off[np.isfinite(off)]
    if picture is not None:
        _draw(picture, product, coarse, cubes, reference, seen, usable, header)
    return {
        "quality": quality,
        "mean_spectrum": float(np.median(np.abs(spectrum))),
        "within": float(np.mean(np.abs(off) < 2.0)) if off.size else np.nan,
        "brightest": _brightest(product, reference, seen, usable),
        "resolution": str(product["primary"].get("FUSRESOL", "imager")),
        "unit": product["unit"],
    }


def _brightest(product, truth, seen, usable):
    """Spectra, strongest line and errors of the brightest pixels, where stars are."""
    import numpy as np

    light = np.where(usable, np.mean(truth[seen], axis=0), -np.inf)
    there = light >= np.quantile(light[usable], _BRIGHTEST)
    true, found = truth[:, there], product["data"][:, there]
    level = np.mean(true[seen], axis=0)
    off = (found - true)[seen]
    with np.errstate(invalid="ignore", divide="ignore"):
        pulls = np.abs(off / product["error"][:, there][seen])
    pulls = pulls[np.isfinite(pulls)]
    at, line_map = _strongest_line(np.mean(true, axis=1), seen)
    lines = line_map(true)
    shine = lines > _SEEN * product["error"][at][there]
    wrong = np.abs(line_map(found) - lines)[shine] / lines[shine]
    return {
        "spectra": float(np.sqrt(np.mean((off / level) ** 2))),
        "line": float(np.median(wrong)) if wrong.size else np.nan,
        "wavelength": float(product["wavelength"][at]),
        "pull": float(np.quantile(pulls, 0.683)) if pulls.size else np.nan,
    }


def _strongest_line(spectrum, seen):
    """Channel of the strongest line, and a function that takes its light out of a cube."""
    import numpy as np

    smooth = _running_median(spectrum)
    line = int(np.nanargmax(np.where(seen, (spectrum - smooth) / smooth, -np.inf)))
    away = np.abs(np.arange(len(spectrum)) - line)
    beside = seen & (away > 3) & (away < 15)

    def line_map(values):
        near = values[max(line - 1, 0) : line + 2]
        return np.mean(near, axis=0) - np.median(values[beside], axis=0)

    return line, line_map


def _scores(truth, cube, seen, factor):
    from jwst_fusion.metrics import ergas, psnr, sam

    return {
        "PSNR": psnr(truth, cube, seen),
        "SAM": sam(truth, cube, seen),
        "ERGAS": ergas(truth, cube, factor, seen),
    }


def _read(path, what):
    """Arrays, headers and ascending wavelengths of a cube."""
    from astropy.io import fits

    from jwst_fusion.numerics.spectral_axis import file_wavelengths

    if not path.is_file():
        msg = f"{path} does not exist"
        raise FileNotFoundError(msg)
    with fits.open(path) as hdus:
        if _is_of_energies(hdus):
            return _read_energies(hdus)
        if "SCI" not in hdus or hdus["SCI"].header["NAXIS"] != 3:
            msg = f"{path} is no {what}: it has no cube in an extension SCI"
            raise ValueError(msg)
        data = hdus["SCI"].data.astype(float)
        error = hdus["ERR"].data.astype(float) if "ERR" in hdus else data * 0
        return {
            "data": data,
            "error": error,
            "header": hdus["SCI"].header.copy(),
            "primary": hdus[0].header.copy(),
            "wavelength": file_wavelengths(hdus, str(path)),
            "unit": "um",
        }


def _is_of_energies(hdus):
    """Tell whether a file has a cube of photons by energy, as X-ray telescopes see them."""
    cube = hdus["SCI"] if "SCI" in hdus else hdus[0]
    return cube.header["NAXIS"] == 3 and str(cube.header.get("CTYPE3", "")).startswith("ENER")


def _read_energies(hdus):
    """Arrays, headers and energies of a cube of photons, fused or true."""
    import numpy as np

    cube = hdus["SCI"] if "SCI" in hdus else hdus[0]
    data, header = cube.data.astype(float), cube.header.copy()
    return {
        "data": data,
        "error": hdus["ERR"].data.astype(float) if "ERR" in hdus else data * np.nan,
        "header": header,
        "primary": hdus[0].header.copy(),
        "wavelength": header["CRVAL3"]
        + (np.arange(len(data)) + 1 - header["CRPIX3"]) * header["CDELT3"],
        "unit": "keV",
    }


def _read_truth(path, product):
    from astropy.io import fits

    from jwst_fusion.simulation.scene_file import is_scene_file, read_truth

    if not path.is_file():
        msg = f"{path} does not exist"
        raise FileNotFoundError(msg)
    with fits.open(path) as hdus:
        if is_scene_file(hdus):
            truth = read_truth(hdus, path.name)
            return truth.cube(product["header"], product["wavelength"])
    found = _read(path, "truth")
    if found["unit"] != product["unit"]:
        msg = f"{path} is in {found['unit']}, the fused cube in {product['unit']}"
        raise ValueError(msg)
    if product["unit"] == "keV":
        if found["data"].shape != product["data"].shape:
            msg = f"{path} has the shape {found['data'].shape}, not that of the fused cube"
            raise ValueError(msg)
        return found["data"]
    return _regridded(found, product)


def _beside(fused, product):
    """Cube before the fusion, if it lies beside the product."""
    name = str(product["primary"].get("FUSCUBE", ""))
    path = fused.parent / name
    return path if name and path.is_file() else None


def _regridded(cube, product):
    """Cube on the sky grid and at the wavelengths of a product."""
    import numpy as np
    from scipy.interpolate import interp1d

    from jwst_fusion.command.demo_results import interpolate_cube

    values = interpolate_cube(cube["data"], cube["header"], product["header"])
    own, wanted = cube["wavelength"], product["wavelength"]
    if len(own) == len(wanted) and np.allclose(own, wanted, rtol=1e-7):
        return values
    return interp1d(own, values, axis=0, bounds_error=False)(wanted)


def _draw(picture, product, coarse, cubes, truth, seen, usable, header):
    import numpy as np

    from jwst_fusion.report.fused.overview import Panel, SpectrumPlot, draw_overview

    scale = abs(header["CDELT1"]) * 3600
    labels = ("energy [keV]", "photons") if product["unit"] == "keV" else ()
    data, wavelength = product["data"], product["wavelength"]
    line, line_map = _strongest_line(np.mean(truth[:, usable], axis=1), seen)

    def panels(reduce):
        shown = [] if coarse is None else [("cube, interpolated", cubes["cube, interpolated"])]
        shown += [("fused", data), ("truth", truth)]
        return [Panel(name, reduce(values), scale) for name, values in shown]

    rows = [
        ("mean", panels(lambda values: np.mean(values[seen], axis=0))),
        (f"{wavelength[line]:.4f} {product['unit'].replace('um', 'µm')}", panels(line_map)),
    ]
    bright = np.where(usable, np.mean(truth[seen], axis=0), -np.inf)
    contrast = np.where(usable, line_map(truth), -np.inf)
    ny, nx = usable.shape
    spectra, rest = [], [("A: brightest", bright), ("B: strongest line", contrast)]
    for title, measure in rest:
        y, x = np.unravel_index(np.argmax(measure), measure.shape)
        near_y, near_x = np.ogrid[:ny, :nx]
        contrast[np.hypot(near_y - y, near_x - x) < _APART] = -np.inf
        curves = {"fused": data[:, y, x], "truth": truth[:, y, x]}
        if coarse is not None:
            curves["cube"] = cubes["cube, interpolated"][:, y, x]
        place = ((x - (nx - 1) / 2) * scale, (y - (ny - 1) / 2) * scale)
        spectra.append(
            SpectrumPlot(title, wavelength, curves, product["error"][:, y, x], place, *labels)
        )
    half = 0.5 * scale * max(nx, ny)
    if product["unit"] == "um":
        half = min(half, _HALF_WIDTH)
    draw_overview(picture, rows, spectra, title="Fused cube and truth", half_width=half)


def _running_median(values, width=21):
    from scipy import ndimage

    return ndimage.median_filter(values, min(width, len(values)), mode="nearest")
