"""Whether to trust a cube fused from two: what its agreement with them warns of.

The limits are those at which simulated pairs, with their truth known, go wrong; the page on reports
in the documentation lists them.
"""

import numpy as np

from jwst_fusion.report.hifred.causes import (
    field_causes,
    find_brightness,
    line_findings,
    response_causes,
)
from jwst_fusion.report.levels import ORDER, level_of, sum_up, worse
from jwst_fusion.report.mismatch import excess, reduced
from jwst_fusion.report.page import Finding, short

__all__ = [
    "CHI2",
    "IMAGE",
    "SPECTRUM",
    "find_hifred_findings",
    "hifred_verdict",
]

# Residuals of the image of all channels beyond noise, relative to it: caution, fault.
IMAGE = (0.02, 0.08)
# The same of the spectrum of all pixels.
SPECTRUM = (0.04, 0.15)
# They matter only if this reduced chi-square says that they are more than noise.
_SIGNIFICANT = 2.0
# Reduced chi-square of a whole cube: caution, fault.
CHI2 = (1.5, 4.0)
# Below this one, noise was fitted or the errors of the data are too large.
_LOW_CHI2 = 0.6
# Part of the light that was negative and was set to zero.
CLIPPED = (0.02, 0.1)
# Part of the voxels that one of the cubes alone constrains.
_ESTIMATED = 0.5
# Largest rank that HIFReD takes.
_MOST_COMPONENTS = 60
# Keys of findings that explain others, in the order in which to look into them.
_CAUSES = ("brightness", "background", "offset", "psf", "response", "convergence", "rank")
_CAUSES += ("velocity", "width")


def find_hifred_findings(product):
    """
    Look for what the reader should know before using a cube.

    Parameters
    ----------
    product : `~jwst_fusion.report.hifred.product.HifredProduct`
        The fused cube and what it says of X and Y.

    Returns
    -------
    list of Finding
        Faults first, and causes before what follows from them.
    """
    found = [
        *_convergence(product),
        *_images(product),
        *_spectra(product),
        *_chi2(product),
        *_further(product),
        *line_findings(product),
        *_solution(product),
        *_voxels(product),
        *_notes(product),
    ]
    return sorted(found, key=_rank)


def _rank(finding):
    cause = _CAUSES.index(finding.key) if finding.key in _CAUSES else len(_CAUSES)
    return ORDER[finding.level], cause


def hifred_verdict(findings):
    """
    Sum findings up.

    Parameters
    ----------
    findings : sequence of Finding
        What `find_hifred_findings` found.

    Returns
    -------
    tuple of str
        Level, and a sentence.
    """
    causes = [one for one in findings if one.key in _CAUSES and one.level != "note"]
    good = "Both cubes agree with the fused one: nothing speaks against it."
    return sum_up(findings, good, causes=causes)


def _convergence(product):
    if not product.header.get("HIFCONV", True):
        yield Finding(
            "convergence",
            "caution",
            "the solution did not converge",
            f"It stopped after {product.header.get('HIFITER', '?')} iterations, at "
            f"{product.header.get('HIFACCUR', np.nan):.2g}: raise max_iterations, or go on "
            "from a checkpoint (start).",
            "solver",
        )


def _level(parts, limits):
    """Level of residuals beyond noise; None if they are noise."""
    return level_of(excess(*parts), limits) if reduced(*parts) > _SIGNIFICANT else None


def _images(product):
    """Images of all channels, and what their residuals look like."""
    levels = [_level(compared.total, IMAGE) for compared in product.cubes]
    yield from find_brightness(product)
    worst = worse(*levels)
    if worst is None:
        return
    yield from field_causes(product, worst)
    texts = [
        f"{compared.letter}: {100 * excess(*compared.total):.1f} % of it, reduced chi-square "
        f"{short(reduced(*compared.total))}"
        for compared, level in zip(product.cubes, levels, strict=True)
        if level
    ]
    names = " and ".join(s.letter for s, level in zip(product.cubes, levels, strict=True) if level)
    yield Finding(
        "image",
        worst,
        f"the image of {names} is not reproduced",
        f"Residuals of all channels together, beyond noise: {'; '.join(texts)}.",
        "field",
    )


def _spectra(product):
    levels = [_level(compared.spectrum, SPECTRUM) for compared in product.cubes]
    worst = worse(*levels)
    if worst is None:
        return
    yield from response_causes(product, worst)
    names = " and ".join(s.letter for s, level in zip(product.cubes, levels, strict=True) if level)
    yield Finding(
        "spectrum",
        worst,
        f"the spectrum of {names} is not reproduced",
        "Residuals of all pixels together, beyond noise: "
        + "; ".join(f"{s.letter} {100 * excess(*s.spectrum):.1f} %" for s in product.cubes)
        + " of the spectrum.",
        "spectrum",
    )


