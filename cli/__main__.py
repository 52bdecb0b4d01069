"""`python -m lineal.cli`."""

from lineal.cli import main

main()
