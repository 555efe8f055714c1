"""How often the gate gives each verdict when the truth is known.

Simulated golden sets (``tests/support/golden.py``): counts with a wandering
level, overdispersion and bursts; 12 weeks. Run: python -m benchmarks.gate_error_rates
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable

import numpy as np

from platform_ctl.recipe.gate import decide
from platform_ctl.recipe.recipe import GateThresholds
from platform_ctl.recipe.verdict import Verdict
from tests.support.golden import GoldenSet, evaluation

THRESHOLDS = GateThresholds(
    max_loss=1.5,
    min_gain_over_baseline=0.02,
    champion_margin=0.02,
    slice_ceiling={"small": 1.10, "bursty": 1.10, "steady": 1.10},
)
Forecasts = tuple[np.ndarray, np.ndarray | None]


def good(golden: GoldenSet, seed: int, by: float = 0.1) -> np.ndarray:
    """A model well ahead of the baselines; ``seed`` is one retraining."""
    return golden.improved(golden.forecast(1.0, seed=seed), by=by, seed=0)


def shuffled(golden: GoldenSet, seed: int) -> np.ndarray:
    prediction = golden.forecast(1.0)
    return np.random.default_rng(seed).permutation(prediction.flatten()).reshape(prediction.shape)


def other(golden: GoldenSet, seed: int) -> np.ndarray:
    """As good as ``good`` on other rows: a different model, not a retrained one."""
    return golden.improved(golden.forecast(1.0, seed=seed), by=0.1, seed=seed + 1)


TRUTHS: dict[str, Callable[[GoldenSet, int], Forecasts]] = {
    "15 % better than the baseline, first model": lambda g, s: (good(g, s), None),
    "10 % better than the baseline, first model": lambda g, s: (good(g, s, 0.05), None),
    "5 % better than the baseline, first model": lambda g, s: (g.forecast(1.0, seed=s), None),
    "retrained champion": lambda g, s: (good(g, s), good(g, s + 1000)),
    "10 % better than a retrained champion": lambda g, s: (
        good(g, s),
        g.forecast(1.0, seed=s + 1000),
    ),
    "different model, as good as the champion": lambda g, s: (other(g, s), good(g, s)),
    "forecasts 15 % too high": lambda g, s: (1.15 * good(g, s), good(g, s + 1000)),
    "forecasts 30 % too high": lambda g, s: (1.3 * good(g, s), good(g, s + 1000)),
    "the four-week mean itself": lambda g, s: (g.mean_4w(), None),
    "the last week itself": lambda g, s: (g.forecast(0.0), None),
    "shuffled predictions": lambda g, s: (shuffled(g, s), None),
    "a constant": lambda g, s: (np.full(g.label.shape, g.label.mean()), None),
}


def rates(forecasts: Callable[[GoldenSet, int], Forecasts], *, repos: int, sets: int) -> Counter:
    found: Counter = Counter()
    for seed in range(sets):
        golden = GoldenSet(seed, repos=repos)
        errors = golden.errors(*forecasts(golden, seed))
        found[decide(evaluation(errors), errors, THRESHOLDS).verdict] += 1
    return found


def flips(*, repos: int, sets: int, seeds: int = 20) -> Counter:
    """Over golden sets and qualities: which verdicts ``seeds`` retrainings got."""
    found: Counter = Counter()
    for seed in range(sets):
        golden = GoldenSet(seed, repos=repos)
        for skill in (1.0, 0.8, 0.6, 0.4):
            verdicts = set()
            for retraining in range(seeds):
                candidate = golden.forecast(skill, seed=retraining)
                errors = golden.errors(candidate, golden.forecast(1.0, seed=999))
                verdicts.add(decide(evaluation(errors), errors, THRESHOLDS).verdict)
            found[" and ".join(sorted(verdicts))] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=200, help="golden sets for each truth")
    asked = parser.parse_args()
    print("| truth | repositories | successful | inconclusive | failed |\n|---|---|---|---|---|")
    for name, forecasts in TRUTHS.items():
        for repos in (8, 12):
            found = rates(forecasts, repos=repos, sets=asked.sets)
            shares = [
                f"{found[v] / asked.sets:.1%}"
                for v in (Verdict.SUCCESSFUL, Verdict.INCONCLUSIVE, Verdict.FAILED)
            ]
            print(f"| {name} | {repos} | {' | '.join(shares)} |")
    print("\n20 retrainings of one model on one golden set got:")
    for verdicts, count in flips(repos=10, sets=max(10, asked.sets // 5)).most_common():
        print(f"  {verdicts}: {count}")


if __name__ == "__main__":
    main()
