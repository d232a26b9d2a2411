"""Settings under which jwst runs without a CRDS server, for simulated data only."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

__all__ = ["crds_environment", "crds_offline"]

_SERVER_CONFIG = (
    "{'observatory': 'jwst', 'operational_context': 'jwst_0000.pmap', 'bad_files_list': [],"
    " 'force_remote_mode': False, 'last_synced': 'never'}"
)


def crds_environment(cache):
    """
    Environment variables that keep jwst from asking a CRDS server.

    Parameters
    ----------
    cache : str or pathlib.Path
        Folder for a stub of the CRDS cache; the one small file it needs is written.

    Returns
    -------
    dict of str
        Variables to add to the environment, of this process or of a child.
    """
    config = Path(cache) / "config" / "jwst" / "server_config"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(_SERVER_CONFIG)
    return {
        "STPIPE_DISABLE_CRDS_STEPPARS": "true",
        "CRDS_SERVER_URL": "https://crds-serverless-mode.stsci.edu",
        "CRDS_CONTEXT": "jwst_0000.pmap",
        "CRDS_PATH": str(cache),
    }


@contextmanager
def crds_offline(cache=None):
    """
    Run jwst steps without a CRDS server, with reference files given as overrides.

    Meant for simulated data: a user who has real data and CRDS never needs it. The environment is
    restored on leaving, whatever happened inside.

    Parameters
    ----------
    cache : str or pathlib.Path, optional
        Folder for the stub of the CRDS cache. Default: a temporary one, removed afterwards.

    Yields
    ------
    dict of str
        The variables that were set, to hand to child processes.

    Examples
    --------
    >>> from jwst_fusion.simulation import crds_offline
    >>> with crds_offline() as variables:
    ...     sorted(variables)[0]
    'CRDS_CONTEXT'
    """
    with tempfile.TemporaryDirectory(prefix="crds-offline-") as folder:
        variables = crds_environment(cache or folder)
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield variables
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
