"""Rewriting Python source so that calls, branches, loops and writes go through hooks."""
