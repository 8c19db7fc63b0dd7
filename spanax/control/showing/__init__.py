"""Pictures of environments and of what happened in them. matplotlib is imported when something is drawn."""
