"""Files that are written under another name and renamed when they are complete."""

import glob
import os
import re
import socket
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["HOST", "left_folders", "partial_path", "renamed_when_complete", "runs", "sweep"]

#: The machine in names of partial files, shortened: the whole name of a file has at most 255.
HOST = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:16] or "host"


def partial_path(path):
    """
    Name a file while it is written.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The file as it will be called.

    Returns
    -------
    `~pathlib.Path`
        A hidden file beside it, by which machine and process are known.
    """
    path = Path(path)
    return path.with_name(f".{HOST}.{os.getpid()}.{path.name}")


def sweep(path):
    """
    Remove what processes of this machine that no longer run have left of a file.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The file as it would have been called.
    """
    for one in _left(Path(path)):
        if one.is_file():
            with suppress(OSError):
                one.unlink()


def left_folders(path):
    """
    List what processes of this machine that no longer run have left of a folder.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The folder as it would have been called.

    Returns
    -------
    list of `~pathlib.Path`
        Folders that nobody writes to.
    """
    return [one for one in _left(Path(path)) if one.is_dir()]


def _left(path):
    """List partial files and folders of processes that no longer run."""
    own = re.compile(rf"\.{re.escape(HOST)}\.(\d+)\.{re.escape(path.name)}")
    found = []
    for one in path.parent.glob(f".{HOST}.*.{glob.escape(path.name)}"):
        process = own.fullmatch(one.name)
        if process and not runs(int(process[1])):
            found.append(one)
    return found


def runs(process):
    """
    Say whether a process of this machine runs.

    Parameters
    ----------
    process : int
        Its number.

    Returns
    -------
    bool
        Whether it does; also if it is another one that has its number by now.
    """
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


@contextmanager
def renamed_when_complete(path):
    """
    Let a file be written under another name, and rename it when it is complete.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The file; one that exists is replaced.

    Yields
    ------
    `~pathlib.Path`
        Where to write. What is there after an error is deleted, and what a process that was killed
        has left, too.

    Raises
    ------
    OSError
        If the file cannot be written, as on a full disk; the message names it.
    """
    path = Path(path)
    partial = partial_path(path)
    sweep(path)
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        if path.name in str(error).replace(partial.name, ""):
            raise
        reason = error.strerror or " ".join(str(error).split())
        msg = (
            f"{path} could not be written ({reason}): make room or give another output_dir; "
            "nothing of it is left"
        )
        raise (OSError(error.errno, msg) if error.errno else OSError(msg)) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
