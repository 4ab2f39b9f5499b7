"""A provider on this machine: jobs over HTTP, with queues, limits and the faults that real ones have."""

from qnn.fakecloud.process import Admin, start

__all__ = ["Admin", "start"]
