"""Instances of steps that can be run again: what a run sets on them is undone at its end."""

from contextlib import contextmanager, nullcontext

from jwst_fusion.steps.interrupts import told_of_interrupts

__all__ = ["Reusable", "restored"]

# The records of the last run, which `stpipe.Step.log_records` gives.
_KEPT = ("_log_records",)


class Reusable:
    """
    Mixin for steps and pipelines whose instances are after a run what they were before.

    Both stpipe and the pipelines of jwst set attributes of a step while it runs, such as its
    input folder, names of output files, and which steps of a pipeline are skipped.
    """

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
        with restored(self), _told(self):
            return super().run(*args)


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
