"""What became of a target, as a file that other campaigns and the page read."""

import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path

from jwst_fusion.messages import warn
from jwst_fusion.partial_files import renamed_when_complete

__all__ = ["Outcome", "read_outcome", "write_outcome"]

log = logging.getLogger(__name__)

_FILE = "{}_outcome.json"


@dataclass
class Outcome:
    """
    What became of a target.

    Attributes
    ----------
    name : str
        The target.
    status : {"done", "failed", "busy"}
        Busy: another campaign works on it.
    reason : str
        Why it failed, in one line.
    step : str
        What was run.
    seconds : float
        How long it took.
    estimate, peak : float
        Memory [GB] that was expected, and that its process took at most; 0 if not known.
    host : str
        Machine.
    ended : str
        Date and time (UTC).
    reused : bool
        Whether it had been finished before.
    products : list of str
        Files in the folder of the target.
    reports : list of dict
        One for each product with a report, the worst first: ``product``, ``page``, ``level``,
        ``verdict``, ``facts`` (pairs), ``picture`` (file in the folder of the target, or empty).
    note : str
        Why there is no report, if there is none.
    """

    name: str
    status: str
    reason: str = ""
    step: str = ""
    seconds: float = 0.0
    estimate: float = 0.0
    peak: float = 0.0
    host: str = ""
    ended: str = ""
    reused: bool = False
    products: list = field(default_factory=list)
    reports: list = field(default_factory=list)
    note: str = ""


def write_outcome(folder, outcome):
    """
    Write what became of a target, as a whole or not at all.

    Parameters
    ----------
    folder : str or path
        Folder of the target.
    outcome : Outcome
        What became of it.
    """
    path = Path(folder) / _FILE.format(outcome.name)
    with renamed_when_complete(path) as partial:
        partial.write_text(json.dumps(asdict(outcome), indent=1))


def read_outcome(folder, name):
    """
    Read what became of a target.

    Parameters
    ----------
    folder : str or path
        Folder of the target.
    name : str
        The target.

    Returns
    -------
    Outcome or None
        None if nothing is known.
    """
    path = Path(folder) / _FILE.format(name)
    try:
        return Outcome(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        warn(log, "%s cannot be read and is begun anew: %s", path, error)
        return None
