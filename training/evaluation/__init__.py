"""Evaluation: what a router learnt from logged traces is worth on others, beside the bars that it must
pass. Read ``comparison`` first."""
