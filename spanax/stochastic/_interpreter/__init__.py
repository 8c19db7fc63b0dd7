"""Running a traced program so that its draws and costs are recorded."""
