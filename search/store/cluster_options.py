"""How a cluster of Qdrant servers keeps the collections that we create."""

from dataclasses import dataclass

from qdrant_client import models


@dataclass(frozen=True, slots=True)
class Placement:
    """What is left to the server where it is None.

    Attributes
    ----------
    shard_number : int or None
        Parts of a collection.
    replication_factor : int or None
        Nodes that hold each part.
    write_consistency_factor : int or None
        Nodes that must acknowledge a write.
    int8 : bool
        Whether vectors are kept as bytes in memory, and whole on disk.
    """

    shard_number: int | None = None
    replication_factor: int | None = None
    write_consistency_factor: int | None = None
    int8: bool = False

    @property
    def fault(self) -> str | None:
        """What makes ingestion stop while one node is away, and what to do about it."""
        copies, acknowledged = self.replication_factor or 1, self.write_consistency_factor or 1
        if copies == 1 or (copies > 2 and acknowledged < copies):
            return None
        why = "every write fails" if acknowledged >= copies else "no two agree on what was written"
        return (
            f"{copies} replicas and write consistency {acknowledged}: while a node is away {why}, "
            "and a write that fails may stay on one replica. Use 3 and 2 "
            "(CHANDRA_QDRANT_REPLICATION_FACTOR, CHANDRA_QDRANT_WRITE_CONSISTENCY_FACTOR), see "
            "docs/how-to/cluster.md"
        )

    @property
    def quantization(self) -> models.ScalarQuantization | None:
        """How vectors are compressed: the outermost 1% of values counts as the outermost byte."""
        if not self.int8:
            return None
        kind = models.ScalarType.INT8
        return models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=kind, quantile=0.99, always_ram=True)
        )
