"""Instances of steps that can be run again: what a run sets on them is undone at its end."""

import logging
from contextlib import contextmanager, nullcontext

from stpipe.exceptions import ValidationError

from jwst_fusion.steps.interrupts import told_of_interrupts
from jwst_fusion.steps.notebook_bar import notebook_bar
from jwst_fusion.steps.parameter_log import short_parameters
from jwst_fusion.steps.refusal import refused_in_one_line

__all__ = ["Reusable", "restored"]

log = logging.getLogger(__name__)

# The records of the last run, which `stpipe.Step.log_records` gives.
_KEPT = ("_log_records",)


class Reusable:
    """
    Mixin for steps and pipelines whose instances are after a run what they were before.

    Both stpipe and the pipelines of jwst set attributes of a step while it runs, such as its
    input folder, names of output files, and which steps of a pipeline are skipped.

    The last line of a run says what was not fused, and an error of the input ends ``strun`` in one
    line.
    """

    @classmethod
    def from_config_section(cls, *args, **kwargs):
        """
        Make the step of a configuration; a wrong value ends ``strun`` in one line.

        Parameters
        ----------
        *args, **kwargs
            As for `stpipe.Step.from_config_section`.

        Returns
        -------
        `~stpipe.Step`
            The step.
        """
        with refused_in_one_line(ValidationError, say=True):
            return super().from_config_section(*args, **kwargs)

    def run(self, *args):
        """
        Run the step, and give the instance its attributes back.

        Parameters
        ----------
        *args
            As for `stpipe.Step.run`.

        Returns
        -------
        object
            What the step makes.
        """
        if self.parent is not None:
            with restored(self):
                return super().run(*args)
        with (
            restored(self),
            _told(self),
            refused_in_one_line(),
            short_parameters(self),
            notebook_bar(self.name),
        ):
            self.not_fused = []
            result = super().run(*args)
            for reason in dict.fromkeys(self.not_fused):
                log.warning("NOT FUSED: %s", reason)
            return result

    def note_not_fused(self, reason):
        """
        Keep a reason for the last line of the run, of the pipeline if this is a step of one.

        Parameters
        ----------
        reason : str
            Why something was not fused.
        """
        outermost = self
        while outermost.parent is not None:
            outermost = outermost.parent
        vars(outermost).setdefault("not_fused", []).append(reason)


def _told(step):
    """Context in which a run that nobody else watches says what an interruption leaves."""
    if step.parent is not None:
        return nullcontext()
    kept = "No product is half-written; run it again"
    if getattr(step, "resume", False):
        kept = (
            "What was complete is recorded in the output folder: run it again with the same "
            "output_dir, and it goes on from there"
        )
    return told_of_interrupts(step.name or type(step).__name__, kept)


@contextmanager
def restored(step):
    """
    Give a step, and those of a pipeline, the attributes back that they have at the beginning.

    Parameters
    ----------
    step : `~stpipe.Step`
        A step or a pipeline.
    """
    before = [(one, {**vars(one)}) for one in _with_steps(step)]
    try:
        yield
    finally:
        for one, attributes in before:
            kept = {name: vars(one)[name] for name in _KEPT if name in vars(one)}
            vars(one).clear()
            vars(one).update(attributes, **kept)


def _with_steps(step):
    """Yield a step and, of a pipeline, its steps and theirs."""
    yield step
    for name in getattr(step, "step_defs", {}):
        yield from _with_steps(getattr(step, name))
