"""The command `envdoc`, and `python -m envdoc.doctor`."""

import gc


def main() -> None:
    """Run the command line and exit with its code."""
    gc.set_threshold(50_000)  # imports leave no garbage behind; looking for it took 3% of a quick check
    from envdoc.doctor.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
