"""Every error the platform raises on purpose: one root, immutable ids, exit codes.

A family fixes the exit code, a leaf the id and the runbook. Ids are never
reused: a retired class stays, marked as retired. Exit codes (spec):
0 ok, 1 the answer is "no" (not an exception), 2 usage or configuration,
3 a precondition is missing, 4 target unavailable, 5 a workload failed,
6 unsupported on this target, 70 a bug, 130 interrupted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import ClassVar, TypeVar, overload


class PlatformError(Exception):
    """Root of the platform's errors; raised itself it is an internal error (a bug).

    ``what`` happened, ``where``, and ``fix``, the command that helps. Renders as
    four lines on stderr (``cli/app.py``); never as a traceback.
    """

    id: ClassVar[str] = "err-internal"
    exit_code: ClassVar[int] = 70
    retryable: ClassVar[bool] = False
    runbook: ClassVar[str] = "runbooks/errors/internal.md"

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix
        self.typed = self.meant = ""
        """A name that nobody knows and the one that it is near to. The command line then offers
        the command as it was typed, with that one word corrected, in place of ``fix``."""

    def __reduce__(self):
        return (_rebuild, (type(self), self.what, self.where, self.fix))

    def as_dict(self) -> dict[str, str]:
        return {
            "id": self.id,
            "what": self.what,
            "where": self.where,
            "fix": self.fix,
            "see": self.runbook,
        }


def from_dict(record: Mapping[str, str]) -> PlatformError:
    """The error that ``as_dict`` describes; the root class for an id that nobody knows."""
    kinds = [PlatformError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    error_class = next((kind for kind in kinds if kind.id == record["id"]), PlatformError)
    return error_class(record["what"], where=record["where"], fix=record["fix"])


def from_traceback(text: str) -> dict[str, str]:
    """``as_dict`` of the error that ended a Python program, from the end of what it printed; empty
    where it was no error of ours. Read by the name of the class, as ``traceback`` writes it, which
    leaves out ``where`` and ``fix``."""
    # The last traceback is the one that ended it: an error before that was dealt with.
    matches = list(_ERROR_LINE.finditer(text, max(0, text.rfind(_TRACEBACK))))
    kinds: dict[str, type[PlatformError]] = {PlatformError.__name__: PlatformError}
    waiting = [PlatformError]
    for kind in waiting:
        waiting.extend(kind.__subclasses__())
        kinds[kind.__name__] = kind
    if not matches or matches[-1]["name"] not in kinds:
        return {}
    return kinds[matches[-1]["name"]](matches[-1]["what"]).as_dict()


_TRACEBACK = "Traceback (most recent call last):"
_ERROR_LINE = re.compile(r"^platform_ctl\.errors\.(?P<name>\w+): (?P<what>.*)$", re.MULTILINE)


def _rebuild(cls: type[PlatformError], what: str, where: str, fix: str) -> PlatformError:
    return cls(what, where=where, fix=fix)


# ---- families -----------------------------------------------------------


class UsageError(PlatformError):
    """The command line is invalid."""

    id = "err-usage"
    exit_code = 2
    runbook = "runbooks/errors/usage.md"


class ConfigError(PlatformError):
    """A setting, a recipe or a pipeline file is wrong."""

    id = "err-config"
    exit_code = 2
    runbook = "runbooks/errors/config.md"


class PreconditionMissing(PlatformError):
    """Something that had to exist before does not."""

    id = "err-precondition"
    exit_code = 3
    runbook = "runbooks/errors/precondition.md"


class TargetUnavailable(PlatformError):
    """The target cannot be reached or has no room."""

    id = "err-target-unavailable"
    exit_code = 4
    retryable = True
    runbook = "runbooks/errors/target.md"


class WorkloadFailed(PlatformError):
    """A run, a trial or a rollout failed."""

    id = "err-workload-failed"
    exit_code = 5
    runbook = "runbooks/errors/workload.md"


class Unsupported(PlatformError):
    """This target does not support it; refused before anything runs."""

    id = "err-unsupported"
    exit_code = 6
    runbook = "runbooks/errors/unsupported.md"


# ---- leaves -------------------------------------------------------------


class UnknownName(UsageError):
    """No run, pipeline, model, task … of that name; the fix names near misses."""

    id = "err-unknown-name"


class BadParameter(UsageError):
    """A pipeline parameter is unknown, missing or of the wrong type."""

    id = "err-bad-parameter"


class UnknownSetting(ConfigError):
    """An unknown setting; the message names the nearest one."""

    id = "err-unknown-setting"


class StaleCompiledPipeline(ConfigError):
    """The committed IR is not what the pipeline's source compiles to."""

    id = "err-stale-ir"


class NotPortable(ConfigError):
    """The IR would behave differently on the two targets."""

    id = "err-not-portable"


class BadPipelineFile(ConfigError):
    """Not KFP v2 IR, or IR that is malformed or malicious."""

    id = "err-bad-ir"


