"""Call the solver with the parameters of the step."""

import logging

from jwst_fusion.hifred.engine import fuse
from jwst_fusion.hifred.memory import check_memory

__all__ = ["solve_problem"]

log = logging.getLogger(__name__)


def solve_problem(problem, options):
    """
    Solve a problem as the options say.

    Parameters
    ----------
    problem : `~jwst_fusion.hifred.problem.Problem`
        The problem.
    options : `~jwst_fusion.hifred.options.HifredOptions`
        The parameters.

    Returns
    -------
    `~jwst_fusion.hifred.solver.result.Result`
        The solution.

    Raises
    ------
    ValueError
        If more memory is needed than is allowed, or the solver refuses a parameter.
    """
    check_memory(problem, options)
    shape = problem.response_x.shape
    log.info(
        "Fusing %s %s and %s %s into %s (channel, y, x), %s, regularisation %s",
        problem.names[0],
        problem.x.shape,
        problem.names[1],
        problem.y.shape,
        shape,
        "Poisson" if problem.sigma_x is None else "Gaussian",
        options.regularisation,
    )
    for note in problem.notes:
        log.info("%s", note)
    gaussian = problem.sigma_x is not None
    return fuse(
        problem.x,
        problem.y,
        problem.response_x,
        problem.response_y,
        likelihood="gaussian" if gaussian else "poisson",
        variance_x=problem.sigma_x**2 if gaussian else None,
        variance_y=problem.sigma_y**2 if gaussian else None,
        start=options.start,
        checkpoint=options.checkpoint,
        **options.solver(),
    )
