"""Tags of a resource.

The provider adds those of the deployment (tenant, mode, environment, deployment, managed-by); a
resource adds its name and how sensitive its content is. No tag changes from run to run.
"""

from __future__ import annotations

from enum import StrEnum

DATA_CLASS_TAG = "tenantplane:data-class"


class DataClass(StrEnum):
    """How sensitive the content of a resource is."""

    CUSTOMER = "customer"  # data of the tenant
    SECRET = "secret"  # noqa: S105 - the name of a class, not a secret
    OPERATIONAL = "operational"  # logs and where things are found
    NONE = "none"  # holds no content


def tags(name: str, data_class: DataClass = DataClass.NONE) -> dict[str, str]:
    """Return the tags of the resource called ``name``."""
    return {"Name": name, DATA_CLASS_TAG: data_class.value}