class BadPipelineSource(ConfigError):
    """A ``*_pipeline.py`` that kfp's compiler does not accept."""

    id = "err-bad-pipeline-source"


class BadExperiment(ConfigError):
    """Not a Katib v1beta1 Experiment that can be run."""

    id = "err-bad-experiment"


class BadSchedule(ConfigError):
    """A schedule file is invalid, or KFP would read it differently."""

    id = "err-schedule"


class HomeTooNew(ConfigError):
    """The home was written by a newer version of the platform."""

    id = "err-home-too-new"


class HomeDamaged(ConfigError):
    """The home's database is not one, or a part of it is unreadable."""

    id = "err-home-damaged"


class HomeNotUsable(ConfigError):
    """The home is not a folder, or this account may not write to it."""

    id = "err-home-not-usable"


class NothingYet(PreconditionMissing):
    """Nothing of this kind exists in the home yet, so no name can match."""

    id = "err-nothing-yet"


class MissingTable(PreconditionMissing):
    """The home has no such Iceberg table yet: nothing was ingested."""

    id = "err-no-table"


class TooLittleHistory(PreconditionMissing):
    """Not enough labelled rows to train, validate and test."""

    id = "err-too-little-history"


class MissingGoldenSet(PreconditionMissing):
    """The home has no golden set yet, or not the one that was asked for."""

    id = "err-no-golden-set"


class GoldenSetStale(PreconditionMissing):
    """Rows of the golden set are no longer in the data."""

    id = "err-golden-stale"


class NotARepository(PreconditionMissing):
    """A path given to ``data ingest --git`` is not a usable git clone."""

    id = "err-not-a-repository"


class ShallowClone(PreconditionMissing):
    """A clone given to ``data ingest --git`` lacks its older history."""

    id = "err-shallow-clone"


class MissingProgram(PreconditionMissing):
    """A program this command needs (git) is not on PATH."""

    id = "err-missing-program"


class MissingExtra(PreconditionMissing):
    """A Python package of an optional extra is not installed."""

    id = "err-missing-extra"


class NoSuchModel(PreconditionMissing):
    """No registered model, version or alias of that name."""

    id = "err-no-such-model"


class GateNotPassed(PreconditionMissing):
    """Only a model with the gate's verdict ``successful`` is registered."""

    id = "err-gate-not-passed"


class NotAnApprover(PreconditionMissing):
    """This person may not decide this request."""

    id = "err-not-an-approver"


class AlreadyDecided(PreconditionMissing):
    """The approval request has its answer; a request is decided once."""

    id = "err-already-decided"


class ApprovalMissing(PreconditionMissing):
    """The release has no valid approval: none, void, rejected or expired."""

    id = "err-approval-missing"


class ChampionNotComparable(PreconditionMissing):
    """The champion in production needs features that these rows do not have."""

    id = "err-champion-not-comparable"


class PlanOutdated(PreconditionMissing):
    """Schedule files or records have changed since the plan that is to be applied."""

    id = "err-plan-outdated"


class NotUploaded(PreconditionMissing):
    """KFP has no version of the pipeline with the IR that a schedule pins."""

    id = "err-not-uploaded"


class OrphanedRecord(PreconditionMissing):
    """A recurring run of KFP has lost the ScheduledWorkflow that fires it."""

    id = "err-orphaned-record"


class ScheduleBusy(PreconditionMissing):
    """A schedule has as many runs under way as its ``max_concurrency`` allows."""

    id = "err-schedule-busy"


class WrongZone(PreconditionMissing):
    """KFP's controller reads cron expressions in another time zone than UTC."""

    id = "err-schedule-zone"


class DiskFull(TargetUnavailable):
    """The disk of the home is full."""

    id = "err-disk-full"


class RayUnavailable(TargetUnavailable):
    """The run's Ray does not start or does not answer."""

    id = "err-ray-unavailable"


class PortInUse(TargetUnavailable):
    """Another process listens on the port that a service was given."""

    id = "err-port-in-use"


class ServiceUnavailable(TargetUnavailable):
    """An InferenceService does not answer."""

    id = "err-service-unavailable"


class FeaturesUnavailable(TargetUnavailable):
    """The feature store did not answer, or lacks features of an entity."""

    id = "err-features-unavailable"


class HomeBusy(TargetUnavailable):
    """Another process holds the lock that this command needs."""

    id = "err-home-busy"


class StoreUnavailable(TargetUnavailable):
    """A server of shared state (object store, SQL, MLflow, online store) does not answer."""

    id = "err-store-unavailable"


class StoreRefused(TargetUnavailable):
    """A server of shared state refuses our credentials, or lacks the bucket, database or
    warehouse that a setting names."""

    id = "err-store-refused"


class ClusterUnavailable(TargetUnavailable):
    """The Kubernetes API server, or what serves one of its APIs, cannot be reached."""

    id = "err-cluster-unavailable"


class WebhookUnavailable(ClusterUnavailable):
    """A webhook that must admit an object has no server that answers."""

    id = "err-webhook-unavailable"


