"""`python -m dspex` is `dspex`."""

from dspex.cli import main

main()
