"""Plots of spectra and of the solution in a report on a cube fused from two."""

import numpy as np

from jwst_fusion.report.components import stacked_spectra
from jwst_fusion.report.frame import Frame
from jwst_fusion.report.picture import COLOURS, Picture, new_figure, range_of

__all__ = [
    "chi2_picture",
    "component_plots",
    "history_picture",
    "spectrum_picture",
    "total_pictures",
    "tuning_pictures",
]


def spectrum_picture(product, place):
    """
    Show the spectrum of a pixel with its error, beside those of X and Y there.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube, and X and Y where they are known, else what is expected of them.
    place : `~jwst_fusion.report.measures.Place`
        The pixel of the fused cube.

    Returns
    -------
    Picture
        A plot in the unit of the fused cube over energy or wavelength.
    """
    figure, axis = new_figure()
    y, x, middle = place.y, place.x, product.middle
    spectrum = np.array(product.data[:, y, x], float)
    spectra = [spectrum]
    for compared, colour, width in ((product.y, "cube", 0.7), (product.x, "other", 1.0)):
        values, word = _at(product, compared, y, x)
        spectra.append(values)
        style = {"color": COLOURS[colour], "lw": width, "label": f"{compared.letter}{word}"}
        if compared.letter == "X":
            axis.stairs(values, compared.edges, baseline=None, **style)
        else:
            axis.plot(compared.middle, values, **style)
    if product.err is not None:
        error = np.array(product.err[:, y, x], float)
        low, high = spectrum - error, spectrum + error
        axis.fill_between(middle, low, high, color=COLOURS["fused"], alpha=0.3, lw=0, label="± 1 σ")
    axis.plot(middle, spectrum, color=COLOURS["fused"], lw=1.1, label="fused")
    # Around bright places Y has much more light than the pixel.
    top = np.nanmax([*spectra[0], *spectra[2], 1e-30])
    range_of(axis, spectra[0], np.minimum(spectra[1], 3 * top), spectra[2])
    axis.set_xlabel(product.axis_label, fontsize=10)
    axis.set_ylabel(product.unit, fontsize=10)
    axis.set_title(f"{place.letter}: {place.title}", fontsize=11)
    axis.legend(fontsize=9, frameon=False)
    return Picture(
        f"spectrum_{place.letter.lower()}",
        figure,
        f"Spectrum of the pixel {place.title} with its error, beside X and Y.",
        _where(product, y, x),
        wide=True,
    )


def _where(product, y, x):
    where = f"pixel x {x}, y {y}"
    if product.wcs is None:
        return where
    right, up = Frame.of(product).place(y, x)
    ra, dec = product.wcs.all_pix2world([x], [y], 0)
    return f'{where}; {right:+.4g}", {up:+.4g}" from the middle; RA {ra[0]:.6f}, Dec {dec[0]:.6f}'


def _at(product, compared, y, x):
    """Spectrum of X or Y at a pixel of the result, in its unit, and words for what it is."""
    known = compared.cube is not None
    cube, word = (
        (compared.cube, "") if known else (compared.model, ", as expected of the fused cube")
    )
    if compared.letter == "X":
        values = np.array(cube[:, y, x], float)
    else:
        number = int(product.owner[y, x])
        if number < 0:
            return np.full(len(compared.model), np.nan), ", none here"
        row, column = divmod(number, cube.shape[2])
        values = np.array(cube[:, row, column], float)
        word = ", pixel around it" + word
    if product.counts:
        values = values * _to_scene(product, compared, values.size)
        if compared.letter == "Y":
            values = values / max(product.shares[row, column], 1)
    return values, word


