"""``python -m cbldm``: the command line, where the scripts of the environment are not on the path."""

from cbldm.cli import main

if __name__ == "__main__":
    main()
