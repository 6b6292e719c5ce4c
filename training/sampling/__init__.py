"""Sampling: how many samples are worth their price, learnt and measured on recorded ones."""
