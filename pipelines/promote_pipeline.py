"""``promote``: from an approval to Production, or back. Started by the decision."""

from kfp import dsl

from pipelines import promote_components as step


@dsl.pipeline(
    name="promote",
    description="Verify the approval, deploy a canary, step it up, then Production or roll back.",
)
def promote(approval_id: str, model_version: str = "", stop_at_percent: int = 0):
    """Every step changes the world outside the run, so none is ever served from the cache.

    ``model_version`` (NAME/VERSION) is for a version that is in production already and needs
    no approval; ``stop_at_percent`` holds the canary at that share of the traffic.
    """
    verified = step.verify_approval(
        approval_id=approval_id, model_version=model_version
    ).set_caching_options(False)
    deployed = step.deploy_canary(
        approval_id=approval_id,
        model=verified.outputs["model"],
        version=verified.outputs["version"],
        stop_at_percent=stop_at_percent,
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        task=dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
    ).set_caching_options(False)
    analysed = step.analyse(
        release_id=deployed.outputs["release_id"],
        stop_at_percent=stop_at_percent,
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        task=dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
    ).set_caching_options(False)
    with dsl.If(analysed.outputs["verdict"] == "successful", name="canary-successful"):
        step.promote(release_id=deployed.outputs["release_id"]).set_caching_options(False)
    with dsl.If(analysed.outputs["verdict"] == "failed", name="canary-failed"):
        step.roll_back(release_id=deployed.outputs["release_id"]).set_caching_options(False)
