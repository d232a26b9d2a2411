"""Fuse one field in this process, and print seconds and memory as JSON: a child of `cost`."""

import json
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from fusion_benchmark.observe import uniform
from fusion_benchmark.scenes import nebula, nebula_psf
from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.solver.settings import FusionSettings

_SEED = 8
_BARE = {"tuning": "manual", "mu": 1e-3, "boundary": "mirror", "refine": False}


def _gigabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _arrays(case):
    """Arrays to fuse, with gaps and weights unless the case is bare."""
    field = (case["spaxels"],) * 2
    observation = nebula(field, case["channels"], margin=case["margin"], exact=False)
    psf = nebula_psf(case["channels"])
    if case["bare"]:
        return uniform(observation.problem(psf))
    rng = np.random.default_rng(_SEED)
    y, x = np.indices(observation.cube.shape[1:]) - case["margin"]
    corner = case["spaxels"] // 6
    outside = (x + y < corner) | (x + y > 2 * case["spaxels"] - corner - 2)
    observation.cube[:, outside] = np.nan
    observation.cube[rng.random(observation.cube.shape) < case["bad"]] = np.nan
    observation.images[rng.random(observation.images.shape) < case["bad"]] = np.nan
    return observation.problem(psf, np.array([1.06, 1.0, 1.03, 1.0, 1.08]))


def main():
    """Run the case that the first argument describes."""
    case = json.loads(sys.argv[1])
    data = _arrays(case)
    options = {"rank": case["rank"], "errors": not case["bare"]}
    options |= _BARE if case["bare"] else {"gains": case["gains"]}
    before, seconds = _gigabytes(), []
    for _ in range(case["repeat"]):
        wall, cpu = time.perf_counter(), time.process_time()
        result = fuse(data, FusionSettings(**options))
        seconds.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = (min(one) for one in zip(*seconds, strict=True))
    found = {"wall": wall, "cpu": cpu, "before": before, "memory": _gigabytes()}
    found |= {"iterations": result.iterations, "converged": bool(result.converged)}
    found["finite"] = float(np.isfinite(result.cube).mean())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
