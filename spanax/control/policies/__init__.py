"""Policies to start with. Any callable Equinox module is one."""
