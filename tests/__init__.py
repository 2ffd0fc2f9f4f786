"""The tests: a package with a folder of its own, so that no other tree's `tests` joins it."""
