"""`python -m bench`, with this folder's parent on the path."""

from bench.command import main

if __name__ == "__main__":
    main()