class KfpUnavailable(TargetUnavailable):
    """KFP's API server cannot be reached, is slow, or rejects the credentials."""

    id = "err-kfp-unavailable"


class SdkSkew(PreconditionMissing):
    """The pinned kfp, the SDK of the committed IR and KFP's API server do not fit together."""

    id = "err-sdk-skew"


class UploadRefused(ConfigError):
    """A pipeline that KFP's API server could not take or could not run as it is meant."""

    id = "err-upload-refused"


class VersionConflict(WorkloadFailed):
    """A pipeline version of this commit exists with other content."""

    id = "err-version-conflict"


class UploadFailed(WorkloadFailed):
    """KFP's API server did not take a pipeline."""

    id = "err-upload-failed"


class ComponentNotReady(TargetUnavailable):
    """A component was installed, and its pods do not become available."""

    id = "err-component-not-ready"


class ClusterForbidden(PreconditionMissing):
    """The API server refuses this account a verb on a resource."""

    id = "err-cluster-forbidden"


class ClusterRefused(WorkloadFailed):
    """The API server, a webhook or an admission policy refuses an object."""

    id = "err-cluster-refused"


class ClusterConflict(ClusterRefused):
    """An object exists already, or somebody else changed it since it was read."""

    id = "err-cluster-conflict"


class RecordDiffers(WorkloadFailed):
    """A recurring run that was just created is not what was sent."""

    id = "err-record-differs"


class StepFailed(WorkloadFailed):
    """A step of a run ended with an error; its log says why."""

    id = "err-step-failed"


class SearchFailed(WorkloadFailed):
    """The hyperparameter search ended without a usable trial."""

    id = "err-search-failed"


class TrainingFailed(WorkloadFailed):
    """The function of a training job raised, ran out of time, or lost its workers for good."""

    id = "err-training-failed"


class GoldenSetTampered(WorkloadFailed):
    """The golden set's file is not the one that was pinned."""

    id = "err-golden-tampered"


class EvidenceMismatch(WorkloadFailed):
    """A digest does not match what was approved or recorded."""

    id = "err-evidence-mismatch"


class UnsupportedInPipeline(Unsupported):
    """The IR asks for something this target does not have."""

    id = "err-unsupported-ir"


class UnsupportedTrial(Unsupported):
    """An Experiment's trial is not a Job whose command can run on this machine."""

    id = "err-unsupported-trial"


class UnsupportedAlgorithm(Unsupported):
    """The Experiment asks for a search algorithm this target does not have."""

    id = "err-unsupported-algorithm"


# ---- names that nobody knows ---------------------------------------------


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that a mistyped one is nearest to, "" when none is near."""
    import difflib

    return next(iter(difflib.get_close_matches(name, list(known), n=1)), "")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest one, or the first ten there are."""
    names = list(known)
    if near := nearest(name, names):
        return f"did you mean {near}?"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"there is: {', '.join(names[:10]) or 'none'}{more}"


_E = TypeVar("_E", bound=PlatformError)


@overload
def unknown(
    what: str, name: str, known: Iterable[str], *, where: str, fix: str, otherwise: str = ""
) -> UnknownName: ...


@overload
def unknown(
    what: str,
    name: str,
    known: Iterable[str],
    *,
    where: str,
    fix: str,
    otherwise: str = "",
    error: type[_E],
) -> _E: ...


def unknown(
    what: str,
    name: str,
    known: Iterable[str],
    *,
    where: str,
    fix: str,
    otherwise: str = "",
    error: type[PlatformError] = UnknownName,
) -> PlatformError:
    """The error to raise for a name that is none of ``known``.

    ``{}`` in ``fix`` becomes the nearest name; where none is near, the fix is ``otherwise``,
    if that is given.
    """
    names = list(known)
    near = nearest(name, names)
    command = fix.replace("{}", near) if near else otherwise or fix
    exc = error(f"{what}; {did_you_mean(name, names)}", where=where, fix=command)
    exc.typed, exc.meant = (name, near) if near else ("", "")
    return exc


def unknown_id(
    noun: str, typed: str, ids: Iterable[str], *, where: str, fix: str, shown: int = 8
) -> UnknownName:
    """The error to raise for what begins none of ``ids``, or more than one of them.

    ``shown``: how many characters of an id people see and type.
    """
    known = list(ids)
    if not typed:
        return UnknownName(f"the id of a {noun} is empty", where=where, fix=fix)
    matching = [one[:shown] for one in known if one.startswith(typed)]
    if matching:
        some = ", ".join(matching[:5]) + (", …" if len(matching) > 5 else "")
        return UnknownName(
            f"more than one {noun} begins with {typed!r}: {some}", where=where, fix=fix
        )
    near = nearest(typed, [one[: max(shown, len(typed))] for one in known])[:shown]
    hint = f"; did you mean {near}?" if near else ""
    exc = UnknownName(f"there is no {noun} {typed!r}{hint}", where=where, fix=fix)
    exc.typed, exc.meant = (typed, near) if near else ("", "")
    return exc
