"""Control variates from the softened program."""