def _to_scene(product, compared, size):
    """Photons of the scene in a channel of Y for each count of a channel of X or Y."""
    inside = product.owner >= 0 if compared.letter == "Y" else np.isfinite(compared.images[0])
    scene = np.array([np.nansum(plane[inside]) for plane in product.data], float)
    number = np.ones(size)
    if compared.letter == "X":
        which = np.searchsorted(compared.edges, product.middle) - 1
        good = (which >= 0) & (which < size)
        scene = np.bincount(which[good], scene[good], minlength=size)
        number = np.maximum(np.bincount(which[good], minlength=size), 1)
        seen = np.array([np.nansum(plane[inside]) for plane in compared.model], float)
    else:
        seen = np.array([np.nansum(plane) for plane in compared.model], float)
    return np.divide(scene, seen, out=np.full(size, np.nan), where=seen > 0) / number


def total_pictures(product):
    """
    Compare total spectra of X and of Y with what is expected of them, with relative errors.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube, with the tables of the channels of X and Y.

    Returns
    -------
    list of Picture
        One plot for X and one for Y.
    """
    what = "counts" if product.counts else f"mean [{product.unit}]"
    return [_total(product, compared, what) for compared in product.cubes]


def _total(product, compared, what):
    observed, expected, sigma = compared.spectrum
    figure, (top, below) = new_figure(height=1.25, rows=2, ratios=(2, 1))
    style = {"edges": compared.edges, "baseline": None}
    top.stairs(
        observed, color=COLOURS["cube"], lw=2.2, label=f"{compared.letter} observed", **style
    )
    top.stairs(expected, color=COLOURS["fused"], lw=0.9, label="re-observed", **style)
    top.set_ylabel(what, fontsize=10)
    top.set_title(f"{compared.letter}: {compared.file}", fontsize=10)
    top.legend(fontsize=9, frameon=False)
    size = np.where(np.abs(expected) > 0, np.abs(expected), np.nan)
    error, noise = 100 * (observed - expected) / size, 100 * sigma / size
    below.fill_between(
        compared.middle, -noise, noise, color=COLOURS["faint"], alpha=0.35, lw=0, label="± 1 σ"
    )
    below.axhline(0, color=COLOURS["faint"], lw=0.8)
    below.plot(
        compared.middle, error, color=COLOURS["other"], lw=0.9, label="observed − re-observed"
    )
    range_of(below, error, 2 * noise, -1.3 * noise)
    below.set_ylabel("error [%]", fontsize=10)
    below.set_xlabel(product.axis_label, fontsize=10)
    below.legend(fontsize=8, framealpha=0.85, edgecolor="none", ncols=2)
    return Picture(
        f"total_{compared.letter.lower()}",
        figure,
        f"Spectrum of all pixels of {compared.letter} and what the fused cube gives, with the "
        "difference.",
        "All pixels that were used. Re-observed: the fused cube through PSF and spectral response.",
        wide=True,
    )


def chi2_picture(product):
    """
    Show the reduced chi-square of every channel of X and of Y.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube, with the tables of the channels of X and Y.

    Returns
    -------
    Picture
        Two plots over energy or wavelength: X above, Y below.
    """
    figure, axes = new_figure(height=1.0, rows=2)
    for axis, compared in zip(axes, product.cubes, strict=True):
        chi2 = np.asarray(compared.channels["chi2"], float)
        axis.axhline(1, color=COLOURS["faint"], lw=0.8)
        axis.plot(compared.middle, chi2, color=COLOURS["fused"], lw=0.8)
        known = chi2[np.isfinite(chi2)]
        if known.size and known.max() > 10 * max(np.median(known), 1e-6):
            axis.set_yscale("log")
        axis.set_ylabel(f"χ² of {compared.letter}", fontsize=10)
    axes[-1].set_xlabel(product.axis_label, fontsize=10)
    return Picture(
        "chi2_channels",
        figure,
        "Reduced chi-square of every channel of X and of Y.",
        "Channel by channel; 1 is expected if responses and errors are right, a little less for "
        "the noise that any fit follows.",
        wide=True,
    )


