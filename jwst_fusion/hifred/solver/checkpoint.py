"""Checkpoints: what a fusion needs to continue, in one file of bounded size."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path

import numpy as np

from jwst_fusion.input_files import memory_of_machine, one_line
from jwst_fusion.partial_files import renamed_when_complete

__all__ = ["Checkpoint", "read_checkpoint"]

_INTERVAL = 30.0  # s; what an interruption may cost
_VERSION = 1  # of the format; to be raised where files of before cannot be understood


def read_checkpoint(path):
    """
    Read a checkpoint.

    Parameters
    ----------
    path : str or path
        File.

    Returns
    -------
    dict of ndarray
        The state that `Checkpoint.write` was given, and ``version``.

    Raises
    ------
    FileNotFoundError
        If it does not exist.
    ValueError
        If it is not a checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        msg = f"start: file {path} does not exist"
        raise FileNotFoundError(msg)
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(one.file_size for one in packed.infolist())
        if size > memory_of_machine():
            msg = f"it says it holds {size / 1e9:.3g} GB, more than the memory of this machine"
            raise ValueError(msg)
        with np.load(path, allow_pickle=False) as file:
            state = {name: file[name] for name in file.files}
    except Exception as error:  # damaged archives have many
        msg = f"{path} is not a checkpoint of a fusion, or is damaged: {one_line(error)}"
        raise ValueError(msg) from error
    if int(state.get("version", -1)) != _VERSION:
        msg = f"{path} is not a checkpoint of a fusion, or of another version"
        raise ValueError(msg)
    return state


class Checkpoint:
    """
    Writer of checkpoints.

    Parameters
    ----------
    path : str, path or None
        File; None writes nothing. It is replaced as a whole, so that it is complete at any time,
        and holds one state: at most four bytes a voxel for the cube, four bytes a datum for the
        dual variables and two for each starlet coefficient.

    Raises
    ------
    FileNotFoundError
        If its folder does not exist.
    """

    def __init__(self, path):
        self.path = None if path is None else Path(path)
        self._last = time.monotonic()
        if self.path is not None and not self.path.parent.is_dir():
            msg = f"checkpoint: folder {self.path.parent} does not exist"
            raise FileNotFoundError(msg)

    @property
    def due(self):
        """Whether the last state was written half a minute ago or longer."""
        return self.path is not None and time.monotonic() - self._last > _INTERVAL

    def write(self, state):
        """
        Write a state.

        Parameters
        ----------
        state : dict of ndarray
            Arrays and numbers, no objects.
        """
        if self.path is None:
            return
        with renamed_when_complete(self.path) as partial, partial.open("wb") as file:
            np.savez(file, version=_VERSION, **state)
        self._last = time.monotonic()
