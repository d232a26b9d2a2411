"""Images of the field in a report on a fused cube."""

import numpy as np

from jwst_fusion.fusion.observed.photometry import synthetic_image
from jwst_fusion.metrics.lines import line_map
from jwst_fusion.report.frame import Frame
from jwst_fusion.report.page import short
from jwst_fusion.report.picture import Picture, asinh_stretch, sky_panel

__all__ = [
    "field_pictures",
    "line_pictures",
    "quality_pictures",
    "worst_filter",
]

_SIGMA = 5.0  # ends of the scale of residual maps, standard deviations
_GREY = "Grey: no data."


def worst_filter(product):
    """
    Find the filter in which image or cube agree least with the fused cube.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with its residuals.

    Returns
    -------
    int
        Its number.
    """
    chi2 = np.asarray(product.filters["chi2"], float)
    chi2 = np.where(np.isfinite(chi2), chi2, np.inf)
    cube = [_mean_square(one) for one in product.arrays["cube_residuals"]]
    # The noise of the mean over many channels is small, so its chi-square counts a tenth.
    return int(np.argmax(np.fmax(chi2, 0.1 * np.array(cube))))


def _mean_square(residual):
    values = residual[np.isfinite(residual)].astype(float)
    return float(np.mean(values**2)) if values.size else np.nan


def field_pictures(product, cube, index, *, name, marks=()):
    """
    Show the field in the band of one image: imager, cube, fused cube at one stretch, residuals.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube.
    cube : `~jwst_fusion.report.fused.product.InputCube` or None
        The cube before the fusion, if it is known.
    index : int
        Number of the image.
    name : str
        First part of the names of the files.
    marks : sequence, optional
        As for `~jwst_fusion.report.picture.sky_panel`.

    Returns
    -------
    list of Picture
        Image, cube if it is known, fused cube, and the residuals of image and cube.
    """
    frame, label = Frame.of(product), product.labels[index]
    image = product.arrays["images"][index]
    model = image - product.arrays["residuals"][index]
    # For an image that is fainter than it should be, this has to be shown.
    model = model / float(product.filters["calibration"][index])
    coarse = None
    if cube is not None and "responses" in product.arrays:
        coarse = synthetic_image(cube.data, product.arrays["responses"][index])
    norm = asinh_stretch(model, model if coarse is None else coarse)
    parts = [
        Picture(
            f"{name}_{label.lower()}_image",
            sky_panel(image, frame, title=f"{label}: image", norm=norm, arrows=True),
            f"The field as the imager shows it through {label}.",
        )
    ]
    if coarse is not None:
        extent = frame.extent_of(cube.wcs, coarse.shape)
        figure = sky_panel(coarse, frame, title=f"{label}: cube", norm=norm, extent=extent)
        parts.append(
            Picture(
                f"{name}_{label.lower()}_cube",
                figure,
                f"The input cube in the band of {label}, much coarser.",
            )
        )
    parts.append(
        Picture(
            f"{name}_{label.lower()}_fused",
            sky_panel(model, frame, title=f"{label}: fused", norm=norm, marks=marks),
            f"The fused cube seen through {label}.",
        )
    )
    parts += [_residual(product, frame, index, name), _cube_residual(product, frame, index, name)]
    return parts


def _residual(product, frame, index, name):
    from matplotlib.colors import Normalize

    label, chi2 = product.labels[index], float(product.filters["chi2"][index])
    figure = sky_panel(
        product.residual_sigma[index],
        frame,
        title=f"{label}: (image − fused) / σ, χ² {short(chi2)}",
        norm=Normalize(-_SIGMA, _SIGMA),
        label="σ",
    )
    return Picture(
        f"{name}_{label.lower()}_residual",
        figure,
        f"Residuals of {label} in units of its errors, reduced chi-square {short(chi2)}.",
    )


def _cube_residual(product, frame, index, name):
    from matplotlib.colors import Normalize

    label, residual = product.labels[index], product.arrays["cube_residuals"][index]
    chi2 = _mean_square(residual)
    figure = sky_panel(
        residual,
        frame,
        title=f"{label}: (cube − fused) / σ, χ² {short(chi2)}",
        norm=Normalize(-_SIGMA, _SIGMA),
        label="σ",
    )
    return Picture(
        f"{name}_{label.lower()}_cube_residual",
        figure,
        f"Residuals of the cube in the band of {label} in units of their errors.",
    )


def line_pictures(product, cube, lines):
    """
    Show lines and the continuum beside them, before and after the fusion.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, or a joined one.
    cube : `~jwst_fusion.report.fused.product.InputCube` or None
        The cube before the fusion; without it, only the fused cube is shown.
    lines : sequence of `~jwst_fusion.metrics.lines.Line`
        The lines, in the order of the groups.

    Returns
    -------
    list of list of Picture
        For each line: line and continuum of the cube, line and continuum of the fused cube.
    """
    frame = Frame.of(product)
    groups = []
    for line in lines:
        text = f"{line.wavelength:.4f} µm"
        after = line_map(product.data, line)
        before = (None, None) if cube is None else line_map(cube.data, line)
        group = []
        for number, kind in enumerate(("line", "continuum")):
            norm = asinh_stretch(after[number])
            for when, image in (("cube", before[number]), ("fused", after[number])):
                if image is None:
                    continue
                extent = None if when == "fused" else frame.extent_of(cube.wcs, image.shape)
                title = f"{kind} {text}: {when}"
                group.append(
                    Picture(
                        f"line_{line.wavelength:.4f}_{kind}_{when}".replace(".", "p"),
                        sky_panel(image, frame, title=title, norm=norm, extent=extent),
                        f"Map of the {kind} at {text}, {when}.",
                    )
                )
        groups.append(group)
    return groups


def quality_pictures(product):
    """
    Show how much of each pixel was measured, and how well it is known.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, or a joined one.

    Returns
    -------
    list of Picture
        Shares measured by the cube, covered by an image and flagged, percent; signal to noise.
    """
    from matplotlib.colors import Normalize

    frame, sample = Frame.of(product), product.sample
    origin = [np.asarray(product.origin[i]).astype(np.int64) for i in sample]
    shares = {
        "cube": ("measured by the cube", [plane & 1 > 0 for plane in origin]),
        "image": ("in the band of an image", [plane & 2 > 0 for plane in origin]),
        "flagged": ("flagged in DQ", [np.asarray(product.dq[i]) != 0 for i in sample]),
    }
    pictures = []
    for key, (text, planes) in shares.items():
        figure = sky_panel(
            100 * np.mean(planes, axis=0),
            frame,
            title=text,
            norm=Normalize(0, 100),
            label="% of the channels",
        )
        pictures.append(Picture(f"weights_{key}", figure, f"Share of the channels {text}."))
    ratio = product.signal_to_noise
    figure = sky_panel(
        ratio,
        frame,
        title="signal to noise",
        norm=asinh_stretch(ratio),
        label="median over wavelength",
    )
    return [*pictures, Picture("signal_to_noise", figure, "Brightness over error.")]
