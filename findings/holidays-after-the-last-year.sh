#!/bin/sh
# holidays 0.109 (Python), public holidays of countries.
#
# Surprise: a year after the last one that the library has for a country is answered as a year
# without holidays: no error, no warning, and `is_working_day` says True for Christmas. For most
# countries that is 2101, but the last year of Sri Lanka is 2026: from one New Year to the next all
# of its holidays are gone. Around the change `get_nth_working_day` counts them in one year and not
# in the next. The years are in `start_year` and `end_year` of the country's class, which nothing
# makes a caller look at. (The project knows of it: https://github.com/vacanza/holidays/issues/1394.)
#
# What follows: compare each year with `start_year` and `end_year`, and say that a date is not known.
#
# Seen: 4 February 2026 is Sri Lanka's Independence Day and no working day. The same day of 2027 is
# a Thursday and a working day. Italy's Christmas of 2100 is known, that of 2101 is not.

set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
if ! { python3 -m venv "$work/venv" &&
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check holidays==0.109; }; then
    echo "missing: Python 3.11 with venv, or the package holidays 0.109 cannot be installed." >&2
    exit 2
fi

"$work/venv/bin/python" - <<'PY'
import sys
import warnings
from datetime import date

warnings.simplefilter("error")  # a warning would end this script

import holidays


def check(what, seen, expected):
    print(f"{what}: {seen}")
    if seen != expected:
        sys.exit(f"changed: expected {expected}")


lanka = holidays.country_holidays("LK", years=[2026, 2027], language="en_US")
check("years of Sri Lanka", (holidays.LK.start_year, holidays.LK.end_year), (2003, 2026))
check("holidays of 2026", sum(day.year == 2026 for day in lanka), 25)
check("holidays of 2027", sum(day.year == 2027 for day in lanka), 0)
check("4 February 2026", lanka.get(date(2026, 2, 4)), "Independence Day")
check("it is a working day", lanka.is_working_day(date(2026, 2, 4)), False)
check("4 February 2027 is a weekday", date(2027, 2, 4).strftime("%A"), "Thursday")
check("it is a working day", lanka.is_working_day(date(2027, 2, 4)), True)
found = lanka.get_nth_working_day(date(2027, 2, 3), 1)
check("the first working day after 3 February 2027", str(found), "2027-02-04")
italy = holidays.country_holidays("IT", language="en_US")
check("Christmas 2100 of Italy", date(2100, 12, 25) in italy, True)
check("Christmas 2101 of Italy", date(2101, 12, 25) in italy, False)
print("as described")
PY
