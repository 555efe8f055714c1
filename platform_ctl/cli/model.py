"""``platform-ctl model``: registered models, their provenance, and what they forecast."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.group import Group
from platform_ctl.cli.printing import print_document, print_line

if TYPE_CHECKING:
    from platform_ctl.evidence.reproduce import Comparison
    from platform_ctl.evidence.verify import Verification
    from platform_ctl.models.model import ModelVersion, RegisteredModel
    from platform_ctl.models.port import Registry
    from platform_ctl.recipe.recipe import Recipe
    from platform_ctl.runs.record import Run
    from platform_ctl.settings import Settings

_NO_MODELS = "no models yet: platform-ctl pipeline list"


@click.group(cls=Group, help="List, show and use registered models.")
def command() -> None:
    pass


@command.command("list")
@render.output_option
@click.pass_context
def list_(ctx: click.Context, output: str) -> None:
    """List the registered models with their versions by stage."""
    from platform_ctl import targets
    from platform_ctl.models.model import STAGES

    settings = load_settings(ctx)
    registry, recipes = targets.registry(settings), targets.recipes(settings)
    models = registry.models()
    if output == "json":
        render.print_json([_model_json(m, recipes) for m in models])
        return
    rows = [
        [m.name, len(m.versions), *(_staged(m, stage, recipes) for stage in STAGES)] for m in models
    ]
    columns = ["model", "versions #", *(s.capitalize() for s in STAGES)]
    render.print_table(columns, rows, empty=_NO_MODELS)
    _warn_of_another_registry(settings)
    for model in models:
        _warn_of_drift(registry.history(), model)


@command.command()
@click.argument("model")
@click.option("--history", is_flag=True, help="Every alias move: who, when, why, from, to.")
@render.output_option
@click.pass_context
def show(ctx: click.Context, model: str, history: bool, output: str) -> None:
    """Show MODEL: NAME (all versions), NAME@alias or NAME/version (one, with provenance)."""
    from platform_ctl import targets
    from platform_ctl.models.model import find_model, find_version, parse_reference

    settings = load_settings(ctx)
    registry, recipes = targets.registry(settings), targets.recipes(settings)
    models = registry.models()
    name, alias, version = parse_reference(model)
    registered = find_model(models, name)
    if history:
        _history(registry, registered, output)
    elif alias or version:
        _show_version(find_version(models, model), recipes, output)
    else:
        _show_model(registered, recipes, output)
    _warn_of_another_registry(settings)
    _warn_of_drift(registry.history(), registered)


def _warn_of_another_registry(settings: Settings) -> None:
    from platform_ctl import targets

    changed = targets.registry_changed(settings)
    if changed:
        print_line(f"warning: {changed}", err=True)


@command.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why; kept in the history.")
@render.output_option
@click.pass_context
def restore(ctx: click.Context, name: str, reason: str, output: str) -> None:
    """Put the aliases of NAME that were moved or deleted in MLflow back where the platform put
    them. The moves, theirs and this one, are in the history."""
    from platform_ctl import targets
    from platform_ctl.doctor.restore_aliases import restore

    registry = targets.registry(load_settings(ctx))
    moved = restore(registry, name, actor=targets.local_user(), reason=reason)
    if output == "json":
        render.print_json([{"alias": a, "to": to, "found_at": at} for a, to, at in moved])
        return
    rows = [[alias, outside or "-", recorded or "-"] for alias, recorded, outside in moved]
    empty = f"every alias of {name} is where the platform put it"
    render.print_table(["alias", "found at", "put back to"], rows, empty=empty)


@command.command()
@click.argument("model")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "csv"]),
    default="text",
    show_default=True,
    help="json, csv: for programs.",
)
@click.pass_context
def predict(ctx: click.Context, model: str, output: str) -> None:
    """Print MODEL's (NAME, NAME@alias or NAME/version) predictions for the newest rows.

    NAME alone means production, else staging, else the newest version.
    """
    from platform_ctl import targets
    from platform_ctl.models.model import find_version
    from platform_ctl.models.predict import forecast

    settings = load_settings(ctx)
    registry = targets.registry(settings)
    version = find_version(registry.models(), model)
    recipe = targets.recipe_of(settings, version)
    data = targets.data_access(settings)
    records = forecast(registry, recipe, version, data, targets.load_model)
    if output == "json":
        render.print_json({"model": str(version), "title": recipe.title, "predictions": records})
    elif output == "csv":
        _print_csv(records)
    else:
        print_line(f"{recipe.title}: {version} ({version.stage})", err=True)
        render.print_records(records, empty="-")


@command.command()
@click.argument("model")
@render.output_option
@click.pass_context
def verify(ctx: click.Context, model: str, output: str) -> None:
    """Check MODEL (NAME/version or NAME@alias) and its evidence pack, offline.

    MODEL may also be the file of a pack (….tar, with its .sha256 beside it):
    then no home, registry or network is needed. Leaves with 1 when something is
    not as it was; what is wrong is named.
    """
    from platform_ctl.evidence.verify import verify_file

    report = verify_file(Path(model)) if model.endswith(".tar") else _verify_version(ctx, model)
    if output == "json":
        render.print_json(report)
    else:
        for word, sentences in (
            ("checked", report.checked),
            ("absent", report.absent),
            ("WRONG", report.problems),
        ):
            for sentence in sentences:
                print_line(f"{word:<8} {sentence}")
        state = "changed since it was registered" if report.problems else "as it was registered"
        print_line(f"{report.model}: {state}")
    if report.problems:
        ctx.exit(1)


def _verify_version(ctx: click.Context, model: str) -> Verification:
    from platform_ctl import targets
    from platform_ctl.evidence.verify import verify_version
    from platform_ctl.models.model import find_version

    settings = load_settings(ctx)
    registry = targets.registry(settings)
    version = find_version(registry.models(), model)
    return verify_version(registry, version, targets.evidence_dir(settings))


@command.command()
@click.argument("model")
@render.output_option
@click.pass_context
def why(ctx: click.Context, model: str, output: str) -> None:
    """Explain why MODEL is, or is not, in production: each link from data to service.

    NAME@alias or NAME/version walks the run that made that version. Exit code 1
    when a link is broken.
    """
    from platform_ctl import targets
    from platform_ctl.cli import diagnosis
    from platform_ctl.explain.why_facts import why_model

    diagnosis.finish(ctx, why_model(targets.looking(load_settings(ctx)), model), output)


@command.command()
@click.argument("model")
@click.option("--search", is_flag=True, help="Repeat the hyperparameter search too.")
@click.option(
    "--tolerance",
    default=0.01,
    show_default=True,
    help="Largest relative difference of a metric that still counts as reproduced.",
)
@render.output_option
@click.pass_context
def reproduce(ctx: click.Context, model: str, search: bool, tolerance: float, output: str) -> None:
    """Train MODEL (NAME/version or NAME@alias) again from its evidence, and compare.

    A run of its own, from the pinned data snapshot with the recorded parameters
    and seed, up to the evaluation: nothing is registered, nobody is asked.
    Leaves with 1 when it did not come close enough.
    """
    import tempfile

    from platform_ctl import targets
    from platform_ctl.cli.pipeline import finish
    from platform_ctl.cli.progress import ProgressDisplay
    from platform_ctl.evidence.reproduce import compare, read_pack, repeat
    from platform_ctl.evidence.write import pack_file
    from platform_ctl.models.model import find_version
    from platform_ctl.runs.record import RunRequest, RunState

    settings = load_settings(ctx)
    version = find_version(targets.registry(settings).models(), model)
    pack = pack_file(targets.evidence_dir(settings), version)
    files = read_pack(pack if pack.is_file() else targets.write_evidence(settings, version))

    def execute(request: RunRequest) -> Run:
        with ProgressDisplay() as progress:
            return targets.orchestrator(settings).run(request, progress)

    with tempfile.TemporaryDirectory() as folder:
        run = repeat(files, version, execute, Path(folder), repeat_search=search)
    if run.state is not RunState.SUCCEEDED:
        finish(ctx, run, output)
    comparison = compare(
        files, version, run, targets.provenance(settings), targets.artifacts(settings)
    )
    close = comparison.same_model or comparison.largest_difference <= tolerance
    if output == "json":
        render.print_json({**vars(comparison), "reproduced": close})
    else:
        _print_comparison(comparison)
    if not close:
        ctx.exit(1)


def _print_comparison(comparison: Comparison) -> None:
    rows = [[n, f"{then:.6g}", f"{now:.6g}"] for n, (then, now) in comparison.metrics.items()]
    render.print_table(["golden set", "then #", "now #"], rows)
    for sentence in comparison.changed:
        print_line(f"changed  {sentence}")
    weights = "the same weights, byte for byte" if comparison.same_model else "other weights"
    apart = f"metrics at most {comparison.largest_difference:.3%} apart"
    print_line(f"{comparison.model}: {weights}; {apart} (run {comparison.run_id[:8]})")


def _print_csv(records: list[dict[str, Any]]) -> None:
    import csv
    import io

    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(records[0]) if records else [])
    writer.writeheader()
    writer.writerows({k: _iso(v) for k, v in r.items()} for r in records)
    print_document(text.getvalue())


def _iso(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _staged(model: RegisteredModel, stage: str, recipes: Mapping[str, Recipe]) -> str:
    """The version of a stage with its loss: ``2 (logloss 1.03)``."""
    from platform_ctl.models.figures import figures

    version = model.version(model.aliases.get(stage, ""))
    if version is None:
        return "-"
    loss = figures(version, recipes).model
    return f"{version.version} ({loss})" if loss else version.version


def _show_model(model: RegisteredModel, recipes: Mapping[str, Recipe], output: str) -> None:
    if output == "json":
        render.print_json(_model_json(model, recipes))
        return
    from platform_ctl.models.figures import figures
    from platform_ctl.models.model import SNAPSHOT_TAG, VERDICT_TAG

    rows = []
    for v in model.versions:
        judged = figures(v, recipes)
        baseline = f"{judged.baseline.value:.4g} {judged.baseline_name}" if judged.baseline else "-"
        rows.append(
            [
                v.version,
                v.stage,
                render.minute(v.created_at),
                str(judged.model or "-"),
                baseline,
                f"{judged.champion.value:.4g}" if judged.champion else "-",
                v.tags.get(VERDICT_TAG),
                v.tags.get("run_id", "")[:8],
                v.tags.get(SNAPSHOT_TAG),
            ]
        )
    columns = ["version", "stage", "registered (UTC)", "loss", "best baseline ?", "champion ? #"]
    columns += ["gate ?", "run", "data snapshot ?"]
    print_line(model.name)
    render.print_table(columns, rows, empty="no versions left")


def _show_version(version: ModelVersion, recipes: Mapping[str, Recipe], output: str) -> None:
    if output == "json":
        render.print_json(_version_json(version, recipes))
        return
    from platform_ctl.models.figures import figures

    judged = figures(version, recipes)
    print_line(f"{version}  ({version.stage})")
    compared = [
        (judged.baseline_name, judged.baseline),
        ("the champion of that time", judged.champion),
    ]
    beside = ", ".join(f"{name} {one.value:.4g}" for name, one in compared if one)
    if judged.model:
        print_line(
            f"{judged.model} on its golden set" + (f"; beside it: {beside}" if beside else "")
        )
    facts = {
        "registered": render.moment(version.created_at),
        "aliases": ", ".join(version.aliases) or "-",
        "mlflow run": version.mlflow_run_id,
        "source": version.source,
        **version.tags,
    }
    render.print_table(["what", "value …"], sorted(facts.items()))


def _history(registry: Registry, model: RegisteredModel, output: str) -> None:
    """The recorded moves; leaves with EvidenceMismatch when the chain is broken."""
    from platform_ctl.errors import EvidenceMismatch
    from platform_ctl.models.model import broken_link

    moves = registry.history()
    mine = [m for m in moves if m.model == model.name]
    if output == "json":
        render.print_json(mine)
    else:
        rows = [
            [
                render.moment(m.at),
                m.alias,
                m.from_version or "-",
                m.to_version or "-",
                m.actor,
                m.reason,
            ]
            for m in mine
        ]
        columns = ["when", "alias", "from", "to", "who", "why …"]
        render.print_table(columns, rows, empty="no alias of this model has been moved")
    broken = broken_link(moves)
    if broken:
        raise EvidenceMismatch(
            f"the history was altered: line {broken.seq} ({broken.alias} -> {broken.to_version}) "
            "does not follow from the line before",
            where="table alias_history of the home's platform.db",
            fix=f"platform-ctl model show {model.name}",
        )


def _warn_of_drift(history: Any, model: RegisteredModel) -> None:
    """Say so on stderr when an alias is not where the platform put it."""
    from platform_ctl.doctor.restore_aliases import fix_of, sentence
    from platform_ctl.models.model import unrecorded_moves

    moved = unrecorded_moves(history, model.name, model.aliases)
    for one in moved:
        print_line(f"warning: {sentence(model.name, one)}", err=True)
    if moved:
        print_line(f"to put it back: {fix_of(model.name)}", err=True)


def _model_json(model: RegisteredModel, recipes: Mapping[str, Recipe]) -> dict[str, Any]:
    return {
        "name": model.name,
        "aliases": model.aliases,
        "versions": [_version_json(v, recipes) for v in model.versions],
    }


def _version_json(version: ModelVersion, recipes: Mapping[str, Recipe]) -> dict[str, Any]:
    from platform_ctl.models.figures import figures

    loss = figures(version, recipes).model
    return {
        "name": version.name,
        "version": version.version,
        "stage": version.stage,
        "aliases": version.aliases,
        "digest": version.digest,
        "created_at": version.created_at,
        "mlflow_run_id": version.mlflow_run_id,
        "source": version.source,
        "loss": loss.as_dict() if loss else None,
        "metrics": dict(version.metrics),
        "tags": dict(version.tags),
    }
