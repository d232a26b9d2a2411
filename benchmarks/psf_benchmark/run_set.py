"""Make the PSF set of one fusion in a fresh interpreter and print the seconds it took."""

import sys
import time

START = time.perf_counter()


def main(source, mode):
    """Time the set of the fusion step ("step"), or every filter on its own ("filters")."""
    from jwst_fusion.psf import chebyshev_nodes
    from psf_benchmark.setup import FILTERS, HIGH, LOW, NPIX, PIXEL, pair, sides

    imported = time.perf_counter()
    count = len(pair(source).nodes)
    if mode == "filters":
        # the IFU above, and the optics of each filter besides
        nodes = chebyshev_nodes(LOW, HIGH, count)
        for name in FILTERS:
            image, _ = sides(source, filter_name=name)
            image.psf(nodes, "SHORT", pixel_scale=PIXEL, npix=NPIX)
    print(imported - START, time.perf_counter() - imported, count)


if __name__ == "__main__":
    main(*sys.argv[1:])
