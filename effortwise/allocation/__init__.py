"""What ``effortwise allocate`` shows."""
