"""Assemble the report on an exposure with a trace model: findings, figures, tables."""

from importlib.metadata import version

import numpy as np

from jwst_fusion import __version__
from jwst_fusion.report.levels import sum_up
from jwst_fusion.report.page import Finding, Page, Section, Table, short, write_page
from jwst_fusion.report.trace.plots import (
    profile_picture,
    slice_picture,
    spectrum_picture,
    wiggle_picture,
)
from jwst_fusion.report.trace.slices import slices_of

__all__ = ["trace_page", "write_trace_report"]

# Number of slices that are shown and measured: the brightest ones.
_SHOWN = 3
# The model is used in a slice if it stands for this part of the pixels near the peak.
_USED = 0.2
# Half-amplitude of wiggles, relative to the flux: caution, if they are above it after the step.
_WIGGLES = 0.05
# Significance of a source, in sigma of a pixel, below which a slice need not be fitted.
_BRIGHT = 10.0
# Median residual near the peak, in errors, from which on the model misses part of the flux.
_MISFIT = 5.0
# Chi-square per pixel of a whole slice, and part of the model that was refused, from which on the
# model does not describe the slice. The model's own error of 5 % is in the first.
_CHI2, _REFUSED = 2.0, 0.5
# Largest number of rows of the table of slices.
_LISTED = 60
# Number of slices that a finding names.
_NAMED = 12


def write_trace_report(path, exposure, *, parameters=()):
    """
    Write the report on an exposure with a trace model.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The page; its figures go to a folder of the same name beside it.
    exposure : `~jwst_fusion.products.traced_exposure.TracedExposure`
        The exposure before and after the trace model.
    parameters : sequence of (str, str), optional
        Names and values of the parameters of the step.

    Returns
    -------
    `~pathlib.Path`
        The page.
    """
    return write_page(path, trace_page(exposure, parameters=parameters))


def trace_page(exposure, *, parameters=()):
    """
    Put the report on an exposure together.

    Parameters
    ----------
    exposure : `~jwst_fusion.products.traced_exposure.TracedExposure`
        The exposure before and after the trace model.
    parameters : sequence of (str, str), optional
        Names and values of the parameters of the step.

    Returns
    -------
    Page
        The report, not yet written.
    """
    slices = slices_of(exposure)
    shown = slices[:_SHOWN]
    wiggles = [_wiggles(one) for one in shown]
    findings = _findings(exposure, slices, wiggles)
    sections = [
        Section("wiggles", "Wiggles", _wiggle_parts(exposure, shown, wiggles)),
        Section("spectra", "Spectra before and after", _spectra_parts(exposure, shown)),
        Section("traces", "Traces", [[slice_picture(one, exposure.unit) for one in shown]]),
        Section("slices", "Slices", _slice_parts(exposure, slices)),
        Section("record", "Input, parameters, versions", [_record(exposure, parameters)]),
    ]
    summary = []
    if _known(wiggles):
        summary = [wiggle_picture(shown[0], wiggles[0], name="summary_wiggles")]
    if shown:
        summary.append(slice_picture(shown[0], exposure.unit, name="summary_trace"))
    return Page(
        title=f"Trace model report: {exposure.name}",
        subtitle=" · ".join([exposure.mode, *(value for _, value in exposure.facts)]),
        verdict=_verdict(findings, wiggles),
        facts=_facts(exposure, slices, wiggles),
        findings=findings,
        summary=summary,
        sections=sections,
    )


def _wiggles(one):
    """Wiggles before and after; None where data are lacking."""
    return one.wiggles(oversampled=False), one.wiggles(oversampled=True)


def _known(wiggles):
    return bool(wiggles) and None not in wiggles[0]


def _amplitudes(wiggles):
    """Median half-amplitude over the slices shown, before and after."""
    found = [[w.mean for w in pair] for pair in wiggles if None not in pair]
    return np.median(found, axis=0) if found else np.full(2, np.nan)


def _verdict(findings, wiggles):
    good = "The model follows the traces."
    before, after = _amplitudes(wiggles)
    if np.isfinite(before) and after < before:
        good = (
            f"The model follows the traces: wiggles of {100 * before:.1f} % before, "
            f"{100 * after:.1f} % after."
        )
    return sum_up(findings, good, subject="exposure")


def _facts(exposure, slices, wiggles):
    factor = exposure.spectra[0].factor
    before, after = _amplitudes(wiggles)
    used = sum(one.used >= _USED for one in slices)
    facts = [
        ("Oversampling", f"{factor:g}"),
        ("Model used in", f"{used} of {len(slices)} slices or slits"),
        ("Pixels filled", f"{exposure.filled:,}"),
    ]
    if np.isfinite(before):
        facts.append(("Wiggles before", f"{100 * before:.2f} %"))
        facts.append(("after", f"{100 * after:.2f} %"))
    return facts


