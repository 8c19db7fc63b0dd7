"""The draws and programs that a bridge is tried on."""
