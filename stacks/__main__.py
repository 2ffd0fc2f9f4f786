"""``python -m stacks``: serve one request of the control plane; see ``stacks.runner``."""

from stacks.runner import exit_now, main

if __name__ == "__main__":
    exit_now(main())
