"""Figures that judge predictions."""
