"""``python -m effortwise``."""

from effortwise.cli import main

main()
