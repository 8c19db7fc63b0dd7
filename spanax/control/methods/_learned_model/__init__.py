"""The pieces of `LearnedModel`: what was seen, the networks that predict it, and the environment that they make."""