def _chi2(product):
    for compared in product.cubes:
        value = product.header.get(f"HIFCHI2{compared.letter}", np.nan)
        level = level_of(value, CHI2)
        if level:
            yield Finding(
                f"chi2_{compared.letter.lower()}",
                level,
                f"{compared.letter} is not reproduced within its errors",
                f"Reduced chi-square {short(value)}. A wrong response, too few components, or "
                "understated errors.",
                "agreement",
            )
        elif value < _LOW_CHI2:
            yield Finding(
                "noise",
                "caution" if product.counts else "note",
                f"{compared.letter} is fitted closer than its errors allow",
                f"Reduced chi-square {short(value)}: "
                + ("noise" if product.counts else "errors are overstated, or noise")
                + " was fitted; a stronger regularisation makes the result smoother.",
                "agreement",
            )


def _further(product):
    """Observations beyond X and Y: those that are not reproduced."""
    for compared in product.more:
        value = product.normalisations[compared.letter][-1]
        levels = [level_of(value, CHI2), _level(compared.total, IMAGE)]
        levels.append(_level(compared.spectrum, SPECTRUM))
        worst = worse(*levels)
        if worst:
            yield Finding(
                f"observation_{compared.letter.lower()}",
                worst,
                f"{compared.letter} is not reproduced within its errors",
                f"{compared.file}: reduced chi-square {short(value)}, image "
                f"{100 * excess(*compared.total):.1f} %, spectrum "
                f"{100 * excess(*compared.spectrum):.1f} % beyond noise. Look at its PSF, "
                "coordinates and responses, or leave it out.",
                "field",
            )


def _solution(product):
    clipped = product.header.get("HIFCLIP", 0.0)
    level = level_of(clipped, CLIPPED)
    if level:
        yield Finding(
            "clipped",
            level,
            "light was negative and was set to zero",
            f"{100 * clipped:.1f} % of the light. Backgrounds may be too high, or PSF or position "
            "wrong.",
            "agreement",
        )
    singular = np.asarray(product.tables["components"]["singular"])
    # One that was chosen automatically leaves out nothing that stands out, up to the limit.
    limited = "as given" in _chosen(product) or singular.size >= _MOST_COMPONENTS
    low_rank = product.header.get("HIFREGUL", "").startswith("low_rank")
    if low_rank and limited and singular[-1] > 1.0:
        largest = singular.size >= _MOST_COMPONENTS
        advice = (
            f"{_MOST_COMPONENTS} is the largest rank: fuse fewer channels, or take wavelet_2d1d."
        )
        advice = advice if largest else "raise rank (60 at most), or let it be 'auto'."
        yield Finding(
            "rank",
            "caution",
            "more spectral components stand out of the noise than were used",
            f"The last of {singular.size} is {singular[-1]:.2f} times as large as noise makes one: "
            f"{advice}",
            "subspace",
        )
    if "end of the range" in _chosen(product):
        yield Finding(
            "mu",
            "caution",
            "the best mu or kappa lies at the end of those that were tried",
            "Held-out data would have taken a still smaller or larger one. Try it by hand.",
            "solver",
        )
    if product.err is None:
        yield Finding(
            "no_errors", "note", "errors were not computed", "They are with errors=true.", ""
        )


def _chosen(product):
    return str(product.header.get("HIFCHOSE", ""))


def _voxels(product):
    flags = np.array([product.dq[i] for i in product.sample])
    part = np.mean(flags != 0)
    if part > _ESTIMATED:
        yield Finding(
            "estimated",
            "caution",
            f"{100 * part:.0f} % of the voxels are not seen by both cubes",
            "There, the other one, other channels or the prior give the value.",
            "weights",
        )
    elif part > 0:
        yield Finding(
            "estimated",
            "note",
            f"{100 * part:.1f} % of the voxels are not seen by both cubes",
            "They are flagged in DQ.",
            "weights",
        )
    for compared in product.cubes:
        lost = int(np.sum(np.asarray(compared.channels["used"]) == 0))
        dark = int(np.sum(~np.isfinite(compared.images[0])))
        texts = [f"{lost} of {len(compared.channels)} channels"] if lost else []
        texts += [f"{dark} of {compared.images[0].size} pixels"] if dark else []
        if texts:
            yield Finding(
                "left_out",
                "note",
                f"not all of {compared.letter} was used",
                f"Left out: {', '.join(texts)}.",
                "weights",
            )


def _notes(product):
    for row in product.tables.get("notes", ()):
        text = row["note"].decode() if isinstance(row["note"], bytes) else str(row["note"])
        if not text.startswith("not converged"):
            yield Finding("message", "note", "the step says", text.strip(), "record")
