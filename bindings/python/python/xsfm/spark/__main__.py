"""For `spark-submit`, which takes the path of a file."""

from xsfm.spark import main

if __name__ == "__main__":
    main()
