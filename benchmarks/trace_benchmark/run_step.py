"""Child process of the benchmark: import one of the two steps and run it from file to file."""

import json
import logging
import re
import resource
import sys
from pathlib import Path


class _Counter(logging.Filter):
    """Count the slices that a step says to have fitted."""

    fitted = None

    def filter(self, record):
        text = record.getMessage()
        said = re.match(r"(\d+) slices (?:or slits )?fitted", text)
        if said:
            self.fitted = int(said[1])
        elif text.startswith("Fitting slice"):
            self.fitted = (self.fitted or 0) + 1
        elif text.startswith("No data over threshold"):
            self.fitted -= 1
        return True


def main():
    """Run the step named by the arguments: kind, path, folder, parameters as JSON."""
    kind, path, folder, parameters = sys.argv[1:]
    counter = _Counter()
    for name in (
        "jwst.adaptive_trace_model.trace_model",
        "jwst_fusion.steps.adaptive_trace_model",
    ):
        logging.getLogger(name).setLevel(logging.DEBUG)
        logging.getLogger(name).addFilter(counter)
    if kind == "jwst":
        from jwst.adaptive_trace_model import AdaptiveTraceModelStep
    else:
        from jwst_fusion.step import AdaptiveTraceModelStep
    AdaptiveTraceModelStep.call(
        path, save_results=True, output_dir=folder, skip=False, **json.loads(parameters)
    )
    print(json.dumps({"fitted": counter.fitted, "memory": _peak_memory()}))


def _peak_memory():
    """
    Peak resident memory of this process, GiB.

    On Linux from VmHWM: the figure that the parent gets counts its own memory before the exec.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 2**20
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    main()
