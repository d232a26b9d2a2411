"""The cases: good observations, and the same with one fault each, drawn with fixed seeds."""

from dataclasses import dataclass, field

import numpy as np

from verdict_benchmark.scenes import KINDS

__all__ = ["FAULTS", "Base", "Case", "draw_cases"]

#: Faults, of which there are equally many cases.
FAULTS = (
    "wavefront",
    "jitter",
    "PSF of cube",
    "offset",
    "gain",
    "sky of image",
    "sky of cube",
    "variable star",
    "dead image",
    "wrong field",
    "low rank",
    "saturated star",
    "errors too small",
    "errors too large",
)

_FILTERS = {
    1: (("F200W",), ("F182M",), ("F210M",), ("F212N",)),
    2: (("F182M", "F212N"), ("F187N", "F200W"), ("F182M", "F210M")),
    3: (("F182M", "F210M", "F212N"), ("F187N", "F200W", "F212N"), ("F182M", "F187N", "F210M")),
    5: (("F182M", "F187N", "F200W", "F210M", "F212N"),),
}
_IMAGE_SN = 5.0, 1000.0  # per pixel, over the brightest third
_CUBE_SN = 1.0, 80.0  # per voxel, likewise
_NEED_STARS = ("variable star", "saturated star")


@dataclass(frozen=True)
class Base:
    """
    An observation without fault.

    Attributes
    ----------
    number : int
        Running number, the seed of scene and noise.
    scene : str
        Kind of scene.
    stars : int
        Number of stars.
    filters : tuple of str
        Filters.
    image_sn, cube_sn : float
        Signal over noise of a pixel and of a voxel over the brightest third.
    """

    number: int
    scene: str
    stars: int
    filters: tuple
    image_sn: float
    cube_sn: float


@dataclass(frozen=True)
class Case:
    """
    An observation with at most one fault.

    Attributes
    ----------
    number : int
        Running number.
    base : Base
        The observation.
    fault : str
        One of `FAULTS`, or "none".
    values : dict
        Sizes of the fault, see `verdict_benchmark.observe`.
    """

    number: int
    base: Base
    fault: str = "none"
    values: dict = field(default_factory=dict)


def draw_cases(count, *, seed=15, first=0):
    """
    Draw cases: of 20, seven are good and thirteen have one fault.

    Parameters
    ----------
    count : int
        Number of cases; good ones are all different observations, faulty ones take turns with them.
    seed : int
        Seed of all sizes.
    first : int
        Number of the first observation. It is the seed of scene and noise: sets that are to have
        nothing in common need different ones.

    Returns
    -------
    list of Case
        Good ones first, so that a faulty one finds its like.
    """
    rng = np.random.default_rng(seed)
    good = max(1, round(count * 7 / 20))
    bases = [_base(first + number, rng) for number in range(good)]
    cases = [Case(number, base) for number, base in enumerate(bases)]
    starry = [base for base in bases if base.stars]
    for number in range(good, count):
        fault = FAULTS[(number - good) % len(FAULTS)]
        among = starry if fault in _NEED_STARS and starry else bases
        base = among[(number * 17) % len(among)]
        cases.append(Case(number, base, fault, _sizes(fault, base, rng)))
    return cases


def _base(number, rng):
    scene = KINDS[number % len(KINDS)]
    stars = int(rng.integers(5, 10)) if scene == "cluster" else int(rng.integers(0, 5))
    if scene == "limb":
        stars = 0
    choices = _FILTERS[(1, 2, 3, 5, 3)[number % 5]]
    image_sn, cube_sn = (
        float(np.exp(rng.uniform(*np.log(limits)))) for limits in (_IMAGE_SN, _CUBE_SN)
    )
    return Base(number, scene, stars, choices[int(rng.integers(len(choices)))], image_sn, cube_sn)


def _sizes(fault, base, rng):
    image = int(rng.integers(len(base.filters)))
    sign = rng.choice([-1, 1])
    angle = rng.uniform(0, 2 * np.pi)
    if fault == "wavefront":
        return {"wavefront": float(rng.uniform(60, 250)), "seed": int(rng.integers(1000))}
    if fault == "jitter":
        return {"jitter": float(rng.uniform(0.015, 0.06))}
    if fault == "PSF of cube":
        return {"wider": float(rng.uniform(0.03, 0.10))}
    if fault == "offset":
        size = np.exp(rng.uniform(np.log(0.02), np.log(0.2)))
        return {"image": image, "shift": (size * np.cos(angle), size * np.sin(angle))}
    if fault == "gain":
        size = float(1 + sign * rng.uniform(0.02, 0.10))
        return {"image": image, "gain": size, "crosscal": str(rng.choice(["fitted", "off"]))}
    if fault in ("sky of image", "sky of cube"):
        size = float(np.exp(rng.uniform(np.log(0.05), np.log(0.5))))
        return {"image": image, "sky": sign * size if fault == "sky of image" else size}
    if fault == "variable star":
        return {"factor": float(np.exp(sign * rng.uniform(0.1, 0.7)))}
    if fault in ("dead image", "wrong field"):
        return {"image": image}
    if fault == "low rank":
        return {"rank": int(rng.integers(1, 3))}
    if fault == "saturated star":
        return {"image": image, "core": str(rng.choice(["nan", "zero", "clipped"]))}
    which = str(rng.choice(["images", "cube"]))
    factor = float(np.exp(rng.uniform(np.log(2.5), np.log(8))))
    return {
        "which": which,
        "factor": 1 / factor if fault == "errors too small" else factor,
        "noise_scales": bool(rng.integers(2)),
    }
