"""Retrieval and text: their metrics pass gate and evaluation without a line of the platform."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from platform_ctl.recipe import gate, scores
from platform_ctl.recipe.recipe import GateThresholds, Loss
from platform_ctl.recipe.verdict import Verdict

QUERIES, DOCUMENTS, RELEVANT, K = 400, 30, 3, 5
THRESHOLDS = GateThresholds(
    3.0, min_gain_over_baseline=0.05, champion_margin=0.05, slice_ceiling={"short": 1.0}
)


def top(similarity: np.ndarray) -> np.ndarray:
    """The K best documents of each query (n, K)."""
    return np.argsort(-similarity, axis=1, kind="stable")[:, :K]


def recall_at_k(similarity: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    found = np.take_along_axis(relevant, top(similarity), axis=1)
    return found.sum(1) / np.minimum(relevant.sum(1), K)


def ndcg(similarity: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    discount = 1 / np.log2(np.arange(K) + 2)
    gain = np.take_along_axis(relevant, top(similarity), axis=1) @ discount
    return gain / discount[:RELEVANT].sum()


def retrieval(rng: np.random.Generator) -> tuple[scores.Scores, dict[str, dict[str, float]]]:
    """One row for each query; several queries of a person are a cluster."""
    order = rng.permuted(np.tile(np.arange(DOCUMENTS), (QUERIES, 1)), axis=1)
    relevant = (order < RELEVANT).astype(float)
    noise = rng.normal(size=(3, QUERIES, DOCUMENTS))
    ranked = {
        "candidate": relevant * 2 + noise[0],
        "words": relevant + noise[1],
        "random": noise[2],
    }
    losses = {name: 1 - recall_at_k(s, relevant) for name, s in ranked.items()}
    figures = {
        name: {"recall_at_5": float(recall_at_k(s, relevant).mean()),
               "ndcg_at_5": float(ndcg(s, relevant).mean())}
        for name, s in ranked.items()
    }  # fmt: skip
    queries = np.arange(QUERIES)
    found = scores.Scores(
        loss=Loss("miss_at_5", "1 - recall@5"),
        rows=np.char.add("query-", queries.astype(str)),
        candidate=losses.pop("candidate"),
        baselines=losses,
        clusters={"person": np.char.add("person-", (queries % 80).astype(str))},
        slices=np.where(queries % 3 == 0, "short", "long"),
    )
    return found, figures


def text(rng: np.random.Generator) -> tuple[scores.Scores, dict[str, dict[str, float]]]:
    """One row for each document: nats a token, clustered by the book that it is from."""
    hard = rng.gamma(4.0, 1.0, QUERIES)
    losses = {"candidate": hard * 0.6, "unigram": hard, "previous_word": hard * 0.9}
    figures = {name: {"perplexity": float(np.exp(v.mean()))} for name, v in losses.items()}
    documents = np.arange(QUERIES)
    found = scores.Scores(
        loss=Loss("cross_entropy", "cross entropy", "nats a token"),
        rows=np.char.add("document-", documents.astype(str)),
        candidate=losses.pop("candidate"),
        baselines=losses,
        clusters={"book": np.char.add("book-", (documents % 40).astype(str))},
    )
    return found, figures


def judged(folder: Path, found: scores.Scores, figures: dict[str, dict[str, float]]):
    """What an evaluate step writes, and what the gate says of it."""
    scores.write(
        folder,
        found,
        golden_digest="g",
        model_digest="m",
        champion_digest="",
        leak_check={"ok": True, "findings": []},
        metrics=figures,
        more={},
    )
    evaluation, errors = scores.read(folder)
    return evaluation, gate.decide(evaluation, errors, THRESHOLDS)


@pytest.mark.parametrize(
    ("shape", "best", "unit", "metric"),
    [(retrieval, "words", "", "ndcg_at_5"), (text, "previous_word", "nats a token", "perplexity")],
    ids=["retrieval", "text"],
)
def test_a_model_of_another_shape_is_judged_in_its_own_words(
    tmp_path: Path, shape, best, unit, metric
) -> None:
    found, figures = shape(np.random.default_rng(0))
    evaluation, decision = judged(tmp_path, found, figures)
    assert decision.verdict is Verdict.SUCCESSFUL, decision.reasons
    assert f"better than {best}" in " ".join(decision.reasons)
    assert evaluation["loss"]["unit"] == unit
    assert evaluation["metrics"][metric] == figures["candidate"][metric]
    assert evaluation["baselines"][best][metric] == figures[best][metric]


def test_a_retrieval_no_better_than_its_baseline_does_not_pass(tmp_path: Path) -> None:
    found, figures = retrieval(np.random.default_rng(0))
    same = dataclasses.replace(found, candidate=found.baselines["words"])
    _, decision = judged(tmp_path, same, figures | {"candidate": figures["words"]})
    assert decision.verdict is not Verdict.SUCCESSFUL
