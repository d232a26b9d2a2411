"""Stages of a pipeline whose products are written whole, recorded, and used again."""

import logging
import time
from pathlib import Path

from jwst_fusion.products.names import check_name
from jwst_fusion.products.open import fast_files
from jwst_fusion.products.whole_file import save_whole
from jwst_fusion.steps.resume import fingerprint

__all__ = ["Stages", "is_not_fused"]

log = logging.getLogger(__name__)


class Stages:
    """
    Runs stages and keeps their products, as files or in memory.

    Parameters
    ----------
    record : `~jwst_fusion.steps.resume.Record` or None
        The record of a folder; None: nothing is written, products stay in memory.
    inputs : sequence of str
        Files that must not be overwritten.
    """

    def __init__(self, record, inputs):
        self._record = record
        self._inputs = {Path(path).resolve() for path in inputs}
        self._made, self._seconds = 0, 0.0

    def key(self, steps, members, *, extra=None):
        """
        Return the fingerprint of a product, or None if it can only be made.

        Parameters
        ----------
        steps : sequence of `~stpipe.Step`
            The steps that make it.
        members : sequence of str or datamodel
            What it is made from.
        extra : dict, optional
            What else it depends on.

        Returns
        -------
        str or None
            None if a member is a model in memory, or nothing is recorded.
        """
        if self._record is None or not all(isinstance(member, str) for member in members):
            return None
        return fingerprint(steps, members, extra=extra)

    def run(self, name, key, make):
        """
        Return the products of a stage, those of an earlier run if they are still valid.

        Parameters
        ----------
        name : str
            The stage, for the record and messages.
        key : str or None
            Its fingerprint.
        make : callable
            Makes the models; each has its file name in ``meta.filename``.

        Returns
        -------
        products : list of str or datamodel
            Files, or models if nothing is written, as of what is not fused.
        reused : bool
            Whether they are those of an earlier run.
        """
        found = None if key is None else self._record.find(name, key)
        if found is not None:
            log.info("%s: used again: %s", name, ", ".join(Path(path).name for path in found))
            return found, True
        start = time.perf_counter()
        models = make()
        products = models if self._record is None else [self._write(model) for model in models]
        if key is not None and all(isinstance(one, str) for one in products):
            self._record.add(name, key, products)
        self._made += 1
        self._seconds += time.perf_counter() - start
        log.info("%s: done in %.0f s", name, time.perf_counter() - start)
        return products, False

    def each(self, name, jobs):
        """
        Run one stage for each of several members, with the time left.

        Parameters
        ----------
        name : str
            The stage.
        jobs : sequence of tuple
            Name, fingerprint and maker of each, as for `run`; a maker makes one model.

        Returns
        -------
        list of str or datamodel
            One product for each.
        """
        products = []
        self._made, self._seconds = 0, 0.0
        for number, (which, key, make) in enumerate(jobs):
            left = ""
            if self._made:
                seconds = (len(jobs) - number) * self._seconds / self._made
                left = f", about {seconds:.0f} s left"
            log.info("%s %d of %d%s: %s", name, number + 1, len(jobs), left, which)
            products += self.run(f"{name} of {which}", key, lambda make=make: [make()])[0]
        return products

    def _write(self, model):
        if is_not_fused(model):
            return model
        check_name(model.meta.filename, "a product", "file")
        path = self._record.path.parent / model.meta.filename
        if path.resolve() in self._inputs:
            msg = f"{path} is an input and would be overwritten: give another output_dir"
            raise ValueError(msg)
        log.info("Saving %s", path)
        with fast_files():
            save_whole(model, path)
        model.close()
        return str(path)


def is_not_fused(model):
    """
    Say whether a model is the copy of an input that the fusion could not use.

    Parameters
    ----------
    model : datamodel
        What the step ``fusion`` made, or another model.

    Returns
    -------
    bool
        True for status SKIPPED or FAILED.
    """
    return getattr(model.meta.cal_step, "fusion", None) in ("SKIPPED", "FAILED")
