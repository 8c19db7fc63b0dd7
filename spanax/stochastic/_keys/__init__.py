"""Which draws share a key: value numbering of a traced program."""
