"""Crops of the Orion Bar scene with measured throughputs and PSFs by STPSF."""

import numpy as np

from fusion_benchmark.lines import Line
from fusion_benchmark.observe import bicubic
from fusion_benchmark.quality import left_out_psnr
from fusion_benchmark.scenes import orion_bar, orion_psf
from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.solver.settings import FusionSettings
from jwst_fusion.metrics import mean_spectrum_error, psnr, ssim

__all__ = ["orion_accuracy"]

#: Row and column of the scene at which each crop begins, and its size in spaxels.
_CROPS, _FIELD = ((10, 100), (10, 300), (10, 545)), (23, 23)
_PSNR, _SSIM, _SPECTRUM, _GAIN, _LEFT_OUT = 40.0, 0.99, 0.2, 10.0, 34.0


def orion_accuracy(*, quick=False):
    """
    Agreement with images, cube and truth, and filters that are left out.

    Parameters
    ----------
    quick : bool
        Only one crop, and every fourth channel.

    Returns
    -------
    list of Line
    """
    lines = []
    for corner in _CROPS[:1] if quick else _CROPS:
        observation = orion_bar(corner, _FIELD, channels=slice(None, None, 4 if quick else 1))
        lines += _crop(f"Orion Bar at {corner[1]}", observation)
    return lines


def _crop(name, observation):
    setup = observation.setup
    psf = orion_psf(setup.wavelength)
    factors = observation.calibrated(psf)
    result = fuse(observation.problem(psf, factors), FusionSettings(errors=False))
    lines = [
        *_filters(name, observation, result, factors),
        _spectrum(name, observation, result),
        _truth(name, observation, result, factors),
    ]
    for left, (noisy, exact) in left_out_psnr(observation, psf, ("F187N", "F212N")).items():
        lines.append(
            Line.at_least(
                f"{name} without F187N and F212N: PSNR of {left}",
                noisy,
                _LEFT_OUT,
                "dB",
                beside=f"against the noiseless image {exact:.1f}",
            )
        )
    return lines


def _filters(name, observation, result, factors):
    """PSNR and SSIM of each filter: where noise hides the structure only without the noise."""
    inner = (slice(None), *observation.inner)
    models = result.images_model[inner]
    exact = (observation.images_truth * factors[:, None, None])[inner]
    noisy = observation.images[inner]
    lines = []
    for measure, text, limit, unit, digits in (
        (psnr, "PSNR", _PSNR, "dB", 1),
        (ssim, "SSIM", _SSIM, "", 4),
    ):
        figures = {
            kind: [measure(*pair) for pair in zip(images, seen, strict=True)]
            for kind, images, seen in (
                ("exact", exact, models),
                ("noisy", noisy, models),
                ("noise alone", noisy, exact),
            )
        }
        beside = "; ".join(
            f"{one} {figures['exact'][i]:.{digits}f} (noisy image {figures['noisy'][i]:.{digits}f},"
            f" of which noise alone {figures['noise alone'][i]:.{digits}f})"
            for i, one in enumerate(observation.setup.filters)
        )
        what = f"{name}: lowest {text} of a filter, noiseless image"
        lowest = min(figures["exact"])
        lines.append(Line.at_least(what, lowest, limit, unit, digits=digits, beside=beside))
    return lines


def _spectrum(name, observation, result):
    setup = observation.setup
    edge = setup.margin
    spaxels = (slice(None), *(slice(edge, edge + size) for size in setup.field))
    error = np.abs(mean_spectrum_error(observation.cube[spaxels], result.cube_model[spaxels]))
    cube = result.cube[(slice(None), *observation.inner)]
    mean = np.abs(mean_spectrum_error(observation.sharp(), cube))
    paper = np.abs(np.nanmean(cube, (1, 2)) / np.nanmean(observation.cube[spaxels], (1, 2)) - 1)
    noise = np.abs(mean_spectrum_error(observation.blurred(), observation.cube[spaxels]))
    return Line.at_most(
        f"{name}: mean spectrum of the fused cube against the cube, 95 % of the channels",
        100 * np.quantile(paper, 0.95),
        _SPECTRUM,
        "%",
        beside=(
            f"largest {100 * paper.max():.2g} %; re-observed cube "
            f"{100 * np.quantile(error, 0.95):.2g} %; against the truth "
            f"{100 * np.quantile(mean, 0.95):.2g} % (noise of the cube alone "
            f"{100 * np.quantile(noise, 0.95):.2g} %)"
        ),
    )


def _truth(name, observation, result, factors):
    truth, cube = observation.sharp(), result.cube[(slice(None), *observation.inner)]
    fused, cubic = psnr(truth, cube), psnr(truth, bicubic(observation))
    return Line.at_least(
        f"{name}: PSNR against the truth above bicubic",
        fused - cubic,
        _GAIN,
        "dB",
        beside=(
            f"fused {fused:.1f} dB, bicubic {cubic:.1f} dB; rank {result.subspace.rank}, noise "
            f"scales {result.noise_scale_image:.2f} and {result.noise_scale_cube:.2f}; "
            f"calibration {factors.min():.4f} to {factors.max():.4f}, true 1"
        ),
    )
