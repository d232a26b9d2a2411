"""Quantities that vary with energy as sums of few: linear interpolation between nodes."""

from __future__ import annotations

import itertools
import logging

import numpy as np

__all__ = ["interpolation", "nodes_of", "thinned"]

log = logging.getLogger(__name__)

_ACCURACY = 1e-3  # of the largest value, between nodes that are kept
_MOST = 32  # nodes; each is a term of the response, with a matrix and a product of its own


def nodes_of(name, nodes, number, size):
    """
    Positions of nodes along the energy axis, as indices of energies.

    Parameters
    ----------
    name : str
        Name of the parameter, for messages.
    nodes : array_like (K,) or None
        Increasing indices, not necessarily whole; by default the centres of K equal bands, that is
        the energies themselves if there are as many nodes as energies.
    number, size : int
        Numbers K of nodes and L of energies.

    Returns
    -------
    ndarray (K,)
        Increasing positions; 0 is the first energy, L - 1 the last.

    Raises
    ------
    ValueError
        If there are more or fewer nodes than needed, or they do not increase.
    """
    if nodes is None:
        return (np.arange(number) + 0.5) * size / number - 0.5
    nodes = np.asarray(nodes, float)
    if nodes.shape != (number,) or not np.isfinite(nodes).all() or (np.diff(nodes) <= 0).any():
        msg = f"{name} must be {number} increasing indices of energies, got {nodes!r}"
        raise ValueError(msg)
    return nodes


def interpolation(nodes, size):
    """
    Weights of linear interpolation, constant beyond the first and last node.

    Parameters
    ----------
    nodes : ndarray (K,)
        Increasing positions.
    size : int
        Number L of energies.

    Returns
    -------
    ndarray (K, L)
        Not negative, of sum 1 for every energy.
    """
    energies = np.arange(size, dtype=float)
    return np.array([np.interp(energies, nodes, one) for one in np.eye(len(nodes))])


def thinned(name, stack, nodes):
    """
    Choose those nodes of a fine stack between which the others follow by interpolation.

    Parameters
    ----------
    name : str
        Name of the parameter, for messages.
    stack : ndarray (K, ...)
        Values at the nodes.
    nodes : ndarray (K,)
        Positions.

    Returns
    -------
    ndarray of int
        Indices of the nodes that are kept.

    Raises
    ------
    ValueError
        If more than 32 nodes are needed for an accuracy of 0.1 % of the largest value.
    """
    flat = stack.reshape(len(stack), -1)
    if len(flat) <= 2:
        return np.arange(len(flat))
    limit, kept = _ACCURACY * np.abs(flat).max(), [0, len(flat) - 1]
    while True:
        worst, where = 0.0, None
        for a, b in itertools.pairwise(kept):
            if b - a < 2:
                continue
            inside = slice(a + 1, b)
            t = ((nodes[inside] - nodes[a]) / (nodes[b] - nodes[a]))[:, None]
            error = np.abs(flat[inside] - (1 - t) * flat[a] - t * flat[b]).max(axis=1)
            if error.max() > worst:
                worst, where = error.max(), a + 1 + int(error.argmax())
        if worst <= limit:
            break
        kept = sorted([*kept, where])
        if len(kept) > _MOST:
            msg = (
                f"{name} varies so much with energy that more than {_MOST} nodes are needed; give "
                "it at fewer energies or smooth it"
            )
            raise ValueError(msg)
    if len(kept) == 2 and np.abs(flat[0] - flat[-1]).max() <= limit:
        kept = kept[:1]
    if len(kept) < len(flat):
        log.info("%s: %d of %d energies are kept as nodes", name, len(kept), len(flat))
    return np.array(kept)
