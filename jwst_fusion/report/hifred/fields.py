"""Images of the field in a report on a cube fused from two or more."""

import numpy as np

from jwst_fusion.hifred.agreement import band_image
from jwst_fusion.report.frame import Frame
from jwst_fusion.report.mismatch import reduced
from jwst_fusion.report.page import short
from jwst_fusion.report.picture import Picture, asinh_stretch, sky_panel

__all__ = [
    "band_pictures",
    "further_pictures",
    "line_map_pictures",
    "line_pictures",
    "map_pictures",
    "quality_pictures",
]

_SIGMA = 5.0  # range of maps of residuals, standard deviations: what exceeds it is not noise


def _band_text(product, band):
    text = f"{band.low:.4g}–{band.high:.4g} {product.axis_unit}"
    return f"all, {text}" if band.name == "total" else text


def _on_scale(product, band, images, models):
    """Images of both cubes in the unit of the fused one, per pixel of X; and the fused one."""
    fused = band_image(product.data, product.edges, band, mean=not product.counts)
    if not product.counts:
        return images[0], product.on_fine(images[1]), fused
    shown = []
    seen = (np.isfinite(models[0]), product.on_fine(np.isfinite(models[1]).astype(float)) == 1)
    for compared, image, model, part in zip(product.cubes, images, models, seen, strict=True):
        factor = np.nansum(np.where(part, fused, 0.0)) / max(np.nansum(model), 1e-300)
        if compared.letter == "Y":
            image = product.on_fine(image / np.maximum(product.shares, 1))
        shown.append(factor * image)
    return *shown, fused


def band_pictures(product, index, *, name, marks=()):
    """
    Show the field in a band: X, Y and the fused cube at one stretch, and residuals of X and Y.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube, with the images of X and Y in each band.
    index : int
        Number of the band.
    name : str
        First part of the names of the files.
    marks : sequence, optional
        As for `~jwst_fusion.report.picture.sky_panel`.

    Returns
    -------
    list of Picture
        X, Y, fused cube, and the residuals of X and of Y over their errors.
    """
    band, frame = product.bands[index], Frame.of(product)
    text = _band_text(product, band)
    images = [compared.images[index] for compared in product.cubes]
    models = [compared.models[index] for compared in product.cubes]
    x, y, fused = _on_scale(product, band, images, models)
    norm = asinh_stretch(x, y, fused)
    name = f"{name}_{index}"
    words = (
        ("x", f"X: {text}", x, "The sharper cube in the band"),
        ("y", f"Y: {text}", y, "The cube with the finer channels in the band, much coarser"),
        ("fused", f"fused: {text}", fused, "The fused cube in the band"),
    )
    parts = [
        Picture(
            f"{name}_{key}",
            sky_panel(
                image,
                frame,
                title=title,
                norm=norm,
                label=product.unit,
                arrows=key == "x" and product.wcs is not None,
                marks=marks if key == "fused" else (),
            ),
            f"{alt} {text}.",
        )
        for key, title, image, alt in words
    ]
    return [
        *parts,
        *(_residual(product, compared, index, name, frame) for compared in product.cubes),
    ]


def further_pictures(product, index):
    """
    Show the residuals of the observations beyond X and Y in a band, on their own pixels.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube, with the images of all observations in each band.
    index : int
        Number of the band.

    Returns
    -------
    list of Picture
        Residuals over errors, one for each.
    """
    pictures = []
    for compared in product.more:
        scale = 1.0
        if compared.wcs is not None:
            scale = float(np.sqrt(abs(np.linalg.det(compared.wcs.pixel_scale_matrix))) * 3600)
        frame = Frame(compared.images[index].shape, scale, compared.wcs)
        pictures.append(_residual(product, compared, index, f"field_{index}", frame, own=True))
    return pictures


def _residual(product, compared, index, name, frame, *, own=False):
    from matplotlib.colors import Normalize

    parts = compared.images[index], compared.models[index], compared.sigmas[index]
    # Where no count is expected, a single one stands out by two.
    least = 0.5 if product.counts else 1e-30
    pull = (parts[0] - parts[1]) / np.maximum(parts[2], least)
    chi2 = reduced(*parts)
    return Picture(
        f"{name}_residual_{compared.letter.lower()}",
        sky_panel(
            pull if own or compared.letter == "X" else product.on_fine(pull),
            frame,
            title=f"({compared.letter} − fused) / σ, χ² {short(chi2)}",
            norm=Normalize(-_SIGMA, _SIGMA),
            label="σ",
        ),
        f"What {compared.letter} has beyond the fused cube as it would see it, in units of its "
        f"errors, reduced chi-square {short(chi2)}.",
    )


