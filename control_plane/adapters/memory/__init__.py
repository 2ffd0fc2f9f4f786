"""All ports in memory: for tests, and for trying a use case without a database or a cloud."""

from control_plane.adapters.memory.bundles import MemoryBundleBuilder
from control_plane.adapters.memory.engine import MemoryEngine, ProcessDied
from control_plane.adapters.memory.keeping import MemoryObjectStore, MemorySecretStore
from control_plane.adapters.memory.queue import Enqueued, MemoryQueue
from control_plane.adapters.memory.store import MemoryStore
from control_plane.adapters.memory.time_and_ids import FixedClock, SeededIds
from control_plane.adapters.memory.unit_of_work import MemoryAuditLog, MemoryUnitOfWork

__all__ = [
    "Enqueued",
    "FixedClock",
    "MemoryAuditLog",
    "MemoryBundleBuilder",
    "MemoryEngine",
    "MemoryObjectStore",
    "MemoryQueue",
    "MemorySecretStore",
    "MemoryStore",
    "MemoryUnitOfWork",
    "ProcessDied",
    "SeededIds",
]
