"""Fitting: one file per predictor, each from a table to what serving restores."""
