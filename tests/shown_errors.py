"""What reports of errors show."""

import traceback


def shown(error):
    """Everything that a report of an error could show: the whole chain, with the variables of every frame but a test's.

    Also those of errors that are hidden, as `raise ... from None` does.
    """
    told = "".join(traceback.format_exception(error))
    while error is not None:
        frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
        told += "".join(str(frame.locals) for frame in frames if "/tests/" not in frame.filename)
        error = error.__cause__ or error.__context__
    return told
