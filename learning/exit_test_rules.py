"""The exit test's rules: what counts as built, and which sentences of a text the records bear out.

Nothing here gives a score. ``build`` and ``diagnose`` have a yes or a no;
``articulate`` checks facts, and leaves the rest to a reader with a rubric.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from platform_ctl.runs.cache.values import CacheDecision

WORDS = 600
WORDS_MARGIN = 100
MIN_FACTS = 6
"""Fewer cited facts are an essay about pipelines in general."""
UNCACHED = "BYPASS"
RUBRIC = (
    "Does it say at each step which pattern fires (idempotency, caching by content, lineage, "
    "a bound approval, a canary), and why there?",
    "Does it say where the flow can go wrong, and how one would notice?",
    "Does it tell a green run from a model in Production?",
    "Is there a mistake of the writer's own in it, with what it taught?",
    "Could somebody on call act on it?",
)
"""For a human reader, beside the facts."""


@dataclass(frozen=True)
class Checked:
    """One requirement: whether it holds, and the records that say so."""

    what: str
    holds: bool
    evidence: str = ""


# ---- build ---------------------------------------------------------------------


@dataclass(frozen=True)
class BuildRun:
    """What ``check build`` reads of one run of the learner's."""

    id: str
    decisions: Sequence[CacheDecision]


def check_features(before: Collection[str], now: Collection[str]) -> Checked:
    """A feature was added, and none was taken away."""
    added, gone = sorted(set(now) - set(before)), sorted(set(before) - set(now))
    evidence = f"added: {', '.join(added) or 'none'}" + (f"; gone: {', '.join(gone)}" * bool(gone))
    return Checked("the recipe has a new feature", bool(added) and not gone, evidence)


def check_first_run(run: BuildRun) -> Checked:
    """Everything that reads the new rows was executed: a hit would be a stale result."""
    hits = [d.task for d in run.decisions if d.decision == "HIT"]
    evidence = f"run {run.id[:8]}: " + (f"hits: {', '.join(hits)}" if hits else "no hit")
    return Checked("the first run with it used no result from before", not hits, evidence)


def check_rerun(first: BuildRun, again: BuildRun | None) -> Checked:
    """Repeating it hits wherever the first run stored something, and nowhere else."""
    what = "repeating the run hits where it should, and only there"
    if again is None:
        return Checked(what, False, "there is no second run with the same features yet")
    missed = [d.task for d in again.decisions if d.decision == "MISS"]
    effects = {d.task for d in first.decisions if d.decision == UNCACHED}
    wrong = [d.task for d in again.decisions if d.decision == "HIT" and d.task in effects]
    hits = [d.task for d in again.decisions if d.decision == "HIT"]
    evidence = f"run {again.id[:8]}: {len(hits)} hits"
    if missed:
        evidence += f"; missed: {', '.join(missed)}"
    if wrong:
        evidence += f"; has effects and was not executed: {', '.join(wrong)}"
    return Checked(what, bool(hits) and not missed and not wrong, evidence)


# ---- articulate ----------------------------------------------------------------


@dataclass(frozen=True)
class TextFacts:
    """What a text about one run can be held against."""

    id: str
    state: str
    tasks: Mapping[str, str]
    """Task name -> state."""
    verdicts: Mapping[str, str]


@dataclass(frozen=True)
class Claim:
    """One fact that a sentence states, and whether the records bear it out."""

    sentence: str
    fact: str
    true: bool


@dataclass(frozen=True)
class TextAssessment:
    """What the facts of a text are worth; the rubric is for a human."""

    words: int
    claims: tuple[Claim, ...]
    steps_missing: tuple[str, ...]
    checks: tuple[Checked, ...]

    @property
    def ok(self) -> bool:
        return all(c.holds for c in self.checks)


_STATES = {
    "cached": {"CACHED"},
    "cache hit": {"CACHED"},
    "hit": {"CACHED"},
    "from the cache": {"CACHED"},
    "executed": {"SUCCEEDED"},
    "succeeded": {"SUCCEEDED", "CACHED"},
    "ran": {"SUCCEEDED"},
    "skipped": {"SKIPPED", "NONE"},
    "failed": {"FAILED"},
}
_VERDICTS = ("successful", "failed", "inconclusive")
_RUN = re.compile(r"\brun `?([0-9a-f]{6,36})`?", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\s*\n")
_CODE = re.compile(r"```.*?```", re.DOTALL)


def read(text: str, runs: Sequence[TextFacts], steps: Sequence[str]) -> TextAssessment:
    """Hold each sentence against the run it cites, else against the one cited last.

    Understood are: a run's id (``run 1a2b3c4d``) with how it ended, a step in
    backquotes with ``cached``, ``executed``, ``skipped`` or ``failed``, and a step
    with its verdict (``the verdict of `gate` was successful``).
    """
    prose = _CODE.sub(" ", text)
    words = len(re.findall(r"[\w'-]+", prose))
    claims: list[Claim] = []
    cited: TextFacts | None = None
    for sentence in (" ".join(s.split()) for s in _SENTENCE.split(prose)):
        for prefix in _RUN.findall(sentence):
            cited = _find(runs, prefix)
            claims.append(Claim(sentence, f"there is a run {prefix}", cited is not None))
        if cited is not None:
            claims += _claims(sentence, cited)
    missing = tuple(s for s in steps if s.lower() not in prose.lower())
    true = sum(c.true for c in claims)
    checks = (
        Checked(
            f"{WORDS} words, give or take {WORDS_MARGIN}",
            abs(words - WORDS) <= WORDS_MARGIN,
            f"{words} words",
        ),
        Checked("every step is named", not missing, f"missing: {', '.join(missing) or 'none'}"),
        Checked(
            f"at least {MIN_FACTS} facts are cited", len(claims) >= MIN_FACTS, str(len(claims))
        ),
        Checked("the facts are so", true == len(claims), f"{true} of {len(claims)}"),
    )
    return TextAssessment(words, tuple(claims), missing, checks)


def _find(runs: Sequence[TextFacts], prefix: str) -> TextFacts | None:
    found = [r for r in runs if r.id.startswith(prefix.lower())]
    return found[0] if len(found) == 1 else None


def _claims(sentence: str, run: TextFacts) -> list[Claim]:
    """The facts of one sentence about ``run``; a sentence with two states states too much."""
    lower = sentence.lower()
    named = [t for t in re.findall(r"`([\w-]+)`", lower) if t in run.tasks]
    if "verdict" in lower:
        verdicts = [v for v in _VERDICTS if re.search(rf"\b{v}\b", lower)]
        return [
            Claim(sentence, f"{task} of {run.id[:8]}: verdict {v}", run.verdicts.get(task) == v)
            for task in named
            for v in verdicts[:1]
        ]
    states = [s for s in _STATES if re.search(rf"\b{s}\b", lower)]
    allowed = {frozenset(_STATES[s]) for s in states}
    if not named or len(allowed) != 1 or re.search(r"\b(not|never|no|would|could|if)\b", lower):
        return []
    (wanted,) = allowed
    return [
        Claim(sentence, f"{t} of {run.id[:8]}: {states[0]}", run.tasks.get(t, "NONE") in wanted)
        for t in named
    ]
