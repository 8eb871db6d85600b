"""`python -m trialscan`."""

from trialscan.cli import main

if __name__ == "__main__":
    main()
