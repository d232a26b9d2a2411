"""A step that takes 10 ms and writes what it was given, for the tests of campaigns."""

import os
import signal
import time
from pathlib import Path

from stpipe import Step

NUMBER = 6  # targets of a campaign


class StubStep(Step):
    """Write the content of an association after a while; fail or die where asked to."""

    class_alias = "stub"

    spec = """
    output_ext = string(default='.dat') # Kind of file
    seconds = float(default=0.01) # How long it takes
    fail = string(default='') # Name of the target that fails
    die = string(default='') # Targets whose process kills itself, and how many times: t1:1+t2:9
    hold = string(default='') # File: wait as long as it exists
    """

    def process(self, path):
        """Do it."""
        folder = Path(self.output_dir)
        name = folder.name
        if name == self.fail:
            msg = f"{name} is <b>not</b> good"
            raise ValueError(msg)
        deaths = dict(one.split(":") for one in self.die.split("+") if one)
        if name in deaths:
            # beside the folder of the target, whose content is compared
            count = folder.parent / f"{name}.deaths"
            dead = int(count.read_text()) if count.exists() else 0
            if dead < int(deaths[name]):
                count.write_text(str(dead + 1))
                os.kill(os.getpid(), signal.SIGKILL)
        (folder / "torn").write_text("") if self.hold else None
        while self.hold and Path(self.hold).exists():
            time.sleep(0.02)
        time.sleep(self.seconds)
        (folder / f"{name}_stub.dat").write_bytes(Path(path).read_bytes())

    def _datamodels_open(self, init, **kwargs):
        return init


def products(folder):
    """Content of the products of all targets."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).glob("*/*.dat"))
    }
