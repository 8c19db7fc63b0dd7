"""Programs as others wrote them, or as they are written in textbooks: plain Python and NumPy, nothing of Spanax in them."""
