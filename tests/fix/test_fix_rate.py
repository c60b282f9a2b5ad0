"""The measured rate: kept after a download, read by the plan, never invented."""

import pytest

from envdoc.doctor.fix.rate import FILE, known, remember


def test_a_download_is_remembered_and_known_again(home):
    """Bytes a second, with the time and what was measured; the folder is made where it is not there."""
    remember(home, 200_000_000, 10.0)
    rate = known(home)
    assert (20e6, "the last download of an environment") == (rate.bytes_per_second, rate.how)
    assert rate.measured_at.endswith("+00:00")
    assert 5.0 == rate.seconds(100_000_000)
    assert [FILE] == [path.name for path in home.iterdir()]


def test_the_last_measurement_counts(home):
    """The line of today and not that of last week."""
    remember(home, 200_000_000, 10.0)
    remember(home, 5_000_000, 1.0, "`envdoc check --online`")
    assert (5e6, "`envdoc check --online`") == (known(home).bytes_per_second, known(home).how)


@pytest.mark.parametrize(("size", "seconds"), [(0, 1.0), (999_999, 1.0), (5_000_000, 0.0), (5_000_000, -1.0)])
def test_what_is_too_small_is_no_measurement(size, seconds, home):
    """Nothing came, or from a cache in no time."""
    remember(home, size, seconds)
    assert None is known(home)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"bytes_per_second": 0, "measured_at": "", "how": ""}',
     '{"bytes_per_second": "x", "measured_at": "", "how": ""}',
     '{"bytes_per_second": NaN, "measured_at": "", "how": ""}',
     '{"bytes_per_second": Infinity, "measured_at": "", "how": ""}'],
)  # fmt: skip
def test_a_damaged_file_is_as_none(text, home):
    """A plan without a rate says so."""
    home.mkdir()
    (home / FILE).write_text(text)
    assert None is known(home)


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path):
    """A file lies where envdoc's folder would be."""
    (tmp_path / "file").write_text("")
    remember(tmp_path / "file", 200_000_000, 10.0)
    assert None is known(tmp_path / "file")
