"""The commands of ``tenantctl``: named here, and imported when they are used."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from control_plane.adapters.loopback import keep_loopback_direct
from control_plane.cli.errors import FAILED, exit_code
from control_plane.cli.output import steady_streams
from control_plane.cli.refusing import CONNECTIONS, forget_json, say_error
from control_plane.domain.errors import DomainError, SettingInvalid, Unavailable

app = typer.Typer(
    name="tenantctl",
    help="Tenant provisioning control plane: requests, runs, approvals, bundles, audit logs.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 not found or not allowed, "
    "5 unavailable, 10 to 12 what `audit verify` found, 130 Ctrl-C. "
    "Commands of the API read TENANTPLANE_URL and TENANTPLANE_TOKEN.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass(frozen=True)
class Named:
    """A command or a group: where it is in ``control_plane.cli``, under which heading, its help."""

    module: str
    attribute: str
    panel: str
    help: str

    def load(self, name: str) -> Any:
        """Import it and return it as the command that the library makes of it."""
        found = getattr(import_module(f"control_plane.cli.{self.module}"), self.attribute)
        if isinstance(found, typer.Typer):
            return get_group(found)
        alone = typer.Typer(add_completion=False)
        alone.command(name)(found)
        return get_command(alone)


_API, _PROCESSES, _MACHINE = "The API", "Processes", "This machine"
COMMANDS: Final = {
    "serve": Named("processes", "serve", _PROCESSES, "Start everything on this machine: database, "
                   "emulated cloud, signer, worker, API."),
    "demo": Named("processes", "demo", _PROCESSES, "Build a Hub and one tenant of each mode, "
                  "verify the audit logs, show what exists."),
    "api": Named("processes", "api", _PROCESSES, "Start the API, with the database that the "
                 "settings name."),
    "worker": Named("processes", "worker", _PROCESSES, "Start a worker: it does the phases of "
                    "runs and bundles."),
    "signer": Named("processes", "signer", _PROCESSES, "Start the audit log's sequencer and "
                    "signer, with a key and a database role of its own."),
    "request": Named("calls", "request", _API, "Provisioning requests."),
    "tenant": Named("calls", "tenant", _API, "Tenants."),
    "hub": Named("calls", "hub", _API, "Shared Hubs."),
    "account": Named("accounts", "account", _API, "The pool of AWS accounts."),
    "run": Named("calls", "run", _API, "Runs, their plans and progress."),
    "queue": Named("queueing", "queue", _API, "The queue of runs and builds."),
    "approval": Named("approvals", "approval", _API, "Approvals and decisions."),
    "approver": Named("approver_keys", "approver", _API, "Keys that approvers sign with."),
    "delivery": Named("deliveries", "delivery", _API, "Signed contracts that providers delivered."),
    "intake": Named("intake_findings", "intake", _API, "Sources of contracts: ask them, what "
                    "differs."),
    "subscription": Named("subscriptions", "subscription", _API, "Who gets public events."),
    "people": Named("people", "people", _API, "People who work for tenants."),
    "meeting": Named("people", "meeting", _API, "Meetings with customers."),
    "message": Named("messages", "message", _API, "Messages to people at customers and vendor."),
    "suppression": Named("messages", "suppression", _API, "Addresses that get no messages."),
    "journey": Named("journeys", "journey", _API, "Journeys of tenants, by their playbooks."),
    "task": Named("journeys", "task", _API, "Tasks: what waits for a person."),
    "drift": Named("drift", "drift", _API, "What is not as it was applied."),
    "bundle": Named("bundles", "bundle", _API, "Mode C bundles."),
    "saga": Named("removals", "saga", _API, "Changes that take several steps."),
    "audit": Named("audit", "audit", _API, "Audit logs: read them, verify them."),
    "calendar": Named("calendars", "calendar", _MACHINE, "Business days: closed days of a country, "
                      "when something is due."),
    "console": Named("console", "console", _MACHINE, "Print the link to the console; "
                     "in an embedded installation with the code to sign in."),
    "token": Named("local", "token", _MACHINE, "Print an access token of the embedded issuer; "
                   "refused in production."),
    "settings": Named("local", "settings", _MACHINE, "List every setting with its variable, "
                      "current value and meaning; secrets are masked."),
    "keys": Named("local", "keys", _MACHINE, "Keys of an installation."),
    "database": Named("local", "database", _MACHINE, "Database of a production installation."),
    "playbook": Named("playbooks", "playbook", _MACHINE, "Playbooks: check and show them."),
    "template": Named("templates", "template", _MACHINE, "Templates of messages: check and show "
                      "them."),
    "systems": Named("systems", "systems", _MACHINE, "Systems outside: CRM, tickets, mail and "
                     "chat of this installation."),
    "stack": Named("local", "stack", _MACHINE, "Stacks, for the plain `pulumi` command."),
}  # fmt: skip


class _OnDemand(TyperCommand):
    """Stands in a list of commands for one that is imported when it is used."""

    def __init__(self, name: str, named: Named) -> None:
        super().__init__(name, help=named.help, rich_help_panel=named.panel)
        self._named = named

    def make_context(self, info_name: str | None, *rest: Any, **extra: Any) -> Any:
        """Let the command itself read its arguments, and be what is invoked."""
        return self._named.load(str(self.name)).make_context(info_name, *rest, **extra)


def _command() -> TyperGroup:
    found = get_command(app)
    if not isinstance(found, TyperGroup):
        raise TypeError(found)
    for name, named in COMMANDS.items():
        found.add_command(_OnDemand(name, named))
    return found


def run() -> None:
    """Run the command of this process and end it with its exit code."""
    steady_streams()
    keep_loopback_direct(os.environ)
    code = invoke(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has gone; nothing is left to be said to them
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = code or FAILED
    sys.exit(code)


def invoke(arguments: list[str]) -> int:
    """Run a command and return its exit code; an error becomes one sentence on stderr."""
    forget_json()
    try:
        _command()(args=arguments, prog_name="tenantctl")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except DomainError as error:
        remedy = _remedy(error)
        problem = {"code": error.code, "detail": error.message} | (
            {"remedy": remedy} if remedy else {}
        )
        say_error("\n".join(filter(None, (error.message, remedy))), problem)
        return exit_code(error.code)
    except OSError as error:  # a file or folder that the user named, a full disk
        where = f"{error.filename}: " if error.filename else ""
        say_error(f"{where}{error.strerror or type(error).__name__}")
        return FAILED
    except KeyboardInterrupt:
        return 130
    finally:
        CONNECTIONS.close()
    return 0


def _remedy(error: DomainError) -> str:
    """Return the remedy of an error where it fits what was typed here.

    That of what is unavailable speaks to callers of the API; that of a setting needs a variable,
    and a file or folder that is wrong has none.
    """
    if isinstance(error, Unavailable):
        return ""
    if isinstance(error, SettingInvalid) and "name" not in error.data:
        return ""
    return error.remedy


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - slow, used once

        typer.echo(f"tenantctl {version('tenantplane')}")
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Tenant provisioning control plane: requests, runs, approvals, bundles, audit logs."""
