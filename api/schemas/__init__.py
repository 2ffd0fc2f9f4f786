"""Closed request models and response models."""
