"""``promote``: from an approval to Production, or back. Started by the decision."""

from kfp import dsl

from pipelines import promote_components as step


@dsl.pipeline(
    name="promote",
    description="Verify the approval, deploy a canary, step it up, then Production or roll back.",
)
def promote(approval_id: str):
    """Every step changes the world outside the run, so none is ever served from the cache."""
    verified = step.verify_approval(approval_id=approval_id).set_caching_options(False)
    deployed = step.deploy_canary(
        approval_id=approval_id,
        model=verified.outputs["model"],
        version=verified.outputs["version"],
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        task=dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
    ).set_caching_options(False)
    analysed = step.analyse(
        release_id=deployed.outputs["release_id"],
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        task=dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
    ).set_caching_options(False)
    with dsl.If(analysed.outputs["verdict"] == "successful", name="canary-successful"):
        step.promote(release_id=deployed.outputs["release_id"]).set_caching_options(False)
    with dsl.If(analysed.outputs["verdict"] == "failed", name="canary-failed"):
        step.roll_back(release_id=deployed.outputs["release_id"]).set_caching_options(False)
