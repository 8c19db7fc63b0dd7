"""Dataflow over a traced program: where a derivative goes in and does not come out."""
