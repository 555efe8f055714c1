"""The points of a grid, in a fixed order: the cross product of every parameter's values."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

from platform_ctl.tuning.experiment import Parameter


def grid_values(parameter: Parameter) -> list[str]:
    """Values of one axis: the list, or min, min + step … not beyond max (an int's step is 1)."""
    space = parameter.feasible_space
    if not parameter.is_number:
        return list(space.list)
    if parameter.parameter_type == "int":
        return [str(v) for v in range(int(space.min), int(space.max) + 1, int(space.step or 1))]
    return [repr(stepped(parameter, i)) for i in range(steps(parameter) + 1)]


def steps(parameter: Parameter) -> int:
    """How many whole steps fit between min and max, allowing for binary fractions."""
    space = parameter.feasible_space
    return math.floor((float(space.max) - float(space.min)) / float(space.step) + 1e-9)


def stepped(parameter: Parameter, index: int) -> float:
    """min + index * step without the dust of binary fractions."""
    space = parameter.feasible_space
    return float(f"{float(space.min) + index * float(space.step):.12g}")


def grid_size(parameters: Sequence[Parameter]) -> int:
    return math.prod(len(grid_values(p)) for p in parameters)


def grid_points(parameters: Sequence[Parameter], seed: int) -> list[dict[str, str]]:
    """Every point once, shuffled by ``seed`` as Katib's grid service visits them in no order."""
    names = [p.name for p in parameters]
    points = [
        dict(zip(names, values, strict=True))
        for values in itertools.product(*(grid_values(p) for p in parameters))
    ]
    random.Random(seed).shuffle(points)
    return points
