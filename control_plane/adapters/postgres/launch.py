"""Runs in a server's process before the server: gives up root, ties it to its parent, executes it.

A script of its own, run as ``python -I -S launch.py <identity> <parent pid> <folder> <program>
<argument>...``: PostgreSQL refuses to run as root, and code between fork and exec of a process with
threads (``preexec_fn``) can deadlock. ``identity`` is one of

- ``self``: continue as we are;
- ``namespace:<uid>``: in a user namespace where this user is ``uid``; files stay those of this
  user, so every path that we can reach stays reachable;
- ``user:<uid>:<gid>``: as another user, who must be able to reach every path;
- ``reaching:<uid>:<gid>``: as another user who keeps the one capability of passing through folders
  of others (CAP_DAC_READ_SEARCH, else CAP_DAC_OVERRIDE, which containers have by default).

Ends with ``EXIT_REFUSED`` and a sentence on stderr when the system does not allow it.
"""

import ctypes
import os
import signal
import sys

EXIT_REFUSED = 71  # EX_OSERR of sysexits(3)

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_CAPABILITY_VERSION_3 = 0x20080522


def _checked(libc: ctypes.CDLL, function: str, *arguments: object) -> None:
    if getattr(libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def _enter_namespace(libc: ctypes.CDLL, uid: int) -> None:
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _checked(libc, "unshare", _CLONE_NEWUSER)
    for name, line in (
        ("setgroups", "deny"),  # user_namespaces(7): without it gid_map may not be written
        ("gid_map", f"{uid} {outer_gid} 1"),
        ("uid_map", f"{uid} {outer_uid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 - without site-packages pathlib would double the start time
            file.write(line)


def _become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _become_reaching(libc: ctypes.CDLL, uid: int, gid: int) -> None:
    """Change the user and keep one capability over exec, see capabilities(7) on ambient sets."""
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123 - as above
        permitted = next(int(line.split()[1], 16) for line in file if line.startswith("CapPrm"))
    has_search = permitted >> _CAP_DAC_READ_SEARCH & 1
    capability = _CAP_DAC_READ_SEARCH if has_search else _CAP_DAC_OVERRIDE
    _checked(libc, "prctl", _PR_SET_KEEPCAPS, 1, 0, 0, 0)
    _become(uid, gid)
    mask = 1 << capability
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)  # effective, permitted, inheritable
    _checked(libc, "capset", header, sets)
    _checked(libc, "prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def _take_identity(libc: ctypes.CDLL, identity: str) -> None:
    kind, *numbers = identity.split(":")
    if kind == "namespace":
        _enter_namespace(libc, int(numbers[0]))
    elif kind == "user":
        _become(int(numbers[0]), int(numbers[1]))
    elif kind == "reaching":
        _become_reaching(libc, int(numbers[0]), int(numbers[1]))


def main(arguments: list[str]) -> None:
    """Take the identity, ask for SIGINT when the parent ends, and execute the program."""
    identity, parent, folder, program, *rest = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        _take_identity(libc, identity)
        if sys.platform == "linux":
            # after the change of user, which clears it; SIGINT is PostgreSQL's fast shutdown
            _checked(libc, "prctl", _PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit(EXIT_REFUSED)  # the parent ended before we asked to be told
        os.chdir(folder)
        os.execv(program, [program, *rest])  # noqa: S606 - our own binary with an argument list
    except (OSError, AttributeError) as error:  # AttributeError: no unshare or capset in this libc
        sys.stderr.write(f"{identity}: {error}\n")
        sys.exit(EXIT_REFUSED)


if __name__ == "__main__":
    main(sys.argv[1:])
