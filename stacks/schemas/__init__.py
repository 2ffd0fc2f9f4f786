"""JSON Schemas generated from ``stacks.contract`` and ``stacks.spec``, read as data."""
