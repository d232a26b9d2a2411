"""Simulate X-ray observations: ``python -m jwst_fusion.command.simulate_xray folder``."""

import argparse
import sys
from pathlib import Path

__all__ = ["main"]

_CLUSTER = "cluster"  # set-up with four observations


def main(arguments=None):
    """
    Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Words of the command line, by default those given to the process.

    Returns
    -------
    int
        0.
    """
    from jwst_fusion.simulation.xray import SETUPS, xray_pair
    from jwst_fusion.simulation.xray_files import write_xray_events, write_xray_pair
    from jwst_fusion.simulation.xray_observations import (
        cluster_observations,
        write_observed_cluster,
    )

    parser = argparse.ArgumentParser(
        prog="python -m jwst_fusion.command.simulate_xray",
        description="Simulate two X-ray observations of a supernova remnant, or four of a cluster "
        "of galaxies (two cameras, and a calorimeter at two roll angles), and write them.",
    )
    parser.add_argument("folder", type=Path, help="where the files are written")
    setups = [*SETUPS, _CLUSTER]
    parser.add_argument("--setup", choices=setups, default="small", help="default: small")
    parser.add_argument("--seed", type=int, default=1, help="of the scene and the noise")
    parser.add_argument("--events", action="store_true", help="write event lists, too")
    options = parser.parse_args(arguments)
    if options.setup == _CLUSTER:
        if options.events:
            parser.error(f"--events is for two observations, not for --setup {_CLUSTER}")
        path = write_observed_cluster(cluster_observations(seed=options.seed), options.folder)
        print(f"{path} written; fuse it with: strun hifred {path}")
        return 0
    pair = xray_pair(options.setup, seed=options.seed)
    path = write_xray_pair(pair, options.folder)
    if options.events:
        for one in write_xray_events(pair, options.folder, seed=options.seed):
            print(f"{one} written")
    print(f"{path} written; fuse it with: strun hifred {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