def line_pictures(product, lines):
    """
    Show lines that the user asked for, in the fused cube and, if they are known, in X and Y.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube, and X and Y where they are known.
    lines : sequence of Band
        Parts of the spectrum, keV or micrometre.

    Returns
    -------
    list of list of Picture
        For each line: X and Y, if they are known, and the fused cube.
    """
    frame, groups = Frame.of(product), []
    for band in lines:
        text = _band_text(product, band)
        options = {"mean": not product.counts}
        models = [band_image(one.model, one.edges, band, **options) for one in product.cubes]
        cubes = [one.model * np.nan if one.cube is None else one.cube for one in product.cubes]
        images = [
            band_image(cube, one.edges, band, **options)
            for cube, one in zip(cubes, product.cubes, strict=True)
        ]
        shown = _on_scale(product, band, images, models)
        norm = asinh_stretch(shown[2])
        known = [product.x.cube is not None, product.y.cube is not None, True]
        groups.append(
            [
                Picture(
                    f"line_{band.low:.4f}_{kind}".replace(".", "p").lower(),
                    sky_panel(image, frame, title=f"{kind}: {text}", norm=norm, label=product.unit),
                    f"Map of the line {text}: {kind}.",
                )
                for kind, image, there in zip(("X", "Y", "fused"), shown, known, strict=True)
                if there
            ]
        )
    return groups


def line_map_pictures(product, maps):
    """
    Show maps of named lines.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube.
    maps : `~jwst_fusion.hifred.line_maps.LineMaps`
        The maps.

    Returns
    -------
    list of list of Picture
        For each line its flux, for each group of lines also velocity and width, with their errors.
    """
    frame, rows, shown = Frame.of(product), [], set()
    for number, line in enumerate(maps.lines):
        group = int(maps.groups[number])
        kinds = ("flux",) if group in shown else ("flux", "velocity", "width")
        shown.add(group)
        row = []
        for kind in kinds:
            unit = maps.unit if kind == "flux" else "km/s"
            for name, words in ((kind, kind), (f"{kind}_error", f"error of the {kind}")):
                image = getattr(maps, name)[number]
                if np.isfinite(image).any():
                    row.append(
                        Picture(
                            f"lines_{number}_{name}",
                            sky_panel(
                                image,
                                frame,
                                title=f"{line.name}: {words}",
                                norm=_range(image, name),
                                label=unit,
                            ),
                            f"Map of the {words} of the line {line.name}, {unit}.",
                        )
                    )
        if row:
            rows.append(row)
    return rows


def _range(image, name):
    """Stretch of a map of a line: around zero for velocities, else from zero on."""
    from matplotlib.colors import Normalize

    known = image[np.isfinite(image)]
    if name == "velocity":
        half = max(float(np.percentile(np.abs(known), 98)), 1e-3)
        return Normalize(-half, half)
    return Normalize(0.0, max(float(np.percentile(known, 98)), 1e-30))


def map_pictures(product):
    """
    Show how each pixel agrees: spectral angle, chi-square, relative error.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube, with what it says of the pixels of X and Y.

    Returns
    -------
    list of Picture
        Spectral angles, degree; chi-square of X and of Y; relative error, percent, if it is known.
    """
    from matplotlib.colors import LogNorm, Normalize

    frame, parts = Frame.of(product), []
    angle, noise = product.y.pixels[1:]
    top = max(np.nanpercentile(angle, 99), 1e-3) if np.isfinite(angle).any() else 1.0
    titles = (
        ("angle", angle, "spectral angle, fused against Y", "Angle between the spectra of Y and"),
        ("angle_noise", noise, "the same by noise alone", "Angle that noise alone would make to"),
    )
    for key, image, title, alt in titles:
        parts.append(
            Picture(
                key,
                sky_panel(
                    product.on_fine(image),
                    frame,
                    title=title,
                    norm=Normalize(0, top),
                    label="degrees",
                ),
                f"{alt} those that the fused cube gives it.",
            )
        )
    for compared in product.cubes:
        image = compared.pixels[0]
        image = image if compared.letter == "X" else product.on_fine(image)
        parts.append(
            Picture(
                f"chi2_{compared.letter.lower()}",
                sky_panel(
                    np.clip(image, 0.1, 10.0),
                    frame,
                    title=f"χ² along the spectrum: {compared.letter}",
                    norm=LogNorm(0.1, 10.0),
                    label="reduced χ²",
                ),
                f"Reduced chi-square of the spectrum of pixels of {compared.letter}; noise "
                "gives 1.",
            )
        )
    error = product.relative_error
    if error is not None:
        parts.append(
            Picture(
                "relative_error",
                sky_panel(
                    100 * error,
                    frame,
                    title="error / value",
                    norm=Normalize(0, _top(100 * error)),
                    label="%, median over the channels",
                ),
                "Error of the fused cube relative to its value.",
            )
        )
    return parts


def _top(percent):
    """Upper limit of a map of relative errors, which tell nothing where there is no light."""
    known = percent[np.isfinite(percent)]
    return float(np.clip(1.5 * np.percentile(known, 70), 1e-3, 100.0)) if known.size else 100.0


def quality_pictures(product):
    """
    Show how much of each pixel both cubes constrain.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube.

    Returns
    -------
    list of Picture
        One map: the share of the channels that are flagged in DQ, percent.
    """
    from matplotlib.colors import Normalize

    flags = np.array([product.dq[i] for i in product.sample])
    return [
        Picture(
            "flagged",
            sky_panel(
                100 * np.mean(flags != 0, axis=0),
                Frame.of(product),
                title="flagged in DQ",
                norm=Normalize(0, 100),
                label="% of the channels",
            ),
            "Share of the channels that are flagged in DQ.",
        )
    ]
