"""The synthetic nebula: error against the truth, filters left out, calibration of the errors."""

from dataclasses import replace

import numpy as np

from fusion_benchmark.lines import Line
from fusion_benchmark.observe import bicubic, uniform
from fusion_benchmark.scenes import nebula, nebula_psf
from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.observed.photometry import calibrate, synthetic_image
from jwst_fusion.fusion.solver.settings import FusionSettings
from jwst_fusion.metrics import psnr, sam

__all__ = ["errors", "left_out", "left_out_psnr", "nebula_accuracy", "syfu", "syfu_tuned"]

_FIELD, _MARGIN = (10, 10), 6
#: What Marquis et al. (2026) set by hand for d203-506 and for Titan: k, mu, gamma.
_PUBLISHED = ((3, 1e-2, 0.2695), (3, 3.5e-2, 0.1513))
_GRID = (
    (3, 4, 5, 6, 8),
    np.logspace(-6, 0, 7),
    np.logspace(-2.5, 0.5, 5),
)
_PERCENTILE = 0.683
_NOISES = ("high", "medium", "low")


def syfu(observation, psf, rank, mu, gamma):
    """
    Fuse with one weight, one strength and plain components, as Marquis et al. (2026) by hand.

    Parameters
    ----------
    observation : Observation
        Without margin.
    psf : PsfPair
        PSFs.
    rank : int
        Number of components.
    mu, gamma : float
        Strength of the gradient and weight of the cube, equation 9 of the paper.

    Returns
    -------
    FusionResult
    """
    data = observation.problem(psf, observation.calibrated(psf, "mean"))
    return fuse(
        uniform(data, sigma_cube=gamma**-0.5, sigma_image=1.0),
        FusionSettings(
            rank=rank, tuning="manual", mu=mu, boundary="mirror", refine=False, errors=False
        ),
    )


def syfu_tuned(observation, psf, truth, *, quick=False):
    """
    Find the best settings of `syfu` with the truth in hand.

    Parameters
    ----------
    observation, psf
        As for `syfu`.
    truth : ndarray
        Cube at the resolution of the imager, shape (L, y, x).
    quick : bool
        Try fewer settings.

    Returns
    -------
    tuple
        PSNR in dB, and the settings: rank, mu, gamma.
    """
    step = 2 if quick else 1
    trials = [(k, mu, g) for k in _GRID[0][::step] for mu in _GRID[1][::step] for g in _GRID[2]]
    scores = [psnr(truth, syfu(observation, psf, *trial).cube) for trial in trials]
    best = int(np.argmax(scores))
    return scores[best], trials[best]


def nebula_accuracy(*, quick=False):
    """
    PSNR of the fused nebula at the resolution of the imager, at medium noise.

    Parameters
    ----------
    quick : bool
        Try fewer settings of SyFu.

    Returns
    -------
    list of Line
    """
    psf = nebula_psf()
    bare = nebula(_FIELD)
    truth = bare.sharp()
    cubic = psnr(truth, bicubic(bare))
    published = [psnr(truth, syfu(bare, psf, *one).cube) for one in _PUBLISHED]
    tuned, (rank, mu, gamma) = syfu_tuned(bare, psf, truth, quick=quick)
    rule = psnr(truth, fuse(bare.problem(psf), FusionSettings(tuning="syfu")).cube)
    beside = (
        f"bicubic {cubic:.1f}; SyFu: settings of the paper {published[0]:.1f} and "
        f"{published[1]:.1f}, its automatic rule {rule:.1f}, tuned on the truth {tuned:.1f} "
        f"(k={rank}, mu={mu:.2g}, gamma={gamma:.2g})"
    )
    lines = []
    for text, observation in (("", bare), (", images beyond the field", nebula(margin=_MARGIN))):
        result = fuse(observation.problem(psf), FusionSettings(errors=False))
        cube = result.cube[(slice(None), *observation.inner)]
        what = f'nebula 1.0", medium noise{text}: PSNR'
        own = (
            f"spectral angle {sam(truth, cube):.2f} deg, rank {result.subspace.rank}, noise scales "
            f"{result.noise_scale_image:.2f} and {result.noise_scale_cube:.2f}"
        )
        beside = own if text else f"{beside}; {own}"
        lines.append(Line.at_least(what, psnr(truth, cube), 44, "dB", beside=beside))
    return lines


