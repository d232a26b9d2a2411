"""Where the benchmarks find reference files, throughputs and scenes."""

import os
from pathlib import Path

__all__ = ["data_folder"]


def data_folder():
    """
    Folder of the data: reference files, throughputs, scenes, data files of STPSF.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    FileNotFoundError
        If the environment variable JWST_FUSION_TEST_DATA names no folder.
    """
    folder = Path(os.environ.get("JWST_FUSION_TEST_DATA", "../shared/data"))
    if not folder.is_dir():
        msg = (
            f"no folder {folder}: set JWST_FUSION_TEST_DATA to the folder that holds "
            "nirspec_ifu_refs, miri_mrs_refs, throughputs, stpsf-data and scenes"
        )
        raise FileNotFoundError(msg)
    return folder