def _findings(exposure, slices, wiggles):
    found = []
    bright = [one for one in slices if one.significance >= _BRIGHT]
    unused = [one.name for one in bright if one.used < _USED]
    if not any(one.used >= _USED for one in slices):
        found.append(
            Finding(
                "unused",
                "caution",
                "the model is used nowhere",
                "No slice holds a source that is bright and steep enough (fit_threshold, "
                "slope_limit): the exposure is interpolated linearly.",
                "slices",
            )
        )
    elif unused:
        found.append(
            Finding(
                "unused",
                "note",
                f"{len(unused)} of {len(bright)} slices with a source are interpolated linearly",
                f"Their brightness changes too slowly for the model to be needed, or it could not "
                f"be fitted: {', '.join(unused[:12])}{' …' if len(unused) > 12 else ''}.",
                "slices",
            )
        )
    before, after = _amplitudes(wiggles)
    if exposure.spectra[0].factor == 1:
        found.append(
            Finding(
                "native",
                "note",
                "the exposure was not oversampled",
                "The model is attached, the pixels are as they were: wiggles remain until it is "
                "oversampled (oversample).",
            )
        )
    elif np.isfinite(before) and after > max(before, _WIGGLES):
        found.append(
            Finding(
                "wiggles",
                "fault",
                "wiggles did not become smaller",
                f"{100 * before:.1f} % before, {100 * after:.1f} % after: the model does not "
                "follow the trace.",
                "wiggles",
            )
        )
    elif np.isfinite(after) and after > _WIGGLES:
        found.append(
            Finding(
                "wiggles",
                "caution",
                "wiggles remain",
                f"{100 * after:.1f} % after, {100 * before:.1f} % before.",
                "wiggles",
            )
        )
    misfits = [one for one in slices[:_SHOWN] if one.misfit > _MISFIT]
    if misfits:
        text = "; ".join(f"{one.name}: {short(one.misfit)}" for one in misfits)
        found.append(
            Finding(
                "misfit",
                "caution",
                "the model misses part of the flux",
                "What it lacks near the peak, in units of the errors (median; noise gives 0.7): "
                f"{text}. That part is interpolated linearly.",
                "traces",
            )
        )
    found += _away_from_the_peak(slices, bright)
    return found


def _away_from_the_peak(slices, bright):
    """Findings on whole slices: where the model does not describe them."""
    found = []
    wrong = [one for one in slices if one.chi2 > _CHI2]
    if wrong:
        found.append(
            Finding(
                "chi2",
                "caution" if 2 * len(wrong) > len(bright) else "note",
                f"the model does not describe {len(wrong)} slices as a whole",
                "Chi-square per pixel of the whole slice, with an error of the model of 5 % "
                f"(right: 1): {_named(wrong, lambda one: short(one.chi2))}. Several sources, a "
                "background with structure, or errors that are too small.",
                "slices",
            )
        )
    refused = [one for one in bright if one.refused > _REFUSED]
    if refused:
        found.append(
            Finding(
                "refused",
                "note",
                f"interpolation took the place of the model in {len(refused)} slices",
                "It predicts pixels from their neighbours better there; part of the steep places: "
                f"{_named(refused, lambda one: f'{100 * one.refused:.0f} %')}.",
                "slices",
            )
        )
    return found


def _named(slices, value):
    """Names of some slices with a value each."""
    text = ", ".join(f"{one.name}: {value(one)}" for one in slices[:_NAMED])
    return f"{text} …" if len(slices) > _NAMED else text


def _wiggle_parts(exposure, shown, wiggles):
    parts = [
        "Spectra of five places, up to one pixel from the peak, each over the spectrum of an "
        "aperture of five pixels and its slow trend; as a spaxel along the slit of the size of a "
        "pixel would have them, before cubes are built. What oscillates comes from sampling. "
        "Columns where the source is fainter than 20 sigma of a pixel are left out."
    ]
    pictures = [
        wiggle_picture(one, pair)
        for one, pair in zip(shown, wiggles, strict=True)
        if None not in pair
    ]
    rows = [
        (
            one.name,
            *(f"{100 * value:.2f}" for value in (w.mean for w in pair)),
        )
        for one, pair in zip(shown, wiggles, strict=True)
        if None not in pair
    ]
    if not pictures:
        return [*parts, "The source is too faint in all slices for this measure."]
    head = ("Slice", "Half-amplitude before [%]", "after [%]")
    return [*parts, pictures, Table(head, rows)]


def _spectra_parts(exposure, shown):
    return [[spectrum_picture(one, exposure.unit) for one in shown]]


def _slice_parts(exposure, slices):
    rows = []
    for one in slices[:_LISTED]:
        use = f"{100 * one.used:.0f}"
        kind = "model" if one.used >= _USED else "linear interpolation"
        chi2 = short(one.chi2) if np.isfinite(one.chi2) else "–"
        refused = f"{100 * one.refused:.0f}"
        rows.append((one.name, short(one.significance), use, kind, refused, chi2))
    table = Table(
        (
            "Slice",
            "Peak [σ of a pixel]",
            "Model used near it [%]",
            "So it is mostly",
            "Model refused [%]",
            "Chi-square per pixel",
        ),
        rows,
        "Brightest first. The peak is the largest median over wavelength above that of the slice. "
        "The model is refused where interpolation predicts pixels from their neighbours better.",
    )
    parts = [[profile_picture(slices[:_SHOWN], exposure.unit)], table]
    if len(slices) > _LISTED:
        parts.append(f"{len(slices) - _LISTED} fainter ones are not listed.")
    return parts


def _record(exposure, parameters):
    names = ("jwst", "numpy", "scipy", "stdatamodels", "stpipe")
    versions = [("jwst_fusion", __version__), *((name, version(name)) for name in names)]
    files = [("product", exposure.name), ("exposure", exposure.source)]
    tables = [Table(("File", "Name"), files), Table(("Software", "Version"), versions)]
    if parameters:
        tables.append(Table(("Parameter", "Value"), list(parameters)))
    return tuple(tables)
