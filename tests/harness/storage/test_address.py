"""Addresses of S3, and which names below one are a run directory's."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.storage.address import Address, check_address, is_hostile, is_run_file, parse_address


@pytest.mark.parametrize(
    ("text", "bucket", "prefix"),
    [
        ("s3://load-tests", "load-tests", ""),
        ("s3://load-tests/", "load-tests", ""),
        ("s3://load-tests/team/a/", "load-tests", "team/a"),
    ],
)
def test_address_is_a_bucket_and_a_prefix(text: str, bucket: str, prefix: str) -> None:
    """A slash at the end means nothing."""
    assert parse_address(text) == Address(bucket, prefix)
    assert parse_address(check_address(text)) == Address(bucket, prefix)


@pytest.mark.parametrize(
    "text",
    [
        "s3://",
        "s3://A/b",
        "s3://ab/../c",
        "s3://abc/a//b",
        "s3://abc/a b",
        "s3:/abc",
        "abc",
        "s3://a..b/c",
        "s3://abc/\0",
    ],
)
def test_what_is_not_an_address_is_refused_with_an_example(text: str) -> None:
    """A misspelt address is known before the run."""
    with pytest.raises(ValueError, match="write one like s3://my-bucket/load-tests"):
        parse_address(text)


@pytest.mark.parametrize(
    "name",
    [
        "run.json",
        "contacts.worker-1.jsonl",
        "samples/local-00000.parquet",
        "samples/worker-0-00012.arrows",
        "samples/local.tally",
        "capacity.json",
        "figures/over-time.svg",
    ],
)
def test_files_of_a_run_are_known(name: str) -> None:
    """What a run or its report writes is sent and fetched."""
    assert is_run_file(name)
    assert not is_hostile(name)


@pytest.mark.parametrize(
    "name",
    [
        "../run.json",
        "samples/../../x",
        "/etc/passwd",
        "samples/../x-00000.parquet",
        "contacts.../../x.jsonl",
        ".lock",
        "samples/.local-00000.parquet",
        "figures/../../x.svg",
        "notes.txt",
        "samples/a/b-00000.parquet",
        "run.json\n",
        "figures/x.svg\n",
    ],
)
def test_other_files_are_not(name: str) -> None:
    """Neither what leads elsewhere nor what chatquota does not write is fetched."""
    assert not is_run_file(name)


@given(st.text(st.sampled_from("run.jsoamplesctg/\\-0159 \n\0é"), max_size=40) | st.text(max_size=40))
def test_accepted_name_stays_inside_the_directory(name: str) -> None:
    """Whatever the bucket calls its objects, an accepted name is one of two levels, without a step up or a root."""
    if is_run_file(name):
        path = PurePosixPath(name)
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert len(path.parts) <= 2
        assert not is_hostile(name)
