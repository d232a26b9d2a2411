"""Files are whole or absent, whatever happens to who writes them."""

import errno
import os
import re
import signal
import subprocess
import sys

import pytest

from jwst_fusion.partial_files import partial_path, renamed_when_complete
from jwst_fusion.steps.interrupts import told_of_interrupts


def test_a_killed_writer_leaves_nothing_that_stays(tmp_path):
    path = tmp_path / "a[1].fits"
    code = (
        "import os, signal; from jwst_fusion.partial_files import renamed_when_complete\n"
        f"with renamed_when_complete({str(path)!r}) as partial:\n"
        "    partial.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name != path.name
    # that of a process which still writes
    other = left.with_name(re.sub(r"\.\d+\.", f".{os.getppid()}.", left.name))
    other.write_text("of another")
    with renamed_when_complete(path) as partial:
        partial.write_text("whole")
    assert {one.name for one in tmp_path.iterdir()} == {path.name, other.name}
    assert path.read_text() == "whole"


def test_a_full_disk_is_told_with_the_file(tmp_path):
    path = tmp_path / "a.fits"
    path.write_text("before")

    def write():
        with renamed_when_complete(path) as partial:
            partial.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"a\.fits could not be written \(No space left") as caught:
        write()
    assert caught.value.errno == errno.ENOSPC
    assert [one.name for one in tmp_path.iterdir()] == ["a.fits"]
    assert path.read_text() == "before"


def test_names_fit_into_the_file_system(tmp_path):
    assert len(partial_path(tmp_path / ("n" * 190 + "_adaptive_trace_model.fits")).name) <= 255


@pytest.mark.usefixtures("interruptible")
def test_termination_is_told_and_files_are_removed(tmp_path, caplog):
    before = signal.getsignal(signal.SIGTERM)

    def run(number):
        with (
            told_of_interrupts("step", "Run it again"),
            renamed_when_complete(tmp_path / "a.fits") as partial,
        ):
            partial.write_text("half")
            signal.raise_signal(number)

    with pytest.raises(SystemExit) as caught:
        run(signal.SIGTERM)
    assert caught.value.code == 143
    assert "step: terminated. Run it again" in caplog.text
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(KeyboardInterrupt):
        run(signal.SIGINT)
    assert "step: interrupted. Run it again" in caplog.text