def component_plots(product):
    """
    Show the spectra of the components and their size.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube, with the table and the spectra of its components.

    Returns
    -------
    list of Picture
        Spectra, if the product has them, and sizes relative to the noise.
    """
    parts = []
    spectra = product.arrays.get("spectra")
    if spectra is not None:
        # The first component is the mean spectrum, whose root is the noise of counts.
        unit = np.sqrt(np.maximum(np.abs(spectra[0]), 1e-30)) if product.counts else 1.0
        unit = np.broadcast_to(unit, spectra[0].shape)
        parts.append(stacked_spectra(spectra, unit, product.middle, product.axis_label))
    size = np.asarray(product.tables["components"]["singular"], float)
    figure, axis = new_figure(height=0.8)
    axis.axhline(1, color=COLOURS["faint"], lw=0.8)
    axis.plot(np.arange(1, size.size + 1), size, "o-", ms=4, color=COLOURS["fused"], lw=0.9)
    axis.set_yscale("log")
    axis.set_xlabel("component", fontsize=10)
    axis.set_ylabel("size / largest of noise", fontsize=10)
    parts.append(
        Picture(
            "component_sizes",
            figure,
            "Size of each component of Y relative to the largest that noise gives.",
            "Components above the grey line stand out of the noise of Y.",
            wide=True,
        )
    )
    return parts


def history_picture(product):
    """
    Show how the solver came near the minimum, step by step.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube, with the table of the steps.

    Returns
    -------
    Picture
        Two plots over the steps: the objective above its lowest value, and the distance from the
        minimum.
    """
    table = product.tables["history"]
    step = np.arange(1, len(table) + 1)
    figure, axes = new_figure(height=1.1, rows=2)
    # Each stage has an objective of its own.
    rises = np.flatnonzero(np.diff(table["objective"]) > 0) + 1
    stages = np.split(np.asarray(table["objective"]), rises)
    cost = np.concatenate([one - one.min() for one in stages])
    low_rank = product.header.get("HIFREGUL", "").startswith("low_rank")
    accuracy = np.abs(table["accuracy"])
    for axis, values, label in (
        (axes[0], cost, "objective − lowest" if not rises.size else "objective − lowest of stage"),
        (axes[1], accuracy, "Newton decrement" if low_rank else "primal-dual gap"),
    ):
        known = values[values > 0]
        if known.size:
            axis.plot(
                step,
                np.where(values > 0, values, np.nan),
                "o-",
                ms=3,
                lw=0.9,
                color=COLOURS["fused"],
            )
            axis.set_yscale("log")
        axis.set_ylabel(label, fontsize=9)
    axes[-1].set_xlabel("step" if low_rank else "check of the gap", fontsize=10)
    return Picture(
        "history",
        figure,
        "Objective above its lowest value, and how far the solution is from the minimum.",
        "Nats."
        + (
            " In stages, the weight of negative values grows, and with it the objective."
            if low_rank
            else ""
        ),
        wide=True,
    )


def tuning_pictures(product):
    """
    Show how well held-out data were predicted with each mu or kappa.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube, with the table of the tuning, if it has one.

    Returns
    -------
    list of Picture
        One plot; empty if it was given.
    """
    table = product.tables.get("tuning")
    if table is None:
        return []
    figure, axis = new_figure()
    axis.plot(table["strength"], table["deviance"], "o-", ms=4, color=COLOURS["fused"], lw=0.9)
    chosen = product.header.get("HIFSTREN")
    if chosen:
        axis.axvline(chosen, color=COLOURS["other"], lw=0.8, ls=":")
    axis.set_xscale("log")
    axis.set_xlabel("mu or kappa", fontsize=10)
    axis.set_ylabel("held-out deviance − lowest", fontsize=10)
    return [
        Picture(
            "tuning",
            figure,
            "Deviance of the data that were held out for each mu or kappa that was tried.",
            "Data that were held out, predicted from the rest. Dotted: what was used.",
            wide=True,
        )
    ]
