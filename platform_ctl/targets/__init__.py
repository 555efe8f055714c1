"""Composition root: Settings -> the ports of a target. The only place that imports its adapters.

One file a group of capabilities; ``targets.X(settings)`` gives each. Each function
imports what it builds when it is called, so that a command pays only for the capability it uses.
"""

from platform_ctl.targets.approvals import (
    actor,
    approval_controller,
    approvals,
    approvals_as_they_stand,
    deciding,
    notifier,
)
from platform_ctl.targets.completion import recorded_names
from platform_ctl.targets.data import record_audit
from platform_ctl.targets.doctor import open_releases, stored_bytes
from platform_ctl.targets.evidence import evidence_dir, write_evidence
from platform_ctl.targets.explain import compared_run, current_subject, impact, looking
from platform_ctl.targets.home import (
    begin_step,
    current_settings,
    damaged_databases,
    database,
    local_user,
    schema_versions,
    state,
)
from platform_ctl.targets.installation import (
    cluster_checks,
    components,
    installer,
    removal,
    remove_component,
)
from platform_ctl.targets.ledger import costs, ledger
from platform_ctl.targets.lineage import (
    events_of,
    lineage_observer,
    lineage_outbox,
    missing_events,
    recorded_lineage,
    with_inputs,
)
from platform_ctl.targets.metrics import metrics_server, metrics_text, scrape
from platform_ctl.targets.models import load_model, mlflow_uri, registry, registry_changed
from platform_ctl.targets.outbox import deliver_lineage
from platform_ctl.targets.recipe import (
    allowed_parameters,
    check_recipe_name,
    data_access,
    installed_packages,
    new_recipe,
    pipelines,
    provenance,
    read_pipeline,
    recipe,
    recipe_of,
    recipes,
)
from platform_ctl.targets.recipe_check import check_recipe
from platform_ctl.targets.releases import (
    canary_cost,
    check_promotion,
    deploying,
    released,
    releasing,
    serving,
)
from platform_ctl.targets.repair import repair
from platform_ctl.targets.report import (
    draw_search,
    report_file,
    report_page,
    reporting,
    write_report,
)
from platform_ctl.targets.runs import (
    artifacts,
    cache_decisions,
    execute_run,
    orchestrator,
    record_deaths,
    run_reader,
    step_cache,
)
from platform_ctl.targets.schedule_files import schedule_documents
from platform_ctl.targets.schedules import (
    schedule_apply,
    schedule_heartbeat,
    schedule_of_run,
    schedule_pause,
    schedule_plan,
    schedule_report,
    schedule_resume,
    schedule_run,
    schedule_trigger,
)
from platform_ctl.targets.tuning import (
    log_search,
    train,
    training,
    tune,
    tuner,
)
from platform_ctl.targets.ui import pages
from platform_ctl.targets.upload import upload

__all__ = [
    "actor",
    "allowed_parameters",
    "approval_controller",
    "approvals",
    "approvals_as_they_stand",
    "artifacts",
    "begin_step",
    "cache_decisions",
    "canary_cost",
    "check_promotion",
    "check_recipe",
    "check_recipe_name",
    "cluster_checks",
    "compared_run",
    "components",
    "costs",
    "current_settings",
    "current_subject",
    "damaged_databases",
    "data_access",
    "database",
    "deciding",
    "deliver_lineage",
    "deploying",
    "draw_search",
    "events_of",
    "evidence_dir",
    "execute_run",
    "impact",
    "installed_packages",
    "installer",
    "ledger",
    "lineage_observer",
    "lineage_outbox",
    "load_model",
    "local_user",
    "log_search",
    "looking",
    "metrics_server",
    "metrics_text",
    "missing_events",
    "mlflow_uri",
    "new_recipe",
    "notifier",
    "open_releases",
    "orchestrator",
    "pages",
    "pipelines",
    "provenance",
    "read_pipeline",
    "recipe",
    "recipe_of",
    "recipes",
    "record_audit",
    "record_deaths",
    "recorded_lineage",
    "recorded_names",
    "registry",
    "registry_changed",
    "released",
    "releasing",
    "removal",
    "remove_component",
    "repair",
    "report_file",
    "report_page",
    "reporting",
    "run_reader",
    "schedule_apply",
    "schedule_documents",
    "schedule_heartbeat",
    "schedule_of_run",
    "schedule_pause",
    "schedule_plan",
    "schedule_report",
    "schedule_resume",
    "schedule_run",
    "schedule_trigger",
    "schema_versions",
    "scrape",
    "serving",
    "state",
    "step_cache",
    "stored_bytes",
    "train",
    "training",
    "tune",
    "tuner",
    "upload",
    "with_inputs",
    "write_evidence",
    "write_report",
]
