"""The learning: from logged traces to the next bundle. Read `training/train.py` first."""
