"""The embedded simulator keeps the backend contract."""

from contracts.backend_contract import BackendContract

from qnn.backends import Statevector


class TestStatevector(BackendContract):
    def make(self):
        return Statevector()
