"""The name of an engine: what may be given as `engine`, and whether its packages are here."""

from __future__ import annotations

from dataclasses import dataclass

from qnn._optional import require
from qnn.errors import ArgumentError, unknown_name

_PACKAGES = {"local": (), "ray": ("ray",), "spark": ("pyspark", "joblibspark"), "dask": ("distributed",)}


@dataclass(frozen=True)
class Engine:
    """Where cells run.

    Attributes:
        kind: "local", "ray", "spark" or "dask".
        address: of the cluster, as its own client takes it ("ray://…", "spark://…", "tcp://…" for Dask);
            None is the one that is connected or configured already, or else one on this machine.
    """

    kind: str
    address: str | None = None

    @classmethod
    def parse(cls, name: object) -> Engine:
        """The engine of a name such as "local", "ray", "ray://host:10001", "spark://host:7077" or "dask://host:8786".

        Raises:
            UnknownNameError: there is no such engine.
            ArgumentError: an address is not complete.
            MissingDependencyError: its packages are not installed.
        """
        if not isinstance(name, str):
            raise ArgumentError(f'`engine` must be a name; got {name!r}. Give for example "local" or "ray".')
        kind, separator, place = name.partition("://")
        if kind not in _PACKAGES:
            raise unknown_name("engine", name, _PACKAGES)
        if separator and (kind == "local" or not place):
            raise ArgumentError(
                f'`engine` must be a name, or a name of a cluster\'s kind with its address; got "{name}". '
                'Give for example "local", "ray" or "ray://host:10001".'
            )
        for package in _PACKAGES[kind]:
            require(package, extra=kind, purpose=f'engine="{kind}"')
        if not separator:
            return cls(kind)
        return cls(kind, f"tcp://{place}" if kind == "dask" else name)

    def __str__(self) -> str:
        return self.kind if self.address is None else f"{self.kind}://{self.address.partition('://')[2]}"
