"""The commands, one module each; ``effortwise.cli`` declares them."""
