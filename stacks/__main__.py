"""``python -m stacks``: serve one request of the control plane; see ``stacks.runner``.

- ``--serve SECONDS [sandbox]``: be the parent that forks such runners, see ``stacks.forkserver``.
- ``--read``: serve a state to a person's `pulumi`, see ``stacks.engine.keeper``.
- ``--convert``: take over a state of an earlier release, see ``stacks.engine.converting``.
"""

import gc
import sys

from stacks.runner import exit_now, main

# A call is mostly the import of libraries whose objects live as long as it does; looking through
# them at every 700th new object takes a fifth of that time and frees next to nothing.
COLLECT_AFTER = 50_000

if __name__ == "__main__":
    gc.set_threshold(COLLECT_AFTER)
    if sys.argv[1:2] == ["--serve"]:
        from stacks.forkserver import serve

        serve(idle_seconds=float(sys.argv[2]), sandbox=sys.argv[3:] == ["sandbox"])
    elif sys.argv[1:] == ["--read"]:
        from stacks.engine.keeper import serve_reader

        serve_reader()
    elif sys.argv[1:] == ["--convert"]:
        from stacks.engine.converting import convert_one

        convert_one()
    else:
        exit_now(main())
