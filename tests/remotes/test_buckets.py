"""Remotes in buckets: the same tests for every service (services.py). MACULA names the binary, ROUNDS the number of races for a key.

Results of the races are also appended to the file named by FIGURES."""

import os
import shutil

import pytest
from conftest import noise

ROUNDS = int(os.environ.get("ROUNDS", "1"))
WRITERS = 16
MADE = "noise/noise/noise"


def figure(text: str):
    print(text)
    if "FIGURES" in os.environ:
        with open(os.environ["FIGURES"], "a", encoding="utf-8") as file:
            file.write(text + "\n")


def test_results_are_shared_through_a_bucket(project, bucket):
    first = project("first")
    first.run()
    assert "5 results uploaded" in first.push()
    assert "0 results uploaded" in first.push()
    assert bucket.names() and all(name.startswith("some/prefix/v1/") for name in bucket.names())

    other = project("other")
    assert "0 will run, 5 reused" in other.macula("plan", "pipeline.kdl")
    assert "nothing to compute: 5 reused" in other.run()
    assert other.results() == first.results()
    other.macula("store", "verify")

    third = project("third")
    assert "5 results downloaded" in third.macula("pull", "pipeline.kdl")


def test_a_damaged_and_a_missing_object_are_misses(project, bucket):
    first = project("first")
    first.run()
    first.push()
    packs = [name for name in bucket.names() if "/packs/" in name]
    content = bytearray(bucket.service.read(bucket.name, packs[0]))
    content[-1] ^= 1
    bucket.service.write(bucket.name, packs[0], bytes(content))
    bucket.service.delete(bucket.name, packs[1])
    other = project("other")
    assert "is damaged and is ignored" in other.run()
    assert other.results() == first.results()
    first.push("--overwrite")
    again = project("again")
    assert "nothing to compute: 5 reused" in again.run()


def test_a_large_file_goes_in_pieces_and_comes_whole(project, bucket):
    first = project("first", noise(20_000_000))
    first.run()
    first.push()
    pieces = [one for one in bucket.between.requests if one.method == "PUT" and "/objects/" in one.name and one.query]
    # Azure needs one more to list its blocks.
    assert len(pieces) >= 3 and all(one.status < 300 for one in pieces)
    other = project("other", noise(20_000_000))
    assert "nothing to compute: 1 reused" in other.run()
    assert other.results() == first.results() and len(other.results()[MADE]) == 20_000_000


class Race:
    """Sixteen projects with different bytes under one key."""

    def __init__(self, project, bucket):
        self.project, self.bucket, self.text = project, bucket, noise(400_000)
        self.made = [project(f"project-{number}", self.text) for number in range(WRITERS)]
        for each in self.made:
            each.run()
        self.own = {each.results()[MADE] for each in self.made}
        assert len(self.own) == WRITERS, "all made other bytes"

    def round(self, number: int):
        """All push at the same time, to a new prefix. Returns how often creation was requested, how often it succeeded, and how many
        reported that the service overwrites existing objects."""
        location = f"{self.bucket.location}/round-{number}"
        self.bucket.between.requests.clear()
        for each in self.made:
            each.remote(location)
            each.environment["MACULA_REMOTE_TIMEOUT"] = "120"
        # No process gets an answer before all have asked for the object.
        self.bucket.between.talks.clear()
        started = [(each, each.start("push", "pipeline.kdl")) for each in self.made]
        self.bucket.between.until_waiting(WRITERS)
        self.bucket.between.talks.set()
        told = sum("ignores if-none-match" in each.ended(process) for each, process in started)
        tries = self.bucket.between.answers("PUT", ".any")
        won = sum(status < 300 for status in tries)
        assert len(tries) > WRITERS, f"not all tried: {tries}"
        self.all_read_one_result(location, f"reader-{number}")
        return len(tries), won, told

    def all_read_one_result(self, location: str, name: str):
        found = set()
        for number in range(2):
            reader = self.project(f"{name}-{number}", self.text)
            reader.remote(location)
            assert "nothing to compute: 1 reused" in reader.run()
            found.add(reader.results()[MADE])
        assert len(found) == 1 and found < self.own


def test_of_sixteen_that_create_one_key_one_wins(project, bucket):
    race = Race(project, bucket)
    for number in range(ROUNDS):
        tries, won, told = race.round(number)
        figure(f"{bucket.service.scheme}: a key was created {won} x; {told} of {WRITERS} told that it is written over")
        # The winner asks once more, to check that its object stays.
        assert (tries, won, told) == (WRITERS + 1, 1, 0)


@pytest.mark.parametrize("service", ["s3"], indirect=True)
def test_where_versions_are_kept_one_wins_or_all_are_told(project, bucket):
    bucket.service.keep_versions(bucket.name)
    race = Race(project, bucket)
    for number in range(ROUNDS):
        tries, won, told = race.round(number)
        figure(f"{bucket.service.scheme}, versions kept: a key was created {won} x; {told} of {WRITERS} told that it is written over")
        # Every process that created it asks once more.
        assert (won, told) == (1, 0) or won == tries == 2 * told == 2 * WRITERS, f"{tries} tried"


def test_each_way_to_say_credentials_is_taken(project, bucket):
    first = project("first", noise(400_000))
    first.run()
    for number, way in enumerate(bucket.service.every_way(bucket.between.address)):
        others = {name: value for name, value in first.environment.items() if not name.startswith(bucket.service.variables)}
        first.environment = others | way
        first.remote(f"{bucket.location}/way-{number}")
        assert "1 result uploaded" in first.push(), list(way)


def test_what_can_pass_is_tried_again(project, bucket):
    first = project("first")
    first.run()
    bucket.between.refuse(503)
    said = first.push()
    assert "5 results uploaded" in said and "warning[remote]" not in said
    assert not bucket.between.refusals
    other = project("other")
    bucket.between.refuse(429, 500)
    said = other.run()
    assert "nothing to compute: 5 reused" in said and "warning[remote]" not in said
    assert not bucket.between.refusals


def test_a_bucket_that_is_not_there_is_told_once(project, bucket):
    one = project("one")
    one.remote(f"{bucket.service.scheme}://there-is-no-such-bucket/p")
    said = one.run()
    assert said.count("warning[remote]") == 1 and "check that the bucket exists" in said and "5 computed" in said
    said = one.push(code=3)
    assert "check that the bucket exists" in said


def test_failures_are_reported_once_without_secrets(project, bucket):
    one = project("one")
    right = one.environment

    def without_it(hint: str):
        shutil.rmtree(one.folder / ".macula", ignore_errors=True)
        said = one.run()
        assert said.count("warning[remote]") == 1 and hint in said and "5 computed" in said, said

    wrong = bucket.service.wrong_credentials(bucket.between.address)
    for ask in (lambda: without_it("check the permissions of the credentials"), lambda: one.push(code=3)):
        if wrong is None:
            bucket.between.refuse(403)
        else:
            one.environment = right | wrong
        ask()

    one.environment = right | {"MACULA_REMOTE_TIMEOUT": "1"}
    bucket.between.talks.clear()
    without_it("did not respond for 1 s")
    bucket.between.talks.set()

    # Nothing listens on this port.
    one.environment = right | bucket.service.credentials("http://127.0.0.1:9")
    assert "127.0.0.1:9" not in one.push(code=3), "an address may hold a signature"
