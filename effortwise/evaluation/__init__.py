"""What ``effortwise evaluate`` shows of a report: the printed tables and the picture."""
