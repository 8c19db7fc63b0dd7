"""Worked problems on real data: one file each, with a `run(out, *, quick)`. Needs `pip install 'spanax[gallery]'`."""
