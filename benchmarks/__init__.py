"""Figures: ``make bench``."""
