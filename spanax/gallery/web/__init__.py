"""The page: the gallery and live toys in a browser, served by `spanax serve` or exported as files."""
