"""`python -m tubelet`: the command line where no `tubelet` is on the path."""

from tubelet.cli import main

main()
