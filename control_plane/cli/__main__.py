"""``python -m control_plane.cli``, the same as ``tenantctl``."""

from control_plane.cli import main

main()
