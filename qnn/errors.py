"""Every exception and warning class of qnn.

Each error derives from `QnnError` and from the builtin that fits, so that both
``except QnnError`` and ``except ValueError`` catch it. A message names the argument as
typed, what was got, and one thing to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class QnnError(Exception):
    """Base class of every error raised by qnn on purpose."""


class ArgumentError(QnnError, ValueError):
    """An argument has a value that cannot be used."""


class ShapeError(ArgumentError):
    """A tensor has the wrong shape."""


class DtypeError(QnnError, TypeError):
    """A tensor has a dtype, or an argument a type, that cannot be used."""


class NotFiniteError(ArgumentError):
    """A tensor holds NaN or infinity."""


class UnknownNameError(ArgumentError):
    """A name (backend, encoding, task, model, …) that is not known."""


class CaptureError(QnnError, ValueError):
    """A quantum function cannot be turned into a circuit of fixed structure."""


class UnsupportedError(QnnError, NotImplementedError):
    """An operation or a measurement that the chosen backend or format cannot express."""


class QasmError(QnnError, ValueError):
    """An OpenQASM text that cannot be read; the message has line and column."""


class BackendError(QnnError, RuntimeError):
    """A backend refused or failed to run a circuit.

    Attributes:
        job_ids: jobs that had been submitted and whose results are not returned; they may cost money.
    """

    job_ids: tuple[str, ...] = ()


class AuthenticationError(BackendError):
    """A provider does not know the credentials, or they do not allow this."""


class QuotaError(BackendError):
    """A plan or a budget at the provider is used up."""


class RateLimitError(BackendError):
    """A provider takes no more requests or pending jobs for now: trying later helps."""


class BackendUnavailableError(BackendError):
    """A provider or a device is out of reach for now: trying later helps."""


class CircuitRefusedError(BackendError):
    """A device does not accept a circuit as it is."""


class JobFailedError(BackendError):
    """A job was accepted and ended without a result."""


class JobTimeoutError(BackendError):
    """A job did not end in time."""


class JobNotFoundError(BackendError):
    """A provider does not know a job of that id."""


class BudgetError(QnnError, RuntimeError):
    """What was asked for would exceed a budget; nothing of it was submitted."""


class JournalError(QnnError, RuntimeError):
    """The journal of jobs cannot be read or written.

    Attributes:
        job_ids: jobs that had been submitted when it happened; they may cost money.
    """

    job_ids: tuple[str, ...] = ()


class CapabilityError(QnnError, ValueError):
    """A request that the chosen backend can never fulfil, such as adjoint gradients with shots."""


class MissingDependencyError(QnnError, ImportError):
    """An optional package is needed and not installed."""


class ExportError(QnnError, RuntimeError):
    """A network that cannot be written down, or what was written computes something else."""


class TableError(QnnError, ValueError):
    """A table that cannot be used; the message names row and column."""


class TrainingError(QnnError, RuntimeError):
    """Training cannot go on, for example because the loss is not finite."""


class CheckpointError(QnnError, ValueError):
    """A checkpoint cannot be used: damaged, of another version, or of another model, data or configuration."""


class BundleError(QnnError, ValueError):
    """A model that a bundle cannot hold, or a bundle that is damaged, forged or of another version."""


class StudyError(QnnError, RuntimeError):
    """A run folder cannot be used for this study."""


class EngineError(QnnError, RuntimeError):
    """An engine of workers is out of reach, or lost the worker of one cell again and again."""


class RecordError(QnnError, ValueError):
    """A stored record cannot be read."""


class StorageError(QnnError, OSError):
    """A file could not be written; nothing half-written was left behind."""


class QnnWarning(UserWarning):
    """Base class of every warning issued by qnn."""


class InertParameterWarning(QnnWarning):
    """Some angles of a circuit cannot change any output."""


class WorkerLostWarning(QnnWarning):
    """A worker process or machine was lost; what it was at is done again."""


class DuplicateJobWarning(QnnWarning):
    """One submission became two jobs at a provider; one of them is used."""


class ChangedRunWarning(QnnWarning):
    """A run that was started again does something else, so that jobs it had paid for are not used."""


class NoEffectWarning(QnnWarning):
    """A setting that has no effect as things are."""


class PoorFitWarning(QnnWarning):
    """A model that was fitted to another one tells less of it than a constant would."""


class NoiseCoverageWarning(QnnWarning):
    """A noise model that says nothing about a gate which the circuit uses."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """The error for a misspelt name: did-you-mean, then all that is known."""
    names = sorted(known)
    by_lower = {known_name.lower(): known_name for known_name in reversed(names)}
    close = get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.5)
    hint = f' Did you mean "{by_lower[close[0]]}"?' if close else ""
    return UnknownNameError(f'No {kind} named "{name}".{hint} Known: {", ".join(names)}.')
