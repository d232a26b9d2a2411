"""Make products of every part of the package with fixed seeds, and compare them with others.

To show that a change of the code changes no result, with two checkouts of it::

    python benchmarks/compare_products.py make before --code CHECKOUT
    python benchmarks/compare_products.py make after --code OTHER_CHECKOUT
    python benchmarks/compare_products.py compare before after
"""

import argparse
import os
import sys
from pathlib import Path

# One thread in BLAS: sums are in the same order each time.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"


def parse(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("make", help="make all products")
    one.add_argument("folder", type=Path, help="where; each case has its subfolder")
    one.add_argument("--code", type=Path, help="checkout to be run; default: what is imported")
    one.add_argument("--only", nargs="+", metavar="CASE", help="these cases alone")
    one.add_argument("--without", nargs="+", metavar="CASE", default=[], help="all but these")
    one.add_argument("--list", action="store_true", help="name the cases, and make nothing")
    one = verbs.add_parser("compare", help="compare the products in two folders")
    one.add_argument("before", type=Path)
    one.add_argument("after", type=Path)
    one.add_argument("--only", nargs="+", metavar="CASE", help="these cases alone")
    one.add_argument(
        "--renamed",
        nargs="+",
        metavar="OLD=NEW",
        default=[],
        help="names changed on purpose; OLD is a regular expression",
    )
    one.add_argument("--lines", type=int, default=8, help="differences named for each case")
    return parser.parse_args(arguments)


def make(options):
    """Make products; the number of failed cases."""
    from product_comparison.package import use_own_metadata

    if options.code is not None:
        sys.path.insert(0, str(options.code.resolve(strict=True)))
    folders = use_own_metadata()
    path = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([*folders, path]).rstrip(os.pathsep)
    from product_comparison.cases import CASES
    from product_comparison.running import run_cases

    import jwst_fusion

    unknown = {*(options.only or ()), *options.without} - set(CASES)
    if unknown:
        sys.exit(f"no such case: {', '.join(sorted(unknown))}")
    names = [name for name in options.only or CASES if name not in options.without]
    if options.list:
        print("\n".join(names))
        return 0
    code = Path(jwst_fusion.__file__).parent
    if options.code is not None and code.parent != options.code.resolve():
        sys.exit(f"imported is {code}, not what is in {options.code}")
    print(f"products of {code}")
    return run_cases(options.folder.resolve(), CASES, names)


def main(arguments=None):
    """Run the command line; 1 if a case failed or anything differs."""
    options = parse(arguments)
    if options.verb == "make":
        return min(make(options), 1)
    from product_comparison.comparison import compare_folders

    renamed = dict(pair.split("=", 1) for pair in options.renamed)
    return compare_folders(
        options.before, options.after, only=options.only, lines=options.lines, renamed=renamed
    )


if __name__ == "__main__":
    sys.exit(main())
