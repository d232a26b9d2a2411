"""Make the PSF set of one fusion in a fresh interpreter and print the seconds it took."""

import sys
import time

START = time.perf_counter()


def main(source, mode):
    """Time the set of the fusion step ("step"), or every filter on its own ("filters")."""
    from psf_benchmark.setup import FILTERS, pair

    imported = time.perf_counter()
    names = [None] if mode == "step" else FILTERS
    nodes = [len(pair(source, filter_name=name).nodes) for name in names]
    print(imported - START, time.perf_counter() - imported, nodes[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
