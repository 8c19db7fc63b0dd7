"""What the native forms share."""
