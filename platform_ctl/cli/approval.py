"""``platform-ctl approval``: a human's yes or no, bound to what was shown.

Nothing here asks a question: an answer is a command with a reason, so that no
default, no Enter key, no pipe and no timeout can ever mean yes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from platform_ctl.cli import promotions, render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.group import Group
from platform_ctl.cli.printing import print_line

if TYPE_CHECKING:
    from platform_ctl.approvals.decide import Answered
    from platform_ctl.approvals.request import Answer, ApprovalRequest
    from platform_ctl.runs.record import Run
    from platform_ctl.settings import Settings


@click.group(cls=Group, help="List, show and decide approval requests.")
def command() -> None:
    pass


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Also list decided requests.")
@render.output_option
@click.pass_context
def list_(ctx: click.Context, everything: bool, output: str) -> None:
    """List the requests that wait for an answer."""
    from platform_ctl import targets
    from platform_ctl.approvals.request import ApprovalState

    settings = load_settings(ctx)
    promotions.name_interrupted(settings)
    requests = targets.approvals_as_they_stand(settings)
    undelivered = targets.notifier(settings).undelivered()
    if undelivered:
        again = "platform-ctl doctor --repair sends them again"
        print_line(f"note: {undelivered} notifications wait for their endpoint; {again}", err=True)
    shown = [r for r in requests if everything or r.state is ApprovalState.PENDING]
    if output == "json":
        render.print_json(shown)
        return
    rows = [
        [
            r.id,
            r.reference,
            r.state,
            r.requested_by,
            render.minute(r.requested_at),
            render.minute(r.expires_at),
        ]
        for r in shown
    ]
    columns = ["request", "model", "state", "asked by ?", "asked (UTC)", "expires (UTC)"]
    render.print_table(columns, rows, empty="nothing waits for an approval")


@command.command()
@click.argument("request", default="latest")
@render.output_option
@click.pass_context
def show(ctx: click.Context, request: str, output: str) -> None:
    """Show the model of REQUEST (an id, a unique prefix, or latest) beside the champion.

    `latest` is the newest request. It is refused while a request of another model waits.
    """
    from platform_ctl import targets
    from platform_ctl.approvals.compare import compare, same_data
    from platform_ctl.approvals.decide import as_they_stand, subject_changes
    from platform_ctl.approvals.request import ApprovalState

    settings = load_settings(ctx)
    promotions.name_interrupted(settings)
    registry = targets.registry(settings)
    recipes, stored = targets.recipes(settings), targets.approvals(settings).get(request)
    changes = subject_changes(registry, recipes, stored)
    (current,) = as_they_stand(registry, recipes, [stored])
    comparison, note = compare(registry, current), same_data(registry, current)
    if output == "json":
        document = {"request": current, "changes": changes, "comparison": comparison, "note": note}
        render.print_json(document)
        return
    _print_request(current, changes)
    if note:
        print_line(f"note       {note}")
    rows = [[r.name, r.candidate, r.champion, r.baseline] for r in comparison]
    columns = ["golden set", f"version {current.version} #", "champion #", "best baseline #"]
    render.print_table(columns, rows, empty="the evaluation is gone")
    if current.state is ApprovalState.PENDING and not changes:
        print_line()
        print_line(f"yes:  platform-ctl approval approve {current.id} --reason 'why'")
        print_line(f"no:   platform-ctl approval reject {current.id} --reason 'why'")
    if current.state is ApprovalState.VOID:
        print_line()
        print_line(f"void; ask again: platform-ctl approval request {current.reference}")


def _print_request(request: ApprovalRequest, changes: list[str]) -> None:
    print_line(f"request    {request.id}  {request.state}")
    print_line(f"model      {request.reference}")
    print_line(f"asked      by {request.requested_by} at {render.moment(request.requested_at)}")
    print_line(f"expires    {render.moment(request.expires_at)} (no answer means no)")
    if request.approvals_needed > 1:
        print_line(f"needs      {request.approvals_needed} different people")
    for vote in request.votes:
        said = f"{vote.answer} by {vote.approver} at {render.moment(vote.at)}: {vote.reason}"
        print_line(f"answer     {said}")
    if request.reason and (not request.votes or request.state == "void"):
        print_line(f"reason     {request.reason}")
    subject = request.subject
    print_line(f"binds      model {subject.model}")
    print_line(f"           evaluation {subject.evaluation}")
    print_line(f"           data snapshot {subject.data_snapshot or '-'}")
    print_line(f"           canary plan {subject.canary_plan}")
    print_line(f"           champion {subject.champion or 'none'}")
    for change in changes:
        print_line(f"changed    {change}")


@command.command()
@click.argument("model")
@render.output_option
@click.pass_context
def request(ctx: click.Context, model: str, output: str) -> None:
    """Request an approval of MODEL: NAME/version or NAME@alias."""
    from platform_ctl import targets
    from platform_ctl.approvals.ask import request as ask
    from platform_ctl.approvals.request import ApprovalState
    from platform_ctl.models.model import find_version

    settings = load_settings(ctx)
    registry = targets.registry(settings)
    version = find_version(registry.models(), model)
    opened = ask(
        registry,
        targets.approvals(settings),
        recipe=targets.recipe_of(settings, version),
        version=version,
        requested_by=targets.actor(settings),
        settings=settings.approval,
        again=True,
        notifier=targets.notifier(settings),
    )
    if output == "json":
        render.print_json(opened)
        return
    print_line(f"request {opened.id} for {opened.reference} is {opened.state}")
    stands = opened.state is ApprovalState.APPROVED
    step = (
        f"mlship deploy {opened.reference}" if stands else f"platform-ctl approval show {opened.id}"
    )
    print_line(f"next: {step}", err=True)


def _answer_options(function: Any) -> Any:
    function = click.option(
        "--reason", required=True, help="Why; kept with the decision, never empty."
    )(function)
    return click.argument("request")(function)


@command.command()
@_answer_options
@click.option("--wait", is_flag=True, help="Follow the promotion to its end.")
@render.output_option
@click.pass_context
def approve(ctx: click.Context, request: str, reason: str, wait: bool, output: str) -> None:
    """Approve REQUEST: starts the canary, and moves the model to Production if it passes.

    REQUEST is an id, a unique prefix, or latest. `latest` is refused while a request of another
    model waits.
    """
    from platform_ctl.approvals.request import Answer

    settings = load_settings(ctx)
    answered = _answer(settings, request, Answer.APPROVE, reason)
    decided, run = answered.request, answered.run
    if run is None:
        print_line(f"request {decided.id} needs another approver", err=True)
        _print_decided(decided, None, output)
        return
    if not wait:
        _print_decided(decided, run, output)
        return
    from platform_ctl.cli.pipeline import finish

    print_line(f"approved {decided.reference}; promotion is run {run.id[:8]}", err=True)
    stop = _abort(settings, decided)
    finish(ctx, promotions.follow(settings, run, stop=stop), output)


@command.command()
@_answer_options
@render.output_option
@click.pass_context
def reject(ctx: click.Context, request: str, reason: str, output: str) -> None:
    """Reject REQUEST for good. `approval request` makes a new request.

    REQUEST is an id, a unique prefix, or latest. `latest` is refused while a request of another
    model waits.
    """
    from platform_ctl.approvals.request import Answer

    answered = _answer(load_settings(ctx), request, Answer.REJECT, reason)
    _print_decided(answered.request, None, output)


@command.command()
@click.option("--port", default=0, show_default=True, help="0: a free port.")
@click.pass_context
def serve(ctx: click.Context, port: int) -> None:
    """Open the pages of this home (`platform-ctl ui`) at the requests. Ctrl-C ends it."""
    from platform_ctl.cli.ui import serve as serve_pages

    serve_pages(ctx, port, "/approvals")


@command.command()
@click.option("--once", is_flag=True, help="Check once instead of watching.")
@click.pass_context
def controller(ctx: click.Context, once: bool) -> None:
    """Start the promotion of each request that is approved on the cluster."""
    from platform_ctl import targets
    from platform_ctl.home.log_lines import log_lines

    approvals = targets.approval_controller(load_settings(ctx))
    log_lines()
    if once:
        for run in approvals.once():
            print_line(f"{run.name} is run {run.id[:8]}")
        return
    approvals.run()


def _answer(settings: Settings, request: str, answer: Answer, reason: str) -> Answered:
    from platform_ctl import targets
    from platform_ctl.approvals import decide

    ports, approver = targets.deciding(settings), targets.actor(settings)
    answered = decide.answer(ports, request, answer, approver=approver, reason=reason)
    for note in answered.notes:
        print_line(f"note: {note}", err=True)
    return answered


def _abort(settings: Settings, request: ApprovalRequest) -> str:
    """The command that takes a promotion back; "" for a recipe that the project does not have."""
    from platform_ctl import targets

    recipe = targets.recipes(settings).get(request.recipe)
    return f"platform-ctl release abort {recipe.inference_service}" if recipe else ""


def _print_decided(request: ApprovalRequest, run: Run | None, output: str) -> None:
    from platform_ctl.runs.record import RunState

    if output == "json":
        render.print_json({"request": request, "run": run.id if run else None})
        return
    print_line(f"request {request.id} for {request.reference}: {request.state}")
    if run:
        print_line(f"promotion is run {run.id[:8]} ({run.state})")
        ended_badly = run.state in (RunState.FAILED, RunState.CANCELED)
        verb = "resume" if ended_badly else "watch"
        print_line(f"next: platform-ctl run {verb} {run.id[:8]}", err=True)
