#!/bin/sh
# holidays 0.109 (Python), public holidays of countries.
#
# Surprise: its loader of countries is lazy by half. `import holidays` imports no country; the first
# use of any one imports all of them, since the package of countries imports each of its modules.
# A service that asks for one country keeps some 250, and importing that country's module by its own
# name does the same.
#
# What follows: import it where the first day is asked for, not at start, and keep what was
# computed; a process that never asks pays nothing.
#
# Seen: 0 modules of countries after the import, more than 240 after the first use of Italy.

set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
if ! { python3 -m venv "$work/venv" &&
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check holidays==0.109; }; then
    echo "missing: Python 3.11 with venv, or the package holidays 0.109 cannot be installed." >&2
    exit 2
fi

cat >"$work/count.py" <<'PY'
import importlib
import sys


def countries():
    return sum(name.startswith("holidays.countries.") for name in sys.modules)


def check(what, seen, expected):
    print(f"{what}: {seen}")
    if not expected(seen):
        sys.exit("changed: expected another number")


if sys.argv[1] == "first-use":
    import holidays

    check("countries after `import holidays`", countries(), lambda found: found == 0)
    holidays.country_holidays("IT", years=2026)
    check("countries after the first use of Italy", countries(), lambda found: found > 240)
else:
    importlib.import_module("holidays.countries.italy")
    check("countries after importing Italy by name", countries(), lambda found: found > 240)
PY
"$work/venv/bin/python" "$work/count.py" first-use
"$work/venv/bin/python" "$work/count.py" by-name
echo "as described"
