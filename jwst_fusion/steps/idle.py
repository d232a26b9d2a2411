"""Parameters that were given for steps of a pipeline which do not run."""

import logging

from jwst.stpipe import Step

from jwst_fusion.messages import warn

__all__ = ["warn_of_idle_steps"]

log = logging.getLogger(__name__)

# Steps that make cubes, which a fusion of exposures does without.
_CUBE_STEPS = ("outlier_detection", "adaptive_trace_model", "pixel_replace", "cube_build")


def warn_of_idle_steps(pipeline, referenced):
    """
    Name parameters that were given for steps which a fusion of exposures leaves out.

    Parameters
    ----------
    pipeline : `~stpipe.Pipeline`
        The pipeline with its steps.
    referenced : dict of str to dict
        Parameters by step that a reference file has set: nobody has asked for them.
    """
    common = set(Step.load_spec_file())
    given = []
    for name in _CUBE_STEPS:
        step = getattr(pipeline, name)
        usual, other = type(step)().get_pars(), referenced.get(name, {})
        given += [
            f"{name}.{key}"
            for key, value in step.get_pars().items()
            if key not in common and value != usual.get(key) and str(value) != str(other.get(key))
        ]
    if given:
        warn(
            log,
            "Exposures are fused at their native pixels, for which no cube is made: what is given "
            "as %s means nothing (steps.fusion.input = cube would use it)",
            ", ".join(given),
        )
