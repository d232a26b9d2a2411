"""Compare the verdicts of the report on fused cubes with the truth, over good and faulty cases."""

import argparse
import logging
import os
import pickle
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

# One thread in BLAS: seconds of the processor would not be comparable otherwise.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from trace_benchmark.table import as_rst, as_text
from verdict_benchmark.cases import FAULTS, draw_cases
from verdict_benchmark.observe import fuse_case
from verdict_benchmark.score import score, tabulate

log = logging.getLogger("benchmark")

# Seeds of cases with which the limits of the report were set, as with those of 15 and 16, and of
# those that were not looked at before.
SEEDS = {"with which the limits were set": 17, "held out": 18}
_HEADER = ("fault", "truth", "cases", "called good", "caution", "fault")
_RATES = ("what", "figure", "target", "reached")
_TARGET = 0.95


def parse(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=200, help="number of cases, half of each seed")
    parser.add_argument("--output", type=Path, help="file for the tables, reStructuredText")
    parser.add_argument(
        "--work", type=Path, help="folder where fused cases are kept, and taken from if they exist"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="SEED/NUMBER",
        help="list these cases alone, as --list names them, and make no tables",
    )
    parser.add_argument(
        "--kept", action="store_true", help="take only the cases that --work has: fuse nothing"
    )
    parser.add_argument(
        "--list", action="store_true", help="also list every case with its findings"
    )
    return parser.parse_args(arguments)


def main(arguments=None):
    """Run the cases and print the tables."""
    options = parse(arguments)
    if options.kept and options.work is None:
        sys.exit("--kept needs --work, the folder where cases are kept")
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    log.setLevel(logging.INFO)
    # Faulty cases warn of their faults, as they should.
    logging.getLogger("jwst_fusion").setLevel(logging.ERROR)
    start, tables, everything = time.perf_counter(), {}, []
    if options.only:
        for seed in SEEDS.values():
            numbers = [int(one.split("/")[1]) for one in options.only if one.startswith(f"{seed}/")]
            for one in judged(options.cases // 2, seed, options.work, numbers, kept=options.kept):
                log.info("%s", _described(one, seed))
        return
    for name, seed in SEEDS.items():
        found = []
        for one in judged(options.cases // 2, seed, options.work, kept=options.kept):
            found.append(one)
            if options.list:
                log.info("%s", _described(one, seed))
        tables[f"Cases {name}"] = tabulate(found, FAULTS)
        log.info("\nCases %s\n\n%s", name, as_text(tables[f"Cases {name}"], header=_HEADER))
        everything.append((name, found))
    rates = [row for name, found in everything for row in _rates(name, found)]
    rates += _rates("all", [one for _, found in everything for one in found])
    log.info("\n%s\n\n%.0f s", as_text(rates, header=_RATES), time.perf_counter() - start)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        text = [_preamble()]
        text.append(as_rst({"Verdicts": rates}, header=_RATES))
        text.append(as_rst(tables, header=_HEADER))
        options.output.write_text("\n".join(text))


def judged(count, seed, work=None, numbers=None, *, kept=False):
    """
    Fuse and judge cases.

    Parameters
    ----------
    count : int
        Number of cases.
    seed : int
        Seed of all.
    work : pathlib.Path, optional
        Folder where fused cases are kept.
    numbers : list of int, optional
        Cases that are wanted; all by default.
    kept : bool, optional
        Leave out cases that are not kept already.

    Yields
    ------
    Score
        Of each case, as soon as it is known.
    """
    good = {}
    # The sets share no scene: the numbers of observations are the seeds of theirs.
    cases = draw_cases(count, seed=seed, first=1000 * list(SEEDS.values()).index(seed))
    if numbers is not None:
        twins = {one.base.number for one in cases if one.number in numbers}
        cases = [
            one
            for one in cases
            if one.number in numbers or (one.fault == "none" and one.base.number in twins)
        ]
    for case in cases:
        path = None if work is None else work / f"{seed}_{count}_{case.number}.pkl"
        if kept and not path.exists():
            continue
        fused = _fused(case, path)
        if case.fault == "none":
            good[case.base.number] = fused
            found = score(case, fused)
        elif case.base.number in good:
            found = score(case, fused, good[case.base.number])
        else:
            continue
        if numbers is None or case.number in numbers:
            yield found


def _fused(case, path):
    if path is not None and path.exists():
        return pickle.loads(path.read_bytes())
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    fused = fuse_case(case, None if path is None else path.with_suffix(".fits"))
    if path is not None:
        path.write_bytes(pickle.dumps(fused))
    return fused


def _described(one, seed):
    base = one.case.base
    return (
        f"{seed}/{one.case.number} {one.case.fault} {one.case.values}: {base.scene}, {base.stars} "
        f"stars, {'+'.join(base.filters)}, S/N {base.image_sn:.0f} and {base.cube_sn:.0f}; "
        f"{one.truth}, {one.cost:.2f} stated errors, {100 * one.size:.1f} % ({one.figure}); "
        f"{one.verdict} "
        f"{', '.join(one.keys)}"
    )


def _rates(name, scores):
    """Part of the sound cases that are called good, and of the costly ones that are not."""
    rows = []
    for truth, right, what in (
        ("sound", lambda verdict: verdict == "good", "good cases called good"),
        ("costly", lambda verdict: verdict != "good", "costly faults not called good"),
    ):
        among = [one for one in scores if one.truth == truth]
        if among:
            count = sum(right(one.verdict) for one in among)
            share = count / len(among)
            rows.append(
                (
                    f"{what}, {name}",
                    f"{count} of {len(among)} ({100 * share:.0f} %)",
                    f">= {100 * _TARGET:.0f} %",
                    "yes" if share >= _TARGET else "no",
                )
            )
    return rows


def _preamble():
    """Command and versions as reStructuredText."""
    words = ["python", *sys.argv]
    # Where cases are kept changes no figure.
    if "--work" in words:
        place = words.index("--work")
        del words[place : place + 2]
    software = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy"))
    return f"Made by ``{' '.join(words)}`` with Python {platform.python_version()}, {software}.\n"


if __name__ == "__main__":
    main()
