"""Business calendars, due times, and the first slot for a meeting: plain functions of dates.

``moments`` reads wall clocks, ``days`` what is known of a year, ``business`` the calendars,
``counting`` adds and counts, ``due`` turns a rule into an instant, ``meeting`` finds a slot,
``special`` lists what a person asks for, ``rules`` is the document.
"""
