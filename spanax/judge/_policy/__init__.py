"""The world of a policy audit: its sequences, its draws, and what is checked of them."""
