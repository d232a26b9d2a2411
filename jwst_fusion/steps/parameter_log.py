"""What is logged of the parameters of a step: those that are not at their defaults, in one line."""

import logging
from contextlib import contextmanager

from stpipe import Step, config_parser

__all__ = ["short_parameters"]

log = logging.getLogger(__name__)

# The logger and the message by which stpipe lists all parameters, one a line.
_LOGGER, _MESSAGE = "stpipe.step", "Step %s parameters are:%s"
# stpipe itself sets this one, to the folder of the input.
_NOT_SET_BY_USERS = ("input_dir",)


@contextmanager
def short_parameters(step):
    """
    Have one line in the log instead of the list of all parameters, which is logged as DEBUG.

    Parameters
    ----------
    step : `~stpipe.Step`
        The step or pipeline that runs meanwhile.
    """

    def shortened(record):
        if record.msg == _MESSAGE and record.args and record.args[0] == step.name:
            log.debug(record.getMessage())
            changed = ", ".join(f"{name} = {value!r}" for name, value in _changed(step))
            record.msg = "Step %s: parameters are at their defaults%s"
            record.args = step.name, f" but for {changed}" if changed else ""
        return True

    logger = logging.getLogger(_LOGGER)
    logger.addFilter(shortened)
    try:
        yield
    finally:
        logger.removeFilter(shortened)


def _changed(step, prefix=""):
    """Yield names and values of the parameters that are not at their defaults."""
    defaults = config_parser.config_from_dict({}, type(step).load_spec_file(), allow_missing=True)
    for name, value in Step.get_pars(step).items():
        if name in _NOT_SET_BY_USERS or name == "steps":
            continue
        if name not in defaults or str(value) != str(defaults[name]):
            yield prefix + name, value
    for name in getattr(step, "step_defs", ()):
        yield from _changed(getattr(step, name), f"{prefix}steps.{name}.")
