"""What differs between observations, found together with the scene: pointing, light, PSFs."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from jwst_fusion.fusion.exposures.inputs import data_of, shared
from jwst_fusion.fusion.exposures.nuisance import Elimination, Parameter
from jwst_fusion.fusion.exposures.positions import fit_sources
from jwst_fusion.fusion.exposures.problem import SceneProblem
from jwst_fusion.fusion.solver.psf_modes import (
    NARROWEST,
    PRIOR_CUBE,
    PRIOR_IMAGE,
    WIDTHS,
    core_variance,
    reshaped,
    sound,
)
from jwst_fusion.messages import warn

__all__ = ["Adjustment"]

log = logging.getLogger(__name__)

# Of the solve after a step, which begins where the scene is expected to be; and of those of the
# last fit, with this part of the usual tolerance: the light of point sources must have settled.
_ITERATIONS, _MORE, _FINER = 8, 24, 0.1
_FIRST = 15.0  # standard deviations: residuals beyond are outliers, as at the start of the fusion
_MOVES, _ROUGH_MOVES = 6, 3  # steps at most, in the last fit and before
# Of the information on the parameters: in the last fit, whose errors are reported, and before.
_PRECISE, _COARSE = 0.1, 0.5
# Of the last step: fine pixels, degree, relative, of the errors of the image or exposure; or, of
# all parameters, of their standard deviations, whichever is larger.
_STILL = {"x": 0.003, "y": 0.003, "roll": 0.003, "gain": 3e-4, "level": 0.03, "mean": 3e-4}
_SETTLED = 0.3
_ROUGH = 4.0  # times these suffice in a fit that is not the last one
# Fine pixels, of the prior of offsets that are left when a common one has been taken out: without,
# a scene that has no structure would leave them open.
_PRIOR_OFFSET = 3.0
_UNTOLD = 0.5  # fine pixels: an offset whose error is larger is not measured
_LEAST = 2e-3  # of the variance of a core: changes of a width that do not matter
# The same, from which on derivatives are made again.
_FAR = {"x": 0.2, "y": 0.2, "roll": 0.1, "gain": 0.05, "level": 5.0, "mean": 0.05}
# Of the variance of a core, by which the shape of point sources is not told: the fine grid hardly
# samples the optics at their shortest wavelengths, and the diffuse scene takes up what that leaves.
_FLOOR = 0.01
_FAR_WIDTH = 0.3  # widths of the prior
_TOLD = 3e-4  # transfer below which frequencies of a PSF that becomes narrower are not raised
_WORSE = 0.02  # relative rise of the misfit from which on fitted PSFs are not believed
_ALIKE = 0.01  # degree: exposures whose rolls differ by less roll together


@dataclass
class _Group:
    """Exposures or images that a parameter changes."""

    exposures: tuple = ()
    images: tuple = ()
    psf: int | None = None  # index of the set of pixels whose PSF it widens


class Adjustment:
    """
    Parameters of exposures and images, with their present values and errors.

    Parameters
    ----------
    inputs : Inputs
        Observations, which change with the parameters.
    settings : ExposureSettings
        What is to be fitted.
    sourced : bool
        Whether there are point sources.
    offset : array (exposure, 2) or (2,), optional
        Offsets of the exposures, fine pixels, that their pixels have been moved by already.

    Attributes
    ----------
    errors : dict of str to array
        By kind: "offset" (exposure, 2) in fine pixels, "roll" (exposure,) in degrees, "gain",
        "level", "image_gain", "image_level", and "width" (set of pixels, 3) in fine pixels squared.
    offsets, rolls, widths : array
        The values of three of them.
    position_errors : array (J, 2) or None
        Errors of the positions of the sources, fine pixels.
    elimination : Elimination or None
        That of the last fit.
    still : bool
        Whether the last fit came to rest.
    rescaled : float
        Largest relative change of the brightness of an exposure in it.
    """

    def __init__(self, inputs, settings, *, sourced, offset=(0.0, 0.0)):
        self.inputs, self.settings = inputs, settings
        views, pictures = shared(inputs.psfs), shared(inputs.image_psfs)
        self._sets = [*views, *pictures]
        self._given = [inputs.psfs[one[0]] for one in views]
        self._given += [inputs.image_psfs[one[0]] for one in pictures]
        self._views = len(views)
        # All PSFs share the width of the first one of the sharpest kind there is.
        self._reference = self._views if pictures else 0
        rows, columns = inputs.domain.inside
        self._middle = (columns.start + columns.stop - 1) / 2, (rows.start + rows.stop - 1) / 2
        self._half = (columns.stop - columns.start) / 2, (rows.stop - rows.start) / 2
        counts = len(inputs.exposures), len(inputs.images)
        shapes = {
            "offset": (counts[0], 2),
            "roll": counts[0],
            "gain": counts[0],
            "level": counts[0],
            "image_gain": counts[1],
            "image_level": counts[1],
            "width": (len(self._sets), 3),
        }
        self.errors = {name: np.zeros(shape) for name, shape in shapes.items()}
        self.offsets, self.rolls = np.zeros(shapes["offset"]), np.zeros(shapes["roll"])
        self._begin = np.broadcast_to(np.asarray(offset, float), shapes["offset"])
        self.offsets += self._begin
        self.widths = np.zeros(shapes["width"])
        self.still, self.rescaled, self.elimination = True, 0.0, None
        self._start, self.position_errors = None, None
        self._parameters, self._groups = [], []
        self._choose(sourced)
        self._changes = np.zeros(len(self._parameters))

    def __len__(self):
        return len(self._parameters)

    @property
    def farthest(self):
        """By how much an exposure was moved at most, at a corner of the product, fine pixels."""
        half = np.hypot(*self._half)
        moved = np.hypot(*(self.offsets - self._begin).T) + half * np.abs(np.radians(self.rolls))
        return float(moved.max())

    def width_of(self, kind, *, errors=False):
        """
        Widths of the PSFs.

        Parameters
        ----------
        kind : {"exposures", "images"}
            Whose.
        errors : bool, optional
            Their errors instead.

        Returns
        -------
        array (n, 3)
            One of each observation, fine pixels squared.
        """
        first = kind == "exposures"
        sets = self._sets[: self._views] if first else self._sets[self._views :]
        widths = self.errors["width"] if errors else self.widths
        widths = widths[: self._views] if first else widths[self._views :]
        found = np.zeros((sum(map(len, sets)), 3))
        for members, one in zip(sets, widths, strict=True):
            found[members] = one
        return found

    def _add(self, kind, places, *, width=np.inf, least=-np.inf, floor=0.0, **group):
        self._parameters.append(Parameter(kind, tuple(places), width, least, floor))
        self._groups.append(_Group(**group))

    def _choose(self, sourced):
        """List what is to be fitted."""
        settings, inputs = self.settings, self.inputs
        place = {}  # of every exposure: set of pixels, number in it
        for d, members in enumerate(self._sets[: self._views]):
            place |= {index: (d, number) for number, index in enumerate(members)}
        # Without an image nothing tells where the first exposure itself points.
        first = 0 if inputs.images else 1
        if settings.offsets == "fitted":
            for index in range(first, len(inputs.exposures)):
                for kind in "xy":
                    self._add(kind, [place[index]], width=_PRIOR_OFFSET, exposures=(index,))
        if settings.rolls == "fitted":
            for members in self._visits()[first:]:
                self._add("roll", [place[index] for index in members], exposures=members)
        if settings.gains == "fitted":
            self._choose_light("level")
        if settings.psf_fit == "width":
            self._choose_widths(sourced)

    def _choose_light(self, kind):
        """Add factors or levels of all images, and of all exposures but the first."""
        for d, members in enumerate(self._sets):
            of = "exposures" if d < self._views else "images"
            for number, index in enumerate(members):
                if index or of == "images":
                    self._add(kind, [(d, number)], **{of: (index,)})

    def _choose_factors(self):
        """Add factors, and the mean spectrum of the scene, which follows factors and levels.

        It was fitted without factors, and would hold them. A scene that is too smooth yet would
        make all but the first exposure look brighter than it: factors are for the last fit.
        """
        before = len(self._parameters)
        self._choose_light("gain")
        if len(self._parameters) > before:
            everywhere = [(d, None) for d in range(len(self._sets))]
            for kind in ("level", "mean"):
                self._add(kind, everywhere)
        self._changes = np.append(self._changes, np.zeros(len(self._parameters) - before))

    def _choose_widths(self, sourced):
        cores = [core_variance(one.data[len(one.data) // 2]) for one in self._given]
        priors = [PRIOR_CUBE] * self._views + [PRIOR_IMAGE] * (len(cores) - self._views)
        if sourced:
            core, prior = cores[self._reference], priors[self._reference]
            for name in WIDTHS:
                least = -np.inf if name == "xy" else -NARROWEST * min(cores)
                self._add(name, (), width=prior * core, least=least, floor=_FLOOR * core)
        for d, (core, prior) in enumerate(zip(cores, priors, strict=True)):
            for name in WIDTHS:
                least = -np.inf if name == "xy" else -NARROWEST * core
                if d != self._reference:
                    self._add(name, [(d, None)], width=prior * core, least=least, psf=d)

    def _visits(self):
        """Exposures that roll together, those of one attitude of the telescope."""
        found = {}
        for index, one in enumerate(self.inputs.exposures):
            angle = None if one.pa_v3 is None else round(one.pa_v3 / _ALIKE)
            found.setdefault(angle, []).append(index)
        return [tuple(one) for one in found.values()]

    def fit(self, problem, groups, part, *, fine=False):
        """
        Fit the parameters and positions of sources; the inputs change accordingly.

        Parameters
        ----------
        problem : SceneProblem
            Problem of a part of the pixels.
        groups : array (group, 1, k)
            Its solution.
        part : float
            Which part of the pixels of the exposures it has.
        fine : bool, optional
            Whether the parameters are the last ones, and the scene is to be solved for accordingly.

        Returns
        -------
        problem : SceneProblem
            The problem at the new parameters.
        groups : array (group, 1, k)
            Its solution.
        """
        settings, last, stale = self.settings, 0.0, True
        if (
            fine
            and settings.gains == "fitted"
            and not any(one.kind == "gain" for one in self._parameters)
        ):
            self._choose_factors()
        fitting = settings.positions == "fitted" and problem.prior.sources is not None
        if fitting and self._start is None:
            self._start = problem.prior.positions.copy()
        accuracy = {
            "tolerance": settings.tolerance * (_FINER if fine else 1.0),
            "max_iterations": min(_MORE if fine else _ITERATIONS, settings.max_iterations),
        }
        if fine:
            groups = problem.solve(start=groups, **accuracy).solution
        before, gains = _misfit(problem, groups), self.inputs.exposure_gains.copy()
        for number in range(_MOVES if fine else _ROUGH_MOVES):
            positions = None if problem.prior.sources is None else problem.prior.positions
            farthest = 0.0
            if fitting:
                moved = fit_sources(problem, groups, start=self._start)
                positions, self.position_errors = moved.positions, moved.errors
                farthest = moved.largest
            if self._parameters:
                if stale:
                    self.elimination = Elimination(
                        problem,
                        groups,
                        self._parameters,
                        self._middle,
                        precision=_PRECISE if fine else _COARSE,
                    )
                step = self.elimination.step(problem, groups, self._changes)
                # Halve steps that alternate.
                step, last = np.where(step * last < 0, step / 2, step), step
                groups = self.elimination.moved(problem, groups, step)
                self._take(step)
                problem = self._posed(problem, part, positions, self._spectra(problem, step))
                largest, far = self._sizes(step, problem)
            else:
                largest, far = 0.0, 0.0
                problem = SceneProblem(
                    problem.grid, problem.spectra, problem.data, problem.mu, positions
                )
            groups = problem.solve(start=groups, **accuracy).solution
            if settings.outlier_sigma is not None:
                problem.reject(groups, max(_FIRST, settings.outlier_sigma))
            largest = max(largest, farthest)
            log.info("Pointing, light and PSFs: step %d, %.1f times the last one", number, largest)
            if largest < (1 if fine else _ROUGH):
                break
            stale = far > 1
        self.still = largest < 1
        self.rescaled = float(np.abs(self.inputs.exposure_gains / gains - 1).max())
        if self._doubtful(problem, groups, before):
            warn(
                log, "PSFs of other widths do not agree better with the data: those given are used"
            )
            self._believe()
            posed = self._posed(problem, part, positions, problem.spectra)
            return self.fit(posed, groups, part, fine=fine)
        return problem, groups

    def keep_told(self):
        """
        Go back to the coordinates of exposures whose offsets the scene does not tell.

        Returns
        -------
        bool
            Whether there are any.
        """
        untold = np.flatnonzero(self.errors["offset"].max(axis=1) > _UNTOLD)
        if not len(untold):
            return False
        text = "The scene does not tell the offsets of %d exposures: their coordinates are believed"
        warn(log, text, len(untold))
        for index in untold:
            self.inputs.placed[index] = self.inputs.domain.place(
                self.inputs.exposures[index], self.inputs.axis, self._begin[index]
            )
            self.rolls[index] = self.errors["roll"][index] = 0.0
        self.offsets[untold], self.errors["offset"][untold] = self._begin[untold], 0.0
        self._keep(
            [
                not (one.kind in ("x", "y", "roll") and set(group.exposures) & set(untold))
                for one, group in zip(self._parameters, self._groups, strict=True)
            ]
        )
        return True

    def _keep(self, chosen):
        """Fit only some of the parameters from now on."""
        kept = np.flatnonzero(chosen)
        self._parameters = [self._parameters[p] for p in kept]
        self._groups = [self._groups[p] for p in kept]
        self._changes, self.elimination = self._changes[kept], None

    def _believe(self):
        """Go back to the PSFs that were given."""
        self._keep([one.kind not in WIDTHS for one in self._parameters])
        self._use(self._given)
        self.widths[:] = 0.0
        self.errors["width"][:] = 0.0

    def _sizes(self, step, problem):
        """Largest change in units of the last one's limit, and of that of the derivatives."""
        largest = far = 0.0
        errors = self.elimination.errors
        for one, change, error in zip(self._parameters, step, errors, strict=True):
            if one.kind in WIDTHS:
                limit = max(_SETTLED * error, _LEAST * one.width)
                beyond = _FAR_WIDTH * one.width
            else:
                unit = 1.0
                if one.kind == "level":
                    unit = float(np.median(problem.data[one.places[0][0]].error))
                limit = max(_SETTLED * error, _STILL[one.kind] * unit)
                beyond = _FAR[one.kind] * unit
            largest = max(largest, abs(change) / limit)
            far = max(far, abs(change) / beyond)
        return largest, far

    def _take(self, step):
        """Change inputs by a step."""
        inputs, errors = self.inputs, self.elimination.errors
        for one, group, change, error in zip(
            self._parameters, self._groups, step, errors, strict=True
        ):
            for index in group.exposures:
                self._take_exposure(one.kind, index, change, error)
            for index in group.images:
                if one.kind == "gain":
                    inputs.gains[index] *= 1 + change
                    self.errors["image_gain"][index] = error * inputs.gains[index]
                else:
                    inputs.levels[index] += inputs.gains[index] * change
                    self.errors["image_level"][index] = error * inputs.gains[index]
        self._changes = self._changes + step
        if self.settings.psf_fit == "width":
            self._widen()

    def _take_exposure(self, kind, index, change, error):
        inputs = self.inputs
        if kind == "gain":
            inputs.exposure_gains[index] *= 1 + change
            self.errors["gain"][index] = error * inputs.exposure_gains[index]
        elif kind == "level":
            inputs.exposure_levels[index] += inputs.exposure_gains[index] * change
            self.errors["level"][index] = error * inputs.exposure_gains[index]
        elif kind == "roll":
            placed = inputs.placed[index]
            angle = np.radians(change)
            x, y = placed.x - self._middle[0], placed.y - self._middle[1]
            inputs.placed[index] = replace(
                placed,
                x=self._middle[0] + np.cos(angle) * x - np.sin(angle) * y,
                y=self._middle[1] + np.sin(angle) * x + np.cos(angle) * y,
            )
            self.rolls[index] += change
            self.errors["roll"][index] = error
        else:
            axis = "xy".index(kind)
            self.offsets[index, axis] += change
            self.errors["offset"][index, axis] = error
            placed = inputs.placed[index]
            moved = getattr(placed, kind) + change
            inputs.placed[index] = replace(placed, **{kind: moved})

    def _widen(self):
        """PSFs of the present widths."""
        wide = [
            (p, group.psf)
            for p, (one, group) in enumerate(zip(self._parameters, self._groups, strict=True))
            if one.kind in WIDTHS
        ]
        if not wide:
            return
        for d, axis in np.ndindex(self.widths.shape):
            along = np.zeros(len(self._parameters))
            for p, psf in wide:
                if self._parameters[p].kind == WIDTHS[axis] and psf in (None, d):
                    along[p] = 1.0
            self.widths[d, axis] = along @ self._changes
            variance = along @ self.elimination.covariance @ along
            self.errors["width"][d, axis] = np.sqrt(max(variance, 0.0))
        amounts = [dict(zip(WIDTHS, one, strict=True)) for one in self.widths]
        self._use(
            [
                replace(given, data=reshaped(given.data, amount, told=_TOLD))
                for given, amount in zip(self._given, amounts, strict=True)
            ]
        )

    def _use(self, psfs):
        """Give every observation the PSF of its set."""
        for d, (members, psf) in enumerate(zip(self._sets, psfs, strict=True)):
            target = self.inputs.psfs if d < self._views else self.inputs.image_psfs
            for index in members:
                target[index] = psf

    def _spectra(self, problem, step):
        """Spectra after a step: the mean follows."""
        spectra, mean = problem.spectra, problem.spectra.mean
        for one, change in zip(self._parameters, step, strict=True):
            if one.spectral:  # splines sum to one
                mean = mean + change * (1.0 if one.kind == "level" else spectra.mean)
        return spectra if mean is spectra.mean else replace(spectra, mean=mean)

    def _posed(self, problem, part, positions, spectra):
        """Problem at the present parameters."""
        data = data_of(self.inputs, part)
        for one, old in zip(data, problem.data, strict=True):
            one.rejected, one.scales = old.rejected, old.scales
        return SceneProblem(problem.grid, spectra, data, problem.mu, positions)

    def _doubtful(self, problem, groups, before):
        """Whether PSFs of other widths agree worse with the data than those given."""
        if not self.widths.any():
            return False
        if _misfit(problem, groups) > (1 + _WORSE) * before:
            return True
        return not all(sound(one.data) for one in (*self.inputs.psfs, *self.inputs.image_psfs))


def _misfit(problem, groups):
    """Mean square of the normalised residuals; those of outliers count as these."""
    total = count = 0.0
    for one, residuals in zip(problem.data, problem.residuals(groups), strict=True):
        total += np.sum(np.minimum(one.normalised(residuals) ** 2, _FIRST**2), dtype=float)
        count += one.operator.size
    return total / count
