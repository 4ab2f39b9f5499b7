"""Options of IBM's primitives as plain data, checked by IBM's own classes before anything is submitted."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from qnn._integers import whole
from qnn._optional import require
from qnn.backends.transpiling import check_transpiler
from qnn.errors import ArgumentError, CapabilityError, NoEffectWarning, unknown_name
from qnn.jobs import Policy

_ANGLE_DECIMALS = 14  # local mode rounds angles to this many places, in units of π/2
_TAG = "qnn"
_MODES = ("job", "batch", "session")
_PRIMITIVES = ("sampler", "estimator")
#: Circuits times shots of one job, IBM's limit.
MAX_EXECUTIONS = 10_000_000
#: Plans whose machine time is free, and scarce.
OPEN_PLANS = ("open", "lite")


def primitives() -> dict[str, tuple[Any, Any]]:
    """IBM's client-side primitives and the classes of their options.

    Raises:
        MissingDependencyError: qiskit-ibm-runtime is not installed, or older than these primitives.
    """
    purpose = "The backend `ibm`"
    sampler = require("qiskit_ibm_runtime.executor_sampler", extra="ibm", purpose=purpose)
    estimator = require("qiskit_ibm_runtime.executor_estimator", extra="ibm", purpose=purpose)
    models = require("qiskit_ibm_runtime.options_models", extra="ibm", purpose=purpose)
    return {
        "sampler": (sampler.Sampler, models.SamplerOptions),
        "estimator": (estimator.Estimator, models.EstimatorOptions),
    }


def primitive_options(
    primitive: str,
    *,
    local: bool,
    tags: Sequence[str],
    resilience_level: int | None,
    twirling: bool | Mapping[str, Any] | None,
    dynamical_decoupling: str | Mapping[str, Any] | None,
    **others: Any,
) -> dict[str, Any]:
    """What goes to a primitive of IBM.

    Args:
        primitive: "sampler" or "estimator".
        local: whether it runs on this machine.
        tags: job tags, beside our own.
        resilience_level: of the Estimator; None is 0.
        twirling: True or False for gates and measurements alike, or IBM's options.
        dynamical_decoupling: the name of a sequence, or IBM's options.
        **others: further options under IBM's names; None is left out.

    Raises:
        ArgumentError: IBM's classes refuse one.
    """
    if isinstance(tags, str) or not all(isinstance(tag, str) for tag in tags):
        raise ArgumentError(f'`tags` must be a list of strings; got {tags!r}. Write ["{_TAG}"].')
    options: dict[str, Any] = {"environment": {"job_tags": [_TAG, *tags]}}
    if isinstance(twirling, bool):
        twirling = {"enable_gates": twirling, "enable_measure": twirling}
    if isinstance(dynamical_decoupling, str):
        dynamical_decoupling = {"enable": True, "sequence_type": dynamical_decoupling}
    if local:
        options["simulator"] = {"angle_decimals": _ANGLE_DECIMALS}
    named = {"twirling": twirling, "dynamical_decoupling": dynamical_decoupling, **others}
    for key, value in named.items():
        if value is not None:
            options[key] = dict(value) if isinstance(value, Mapping) else value
    if primitive == "estimator":
        options["resilience_level"] = 0 if resilience_level is None else resilience_level
    try:
        primitives()[primitive][1](**options)
    except (ValueError, TypeError) as error:  # pydantic's errors are ValueErrors
        raise ArgumentError(_explained(error)) from error
    return options


def plan_of(instances: Sequence[Mapping[str, Any]], crn: str | None) -> str:
    """The plan of an instance in lower case; empty where it is not listed. Arguments as for `mode_by_plan`."""
    return next((str(instance.get("plan", "")) for instance in instances if instance.get("crn") == crn), "").lower()


def mode_by_plan(asked: str | None, instances: Sequence[Mapping[str, Any]], crn: str | None) -> str:
    """How jobs are to be executed on a machine.

    Args:
        asked: "job", "batch", "session", or None to go by the plan: batches, which keep the jobs of a training close
            together and are billed like single jobs, where the plan has them.
        instances: the account's, as ``QiskitRuntimeService.instances`` lists them, with "crn" and "plan".
        crn: of the instance that is used.

    Raises:
        CapabilityError: sessions are asked of the open plan, which has none.
    """
    plan = plan_of(instances, crn)
    is_open = plan in OPEN_PLANS
    if asked == "session" and is_open:
        raise CapabilityError(
            f'`mode` must be "job" or "batch" on the {plan} plan, which has no sessions; got "session". Leave it out.'
        )
    return asked or ("batch" if plan and not is_open else "job")


def check_choices(
    mode: object,
    primitive: str,
    mitigated: bool,
    optimization_level: object,
    seed_transpiler: object,
    max_executions: object,
) -> None:
    """Refuse what cannot be chosen; `mitigated` is whether an option of the Estimator was given.

    Raises:
        UnknownNameError: no such mode or primitive.
        ArgumentError: a value is out of range, or the primitive has no mitigation.
    """
    if mode not in (None, *_MODES):
        raise unknown_name("mode", mode, _MODES)
    if primitive not in _PRIMITIVES:
        raise unknown_name("primitive", primitive, _PRIMITIVES)
    if mitigated and primitive == "sampler":
        raise ArgumentError(
            '`primitive` must be "estimator" for `resilience_level` and `resilience`; got "sampler". '
            "Leave `primitive` out."
        )
    check_transpiler(optimization_level, seed_transpiler)
    if not 0 < (whole(max_executions) or 0) <= MAX_EXECUTIONS:
        raise ArgumentError(
            f"`max_executions` must be from 1 to {MAX_EXECUTIONS:,}; got {max_executions!r}. Leave it out."
        )


def waiting(journal: str | None, timeout_s: float | None, retry_s: float | None, reuse_exact: bool) -> Policy:
    """The patience of a backend.

    Raises:
        ArgumentError, DtypeError: an option cannot be used.

    Warns:
        NoEffectWarning: exact results are to be used again.
    """
    made = Policy(journal=journal, timeout_s=timeout_s, reuse_exact=reuse_exact)
    if reuse_exact:
        warnings.warn(
            "`reuse_exact` has no effect with IBM Quantum, whose results all have shots.", NoEffectWarning, stacklevel=3
        )
    return made if retry_s is None else replace(made, retry_s=retry_s)


def refuse_for_local(name: str, **given: Any) -> None:
    """Refuse options that a simulation on this machine would not heed."""
    for option, value in given.items():
        if value is not None:
            raise ArgumentError(
                f"`{option}` must be left out for {name}, which runs on this machine; got {value!r}. "
                'It is for machines such as "ibm:ibm_torino".'
            )


def _explained(error: Exception) -> str:
    """Which option IBM's classes refuse, and why."""
    found = error.errors()[0] if hasattr(error, "errors") else {"loc": ("options",), "msg": str(error), "input": "?"}
    where = ".".join(str(part) for part in found["loc"] if isinstance(part, str))
    return (
        f"`{where}` must be an option as in qiskit_ibm_runtime.options_models; got {found['input']!r}: {found['msg']}. "
        "Correct its name or value."
    )
