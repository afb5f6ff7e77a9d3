"""Subcommands of `optimum-cli`."""
