"""Suggestions by Optuna's samplers, with the settings and defaults of Katib's services.

Suggestion ``n`` depends on the seed, on ``n`` and on what has finished, and on
nothing else: every draw gets its own generator. That is why a search that was
killed goes on with the trials it would have had (cmaes excepted: see ``_cmaes``).
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState as State

from platform_ctl.errors import UnsupportedAlgorithm
from platform_ctl.tuning.experiment import Experiment
from platform_ctl.tuning.grid import grid_points
from platform_ctl.tuning.local.space import Axis, axis

SamplerFor = Callable[[int, Mapping[str, Any]], BaseSampler]
"""Seed of one draw, best point recalled from elsewhere ({} when none) -> sampler."""


class Suggestions:
    """What to try next. ``ask`` and ``tell`` go by trial number."""

    def __init__(self, experiment: Experiment, seed: int) -> None:
        # Below ERROR it reports every study, and at every GP fit that greenlet would be faster.
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        algorithm = experiment.spec.algorithm.algorithm_name
        self._seed = seed
        self._axes = [axis(p, algorithm) for p in experiment.spec.parameters]
        self._space: dict[str, BaseDistribution] = {a.name: a.distribution for a in self._axes}
        self._fixed = _fixed_sequence(algorithm, experiment, self._axes, seed)
        self._sampler = None if self._fixed else _sampler(experiment)
        self._study = optuna.create_study(direction=experiment.spec.objective.type)
        self._numbers: dict[int, int] = {}
        self._best: tuple[float, Mapping[str, Any]] = (math.inf, {})

    def ask(self, number: int) -> dict[str, str] | None:
        """Parameters of trial ``number``; None when the algorithm has no more points."""
        if self._fixed is not None:
            return self._fixed(number)
        assert self._sampler is not None
        seed = random.Random(f"{self._seed}/{number}").getrandbits(32)
        self._study.sampler = self._sampler(seed, self._best[1])
        drawn = self._study.ask(fixed_distributions=self._space)
        self._numbers[number] = drawn.number
        return {a.name: a.decode(drawn.params[a.name]) for a in self._axes}

    def tell(self, number: int, value: float | None) -> None:
        """The score of trial ``number``; None for a trial without one."""
        if self._fixed is not None:
            return
        state = State.FAIL if value is None else State.COMPLETE
        self._study.tell(self._numbers.pop(number), value, state=state)

    def recall(self, parameters: Mapping[str, str], value: float | None) -> bool:
        """Add a trial from elsewhere (an earlier search, a killed one).

        False, and nothing added, when its parameters are not of this space.
        """
        if set(parameters) != set(self._space):
            return False
        if not all(a.contains(parameters[a.name]) for a in self._axes):
            return False
        number = self._add(parameters, State.FAIL if value is None else State.COMPLETE, value)
        if value is not None:
            loss = -value if self._study.direction is StudyDirection.MAXIMIZE else value
            point = self._study.get_trials(deepcopy=False)[number].params
            self._best = min(self._best, (loss, point), key=lambda best: best[0])
        return True

    def resume(self, number: int, parameters: Mapping[str, str]) -> None:
        """Trial ``number`` was suggested before and is being run again."""
        self._numbers[number] = self._add(parameters, State.RUNNING, None)

    def _add(self, parameters: Mapping[str, str], state: State, value: float | None) -> int:
        params = {a.name: a.encode(parameters[a.name]) for a in self._axes}
        self._study.add_trial(
            optuna.trial.create_trial(
                state=state, value=value, params=params, distributions=self._space
            )
        )
        return len(self._study.get_trials(deepcopy=False)) - 1


def _fixed_sequence(
    algorithm: str, experiment: Experiment, axes: Sequence[Axis], seed: int
) -> Callable[[int], dict[str, str] | None] | None:
    """Grid and sobol do not learn: their point ``n`` is known from the start."""
    if algorithm == "grid":
        points = grid_points(experiment.spec.parameters, seed)
        return lambda number: points[number] if number < len(points) else None
    if algorithm == "sobol":
        from scipy.stats import qmc

        def point(number: int) -> dict[str, str]:
            # Point 0 is the corner where everything is at its minimum: not worth a trial.
            sequence = qmc.Sobol(len(axes), scramble=False).fast_forward(number + 1)
            return {
                a.name: a.at(float(q)) for a, q in zip(axes, sequence.random(1)[0], strict=True)
            }

        return point
    return None


def _sampler(experiment: Experiment) -> SamplerFor:
    algorithm = experiment.spec.algorithm
    build = {
        "tpe": _tpe,
        "multivariate-tpe": _multivariate_tpe,
        "random": lambda settings, parallel: lambda seed, best: RandomSampler(seed=seed),
        "bayesianoptimization": _gaussian_process,
        "cmaes": _cmaes,
    }[algorithm.algorithm_name]
    return build(algorithm.settings, experiment.spec.parallel_trial_count)


def _tpe(settings: Mapping[str, str], parallel: int) -> SamplerFor:
    """Katib's tpe is hyperopt's: axes apart, gamma * sqrt(n) good trials (at most 25).

    Random draws only for the first batch, as Katib asks hyperopt.
    """
    gamma = float(settings.get("gamma", 0.25))
    arguments: dict[str, Any] = {
        "multivariate": False,
        "n_startup_trials": parallel,
        "n_ei_candidates": int(settings.get("n_EI_candidates", 24)),
        "gamma": lambda n: min(math.ceil(gamma * math.sqrt(n)), 25),
        "constant_liar": parallel > 1,
    }
    if "prior_weight" in settings:
        arguments["prior_weight"] = float(settings["prior_weight"])
    return lambda seed, best: _quiet_tpe(seed=seed, **arguments)


def _multivariate_tpe(settings: Mapping[str, str], parallel: int) -> SamplerFor:
    return lambda seed, best: _quiet_tpe(
        seed=seed,
        multivariate=True,
        n_startup_trials=int(settings.get("n_startup_trials", 10)),
        n_ei_candidates=int(settings.get("n_ei_candidates", 24)),
        constant_liar=True,
    )


def _quiet_tpe(**arguments: Any) -> TPESampler:
    # gamma and prior_weight are Katib settings; Optuna announces their removal in 6.0.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return TPESampler(**arguments)


def _gaussian_process(settings: Mapping[str, str], parallel: int) -> SamplerFor:
    """skopt's GP in Katib; Optuna's GP with expected improvement here."""
    startup = int(settings.get("n_initial_points", 10))
    return lambda seed, best: GPSampler(seed=seed, n_startup_trials=startup)


def _cmaes(settings: Mapping[str, str], parallel: int) -> SamplerFor:
    """Optuna's CMA-ES. Its own state is not in a journal: a search that goes on, or starts from
    an earlier one, begins a new population around the best point so far."""
    if settings.get("restart_strategy", "none").lower() != "none":
        raise UnsupportedAlgorithm(
            f"the local cmaes has no restart_strategy {settings['restart_strategy']}",
            where="spec.algorithm.algorithmSettings",
            fix="use restart_strategy none",
        )
    sigma = float(settings["sigma"]) if "sigma" in settings else None
    return lambda seed, best: _quiet_cmaes(best, seed=seed, sigma0=sigma, n_startup_trials=0)


def _quiet_cmaes(best: Mapping[str, Any], **arguments: Any) -> CmaEsSampler:
    # Optuna announces the removal of x0 in 6.0, and that it draws categories at random.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return CmaEsSampler(x0=dict(best) or None, warn_independent_sampling=False, **arguments)
