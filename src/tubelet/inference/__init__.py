"""Trained models used on videos."""