def left_out_psnr(observation, psf, names):
    """
    Fuse without some filters, and compare with their images.

    Parameters
    ----------
    observation : Observation
        With all filters.
    psf : PsfPair
        PSFs.
    names : tuple of str
        Filters to leave out.

    Returns
    -------
    dict
        From filter to PSNR (dB) against its noisy image, and against its noiseless one.
    """
    setup = observation.setup
    kept = observation.chosen([name for name in setup.filters if name not in names])
    result = fuse(kept.problem(psf), FusionSettings(errors=False))
    found = {}
    for name in names:
        index = setup.filters.index(name)
        response = setup.responses[index]
        nodes = response @ psf.weights
        # The image that was left out is calibrated as the step would do it.
        factor = calibrate(
            observation.images[index],
            observation.image_error[index],
            synthetic_image(observation.cube, response),
            np.sqrt(np.tensordot(response**2, np.nan_to_num(observation.cube_error) ** 2, 1)),
            psf_image=np.tensordot(nodes, psf.image, 1),
            psf_cube=np.tensordot(nodes, psf.cube, 1),
            factor=setup.factor,
            method="eroded",
        ).factor
        seen = np.tensordot(response, result.cube, 1)[observation.inner]
        image = observation.images[index][observation.inner] / factor
        exact = observation.images_truth[index][observation.inner]
        found[name] = (psnr(image, seen), psnr(exact, seen))
    return found


def left_out(*, quick=False):
    """
    Filters that are left out of the fusion, against what is predicted for them.

    Parameters
    ----------
    quick : bool
        Only the two filters that the paper leaves out.

    Returns
    -------
    list of Line
    """
    psf, observation = nebula_psf(), nebula(margin=_MARGIN)
    cases = [("F187N", "F212N")]
    cases += [] if quick else [(name,) for name in observation.setup.filters]
    lines = []
    for names in cases:
        for name, (noisy, exact) in left_out_psnr(observation, psf, names).items():
            what = f"nebula without {' and '.join(names)}: PSNR of {name}"
            paper = {"F187N": "; the paper, Titan: 34.0", "F212N": "; the paper, Titan: 28.4"}
            beside = f"against the noiseless image {exact:.1f}"
            beside += paper.get(name, "") if len(names) == 2 else ""
            lines.append(Line.at_least(what, noisy, 34, "dB", beside=beside))
    return lines


def errors(*, quick=False):
    """
    Quantile of the true errors in units of those that the fusion gives.

    Parameters
    ----------
    quick : bool
        Without the row of wrong input errors.

    Returns
    -------
    list of Line
    """
    psf = nebula_psf()
    lines = []
    for noise in _NOISES:
        for margin in (0, _MARGIN):
            observation = nebula(margin=margin, noise=noise)
            what = f"{noise} noise, {'images beyond the field' if margin else 'no margin'}"
            for gains in ("fixed", "fitted"):
                text = f"{what}, gains {gains}"
                lines.append(_error_line(text, observation, observation.problem(psf), gains))
    if not quick:
        observation = nebula(margin=_MARGIN)
        data = observation.problem(psf)
        data = replace(data, cube_sigma=0.5 * data.cube_sigma, image_sigma=0.5 * data.image_sigma)
        lines.append(_error_line("errors of the input too small by 2", observation, data))
    return lines


def _error_line(what, observation, data, gains="fixed"):
    result = fuse(data, FusionSettings(gains=gains))
    inner = (slice(None), *observation.inner)
    truth = observation.sharp()
    error = np.abs(result.cube[inner] - truth) / result.error[inner]
    value = float(np.quantile(error, _PERCENTILE))
    channels = np.quantile(error, _PERCENTILE, axis=(1, 2))
    ends = np.quantile(channels, (0.05, 0.95))
    beside = (
        f"5 % and 95 % of the channels {ends[0]:.2f} and {ends[1]:.2f}; PSNR "
        f"{psnr(truth, result.cube[inner]):.1f} dB; rank {result.subspace.rank}"
    )
    reached = 0.8 <= value <= 1.2
    return Line(
        f"nebula, {what}: 68.3 % of |error| / ERR below",
        f"{value:.2f}",
        "0.8 to 1.2",
        reached,
        beside,
    )
