"""
Search for damaged files that a step does not answer as it should, for as long as is asked.

python search.py SECONDS [SEED [CASE ...]]: CASE of `small_inputs`, all of them without. The cases
take turns in one process, the large ones for fewer inputs. Prints a line of JSON for each fault,
with what repeats it, and one of totals; the exit status is 1 if there was a fault.
"""

import json
import random
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scenes"))

from attempts import attempt, prepared
from mutations import changes
from small_inputs import CASES, LARGE_CASES

from jwst_fusion.simulation import crds_offline

_TURN, _LARGE_TURN = 20, 2  # inputs of a case before it is the turn of the next one
_SAID = 60  # s between two lines of totals


def search(case, number, turn, end):
    """Try inputs of one case; the outcomes, and what repeats each fault."""
    outcomes, faults, dropped = [], [], []
    # files left open: warnings, which are errors of destructors here
    sys.unraisablehook = lambda found: dropped.append(repr(found.exc_value))

    @seed(number)
    @settings(
        max_examples=turn,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def tried(data):
        change = data.draw(changes(case.made))
        if time.monotonic() > end:
            return
        dropped.clear()
        try:
            outcome = attempt(case, change)
            assert not dropped, f"left to the collector of garbage: {dropped}"
        except Exception as error:
            outcome = "fault"
            text = "".join(traceback.format_exception(error))
            faults.append({"case": case.made.name, "change": repr(change), "error": text})
        outcomes.append(outcome)

    tried()
    return outcomes, faults


def main(seconds, first=None, *names):
    """Search until the time is over; how many faults there were."""
    warnings.simplefilter("error", ResourceWarning)
    rng = random.Random(first)
    total = {}
    with tempfile.TemporaryDirectory() as folder, crds_offline(Path(folder)):
        cases = [prepared(name, Path(folder)) for name in names or (*CASES, *LARGE_CASES)]
        begin = time.monotonic()
        end, said = begin + seconds, begin
        while time.monotonic() < end:
            for case in cases:
                turn = _LARGE_TURN if case.made.name in LARGE_CASES else _TURN
                outcomes, faults = search(case, rng.getrandbits(32), turn, end)
                total.setdefault(case.made.name, Counter()).update(outcomes)
                for fault in faults:
                    print(json.dumps(fault), flush=True)
                if time.monotonic() > min(said + _SAID, end):
                    said = time.monotonic()
                    line = {"seconds": round(said - begin), "processor": round(time.process_time())}
                    print(json.dumps({**line, "tried": total}), flush=True)
    return sum(one["fault"] for one in total.values())


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), *map(int, sys.argv[2:3]), *sys.argv[3:]) > 0)
