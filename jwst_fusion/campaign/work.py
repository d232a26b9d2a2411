"""What is done with every target of a campaign: a step and its parameters, as for strun."""

import re
from dataclasses import dataclass
from pathlib import Path

from jwst_fusion.steps.by_name import step_of_name
from jwst_fusion.steps.resume import digest

__all__ = ["Work", "read_work"]

# Options of strun itself that change no product.
_OF_STRUN = frozenset("disable-crds-steppars log-level verbose".split())
# What the campaign decides for each target.
_TAKEN = {
    "output_dir": "products go to a folder of each target in --output",
    "output_file": "products are named after the associations",
    "save-parameters": "run strun on one target with it",
    "save_results": "products are always saved",
    "log-file": "each target has a log in its folder",
    "log-stream": "each target has a log in its folder",
    "logcfg": "each target has a log in its folder",
    "debug": "run strun on one target with it",
}
_WORD = re.compile(r"--([A-Za-z_][\w.-]*)(?:=(.*))?", re.DOTALL)


@dataclass(frozen=True)
class Work:
    """
    A step and its parameters.

    Attributes
    ----------
    step : str
        Registered name, path of a class, or absolute path of a parameter file.
    words : tuple of str
        Parameters, each as ``--name=value``; files by their absolute paths.
    """

    step: str
    words: tuple = ()

    def content(self):
        """
        Return what tells this work from other work: files count by what is in them.

        Returns
        -------
        list
            Text and lists of text.
        """
        material = [word for word in self.words if _WORD.match(word)[1] not in _OF_STRUN]
        found = []
        for text in (self.step, *material):
            pieces = [piece for _, piece in _pieces(text.partition("=")[2] or text)]
            files = [piece for piece in pieces if Path(piece).is_file()]
            found.append([text, *map(digest, files)])
        return found


def read_work(step, words):
    """
    Check a step and its parameters before anything is done.

    Parameters
    ----------
    step : str
        Registered name, path of a class, or parameter file.
    words : sequence of str
        Parameters, each as ``--name=value``.

    Returns
    -------
    work : Work
        The same, independent of the working folder.
    instance : `~stpipe.Step`
        The step with its parameters, but none from CRDS.

    Raises
    ------
    ValueError
        If there is no such step, or no such parameter, or its value is not allowed.
    """
    values = {}
    for word in words:
        match = _WORD.fullmatch(word)
        if match is None or (match[2] is None and match[1] not in _OF_STRUN):
            msg = f"{word}: write parameters of the step as --name=value"
            raise ValueError(msg)
        if match[1] in _TAKEN:
            msg = f"--{match[1]} cannot be given to a campaign: {_TAKEN[match[1]]}"
            raise ValueError(msg)
        if match[1] not in _OF_STRUN:
            values[match[1]] = _absolute(match[2])
    instance = step_of_name(step, values)
    path = Path(step)
    kept = [word for word in words if _WORD.match(word)[1] in _OF_STRUN]
    kept += [f"--{name}={value}" for name, value in values.items()]
    return Work(str(path.resolve()) if path.is_file() else step, tuple(kept)), instance


def _pieces(value):
    """Yield the parts of a value in which a file may be named, each after what stands before it."""
    for one in value.split(","):
        before, equals, after = one.rpartition("=")
        yield before + equals, after


def _absolute(value):
    """Value with absolute paths in place of files that are relative to the working folder."""
    return ",".join(
        before + (str(Path(piece).resolve()) if piece and Path(piece).is_file() else piece)
        for before, piece in _pieces(value)
    )
