"""Positions of point sources on the grid of the images."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

__all__ = ["SourceList"]


@dataclass(frozen=True)
class SourceList:
    """Point sources, one an entry of each array.

    Parameters
    ----------
    x, y : ndarray (J,)
        Column and row of each source in pixels of the images, 0 at the centre of the first pixel.
    x_error, y_error : ndarray (J,)
        1-sigma errors of the same, pixels; NaN where nothing is known of them.
    significance : ndarray (J,)
        Significance of the detection, standard deviations above noise and local structure; NaN
        where it was not measured.
    name : ndarray (J,) of str
        Name of each source, unique.
    given : ndarray (J,) of bool
        Whether the position was given by the user, instead of found in the images.

    Raises
    ------
    ValueError
        If the arrays are not of one length, a position is not finite or a name stands twice.
    """

    x: np.ndarray
    y: np.ndarray
    x_error: np.ndarray
    y_error: np.ndarray
    significance: np.ndarray
    name: np.ndarray
    given: np.ndarray

    def __post_init__(self):
        types = {"name": str, "given": bool}
        for field in fields(self):
            value = np.asarray(getattr(self, field.name), types.get(field.name, float))
            object.__setattr__(self, field.name, value)
            if value.ndim != 1 or len(value) != len(self.x):
                msg = (
                    f"{field.name} of a source list has shape {value.shape}, expected "
                    f"{self.x.shape} as x"
                )
                raise ValueError(msg)
        if not np.all(np.isfinite(self.x) & np.isfinite(self.y)):
            msg = "positions of sources must be finite: leave sources without a position out"
            raise ValueError(msg)
        unique, counts = np.unique(self.name, return_counts=True)
        if np.any(counts > 1):
            msg = f"name of a source stands more than once: {', '.join(unique[counts > 1])}"
            raise ValueError(msg)

    def __len__(self):
        return len(self.x)

    @classmethod
    def empty(cls):
        """Return a list without sources."""
        return cls(**{field.name: np.zeros(0) for field in fields(cls)})

    def chosen(self, choice):
        """
        Return some of the sources.

        Parameters
        ----------
        choice : ndarray of bool (J,), ndarray of int, or slice
            Those to keep, as an index of arrays of length J; an order of them is followed.

        Returns
        -------
        SourceList
            The sources that are kept.
        """
        return type(self)(
            **{field.name: getattr(self, field.name)[choice] for field in fields(self)}
        )

    def joined(self, other):
        """
        Return these sources followed by others.

        Parameters
        ----------
        other : SourceList
            More sources. A name that stands in both lists gets a number behind it in the second.

        Returns
        -------
        SourceList
            All of them, these first.
        """
        parts = {
            field.name: np.concatenate([getattr(self, field.name), getattr(other, field.name)])
            for field in fields(self)
        }
        parts["name"] = _unique_names(self.name, other.name)
        return type(self)(**parts)

    def shifted(self, x, y):
        """
        Return the sources on a grid whose first pixel lies elsewhere.

        Parameters
        ----------
        x, y : float
            What is added to columns and rows, pixels.

        Returns
        -------
        SourceList
            The same sources.
        """
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return type(self)(**parts | {"x": self.x + x, "y": self.y + y})


def _unique_names(first, second):
    """Return the names of two lists, those of the second changed where they stand already."""
    names = list(first)
    taken = set(names) | set(second)
    for name in second:
        new, number = name, 2
        if name in names:
            while (new := f"{name}-{number}") in taken:
                number += 1
            taken.add(new)
        names.append(new)
    return np.array(names, str)
