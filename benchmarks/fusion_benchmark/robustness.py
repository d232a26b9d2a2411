"""The nebula fused with a wrong position, wavefront or calibration that the step does not know."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from fusion_benchmark.lines import Line
from fusion_benchmark.observe import bicubic
from fusion_benchmark.scenes import CALIBRATION, nebula, nebula_psf
from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.observed.offset import image_offset
from jwst_fusion.fusion.observed.photometry import synthetic_image
from jwst_fusion.fusion.solver.settings import FusionSettings
from jwst_fusion.metrics import psnr

__all__ = ["degradation"]

_FIELD, _MARGIN = (20, 20), 6
_OFFSET = (0.2, -0.2)
_WAVEFRONT = 0.2
_CALIBRATION = 0.05


def degradation(*, quick=False):
    """
    PSNR against the truth under errors of the input, with bicubic interpolation beside it.

    Parameters
    ----------
    quick : bool
        Fuse a smaller field.

    Returns
    -------
    list of Line
    """
    field = (12, 12) if quick else _FIELD
    psf = nebula_psf()
    plain = nebula(field, margin=_MARGIN)
    cubic = psnr(plain.sharp(), bicubic(plain))
    perfect, _ = _fused(plain, psf)
    found = []

    moved = nebula(field, margin=_MARGIN, offset=_OFFSET)
    score, scales = _fused(moved, psf)
    found.append(("images shifted by 0.2 pixel in x and y", score, scales))
    offsets = np.array(
        [
            image_offset(
                image,
                synthetic_image(moved.cube, response),
                psf_image=np.tensordot(response @ psf.weights, psf.image, 1),
                psf_cube=np.tensordot(response @ psf.weights, psf.cube, 1),
                factor=3,
            )[0]
            for image, response in zip(moved.images, moved.setup.responses, strict=True)
        ]
    )
    off = np.abs(offsets - _OFFSET).max()
    shifted = [
        [ndimage.shift(one, -offset[::-1], order=5, mode="nearest") for one, offset in pairs]
        for pairs in (
            list(zip(moved.images, offsets, strict=True)),
            list(zip(moved.image_error, offsets, strict=True)),
        )
    ]
    back = replace(moved, images=np.array(shifted[0]), image_error=np.array(shifted[1]))
    score, scales = _fused(back, psf)
    text = f"{scales}; offsets found to {off:.3f} pixel"
    found.append(("the same, offset measured and applied", score, text))

    for share in (_WAVEFRONT, 0.5):
        text = f"wavefronts wrong by {100 * share:.0f} % of their rms"
        found.append((text, *_fused(plain, nebula_psf(error=share))))

    gains = np.array(list(CALIBRATION.values()))
    gains = gains * (1 + _CALIBRATION * np.resize((1, -1), len(gains)))
    wrong = nebula(field, margin=_MARGIN, calibration=gains)
    factors = wrong.calibrated(psf)
    score, scales = _fused(wrong, psf)
    text = f"{scales}; factors found to {100 * np.abs(factors / gains - 1).max():.2f} %"
    found.append(("images brighter or fainter by 5 %, calibrated", score, text))
    score, scales = _fused(wrong, psf, np.array(list(CALIBRATION.values())))
    found.append(("the same, not calibrated", score, scales))

    lines = [
        Line(
            "no error",
            f"{perfect:.1f} dB",
            beside=f"bicubic {cubic:.1f} dB",
        )
    ]
    for what, score, beside in found:
        lines.append(Line.at_least(what, score, round(cubic, 1), "dB", beside=beside))
    return lines


def _fused(observation, psf, factors=None):
    """PSNR, and the noise scales in words."""
    result = fuse(observation.problem(psf, factors), FusionSettings(errors=False))
    score = psnr(observation.sharp(), result.cube[(slice(None), *observation.inner)])
    scales = f"noise scales {result.noise_scale_image:.2f} and {result.noise_scale_cube:.2f}"
    return score, scales
