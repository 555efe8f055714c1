"""Katib parameters as Optuna distributions, and back to the text that a trial gets.

What ``distribution`` means depends on Katib's service behind the algorithm:
hyperopt (tpe, random) honours all four, Optuna (multivariate-tpe) uniform and
logUniform, skopt (bayesianoptimization) makes every double log-uniform, and
goptuna (cmaes, sobol) makes everything uniform. Two deviations, both towards
what the file says: values stay inside [min, max] (hyperopt's normals leave it
one time in 370), and steps count from min (hyperopt rounds to multiples of the
step, which may lie outside).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from platform_ctl.tuning.experiment import Parameter
from platform_ctl.tuning.grid import stepped, steps

_STANDARD = NormalDist()
SIGMAS = 3.0
"""min and max lie this many standard deviations from the middle, as in Katib's hyperopt service."""


@dataclass(frozen=True)
class Axis:
    """One parameter: what the sampler draws from, and the way to and from text."""

    parameter: Parameter
    shape: str
    """uniform | logUniform | normal | logNormal | choice: the distribution in force."""

    @property
    def name(self) -> str:
        return self.parameter.name

    @property
    def distribution(self) -> CategoricalDistribution | FloatDistribution | IntDistribution:
        """What Optuna sees. Normal shapes are drawn as quantiles, stepped logs as plain logs."""
        p = self.parameter
        if self.shape == "choice":
            return CategoricalDistribution(p.feasible_space.list)
        if self.shape in ("normal", "logNormal"):
            return FloatDistribution(_STANDARD.cdf(-SIGMAS), _STANDARD.cdf(SIGMAS))
        if self.shape == "logUniform":
            if p.parameter_type == "int" and self._int_step == 1:
                return IntDistribution(int(self._low), int(self._high), log=True)
            return FloatDistribution(self._low, self._high, log=True)
        if p.parameter_type == "int":
            step = self._int_step
            low, high = int(self._low), int(self._high)
            return IntDistribution(low, low + (high - low) // step * step, step=step)
        if p.feasible_space.step:
            return IntDistribution(0, steps(p))
        return FloatDistribution(self._low, self._high)

    def decode(self, drawn: Any) -> str:
        """A drawn value -> the text that replaces the placeholder."""
        p = self.parameter
        if self.shape == "choice":
            return str(drawn)
        value = float(drawn)
        if self.shape in ("normal", "logNormal"):
            value = self._normal().inv_cdf(value)
            value = math.exp(value) if self.shape == "logNormal" else value
        elif self.shape == "uniform" and p.parameter_type == "double" and p.feasible_space.step:
            return repr(stepped(p, int(drawn)))
        return self._snap(min(max(value, self._low), self._high))

    def encode(self, text: str) -> Any:
        """The value that the sampler would have drawn for ``text`` (up to rounding to a step)."""
        p = self.parameter
        if self.shape == "choice":
            return text
        value = float(text)
        if self.shape in ("normal", "logNormal"):
            value = math.log(value) if self.shape == "logNormal" else value
            drawn: float = self._normal().cdf(value)
            low, high = _STANDARD.cdf(-SIGMAS), _STANDARD.cdf(SIGMAS)
            return min(max(drawn, low), high)
        if self.shape == "uniform" and p.parameter_type == "double" and p.feasible_space.step:
            return round((value - self._low) / float(p.feasible_space.step))
        return int(value) if isinstance(self.distribution, IntDistribution) else value

    def contains(self, text: str) -> bool:
        """Whether ``text`` is a value of this parameter (for a warm start)."""
        if self.shape == "choice":
            return text in self.parameter.feasible_space.list
        try:
            return self._low <= float(text) <= self._high
        except ValueError:
            return False

    def at(self, quantile: float) -> str:
        """The value at a point of the unit interval (low-discrepancy sequences)."""
        p = self.parameter
        if self.shape == "choice":
            choices = p.feasible_space.list
            return choices[min(int(quantile * len(choices)), len(choices) - 1)]
        distribution = self.distribution
        if isinstance(distribution, IntDistribution):
            count = (distribution.high - distribution.low) // distribution.step + 1
            index = min(int(quantile * count), count - 1)
            return self.decode(distribution.low + index * distribution.step)
        assert isinstance(distribution, FloatDistribution)  # no choice: see above
        return self.decode(distribution.low + quantile * (distribution.high - distribution.low))

    def _snap(self, value: float) -> str:
        p = self.parameter
        if p.parameter_type == "int":
            step = self._int_step
            low, high = int(self._low), int(self._high)
            return str(low + min(round((value - low) / step), (high - low) // step) * step)
        if p.feasible_space.step:
            index = round((value - self._low) / float(p.feasible_space.step))
            return repr(stepped(p, min(index, steps(p))))
        return repr(value)

    def _normal(self) -> NormalDist:
        low, high = self._low, self._high
        if self.shape == "logNormal":
            low, high = math.log(low), math.log(high)
        return NormalDist((low + high) / 2, (high - low) / (2 * SIGMAS))

    @property
    def _low(self) -> float:
        return float(self.parameter.feasible_space.min)

    @property
    def _high(self) -> float:
        return float(self.parameter.feasible_space.max)

    @property
    def _int_step(self) -> int:
        return int(self.parameter.feasible_space.step or 1)


def axis(parameter: Parameter, algorithm: str) -> Axis:
    """The axis that Katib's service for ``algorithm`` would search."""
    if not parameter.is_number:
        return Axis(parameter, "choice")
    if algorithm == "bayesianoptimization":
        return Axis(parameter, "logUniform" if parameter.parameter_type == "double" else "uniform")
    if algorithm in ("cmaes", "sobol"):
        return Axis(parameter, "uniform")
    return Axis(parameter, parameter.feasible_space.distribution or "uniform")
