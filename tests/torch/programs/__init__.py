"""Small PyTorch programs as other people write them: GAPS with one line each where the gradient dies, CLEAN with none."""
