"""Remotes in buckets of a real S3 server: moto, in this process. MACULA names the binary."""

import os
import pathlib
import shutil
import subprocess

import boto3
import pytest
from moto.server import ThreadedMotoServer

MACULA = os.environ.get("MACULA", "macula")
SECRET = "a-secret-that-nobody-may-read"

PIPELINE = """\
pipeline small seed=7 {
    synthetic eyes { photographs 6; size 192; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    extract patches { from eyes; size 48 }
    split folds { from patches; by patient; train 0.5; valid 0.25; test 0.25 }
    train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 1; batch 32 }
    threshold-tune cuts { model classifier; data folds.valid }
}
"""

# Other bytes each time, under one key.
NOISE = """\
pipeline noise seed=7 {
    exec noise {
        command sh "-c" "head -c 400000 /dev/urandom > outputs/noise"
        gives "noise" any
    }
}
"""


@pytest.fixture(scope="module")
def address():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(address, request):
    name = request.node.name.replace("_", "-")[:60].strip("-")
    client = boto3.client(
        "s3", endpoint_url=address, aws_access_key_id="key", aws_secret_access_key=SECRET, region_name="us-east-1"
    )
    client.create_bucket(Bucket=name)
    # Then every write is on record.
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return client, name


class Project:
    """A folder with a pipeline, a store and a remote of its own."""

    def __init__(self, folder: pathlib.Path, address: str, bucket: str, text: str = PIPELINE):
        folder.mkdir(parents=True)
        self.folder = folder
        (folder / "pipeline.kdl").write_text(text)
        self.remote(f"s3://{bucket}/some/prefix")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(("MACULA_", "AWS_"))}
        self.environment |= {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": address,
            "MACULA_TRUST": str(folder / "trusted"),
            "NO_PROXY": "127.0.0.1",
        }

    def remote(self, location: str):
        (self.folder / "project.kdl").write_text(f'remote lab "{location}" write=#true photographs=#true timeout=5\n')

    def start(self, *arguments: str):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen([MACULA, *arguments], cwd=self.folder, env=self.environment, **pipes)

    def macula(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*arguments)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == code, said
        assert SECRET not in said
        return said

    def results(self):
        root = self.folder / "results"
        files = sorted(path for path in root.rglob("*") if path.is_file() and path.name not in ("README.txt", ".macula"))
        return {str(path.relative_to(root)): path.read_bytes() for path in files}


def names(client, bucket):
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def test_results_are_shared_through_a_bucket(tmp_path, address, bucket):
    client, name = bucket
    first = Project(tmp_path / "first", address, name)
    first.macula("run", "pipeline.kdl")
    assert "5 results sent" in first.macula("push", "pipeline.kdl")
    assert "0 results sent" in first.macula("push", "pipeline.kdl")
    assert names(client, name) and all(key.startswith("some/prefix/v1/") for key in names(client, name))

    other = Project(tmp_path / "other", address, name)
    assert "0 will run, 5 reused" in other.macula("plan", "pipeline.kdl")
    assert "nothing to compute: 5 reused" in other.macula("run", "pipeline.kdl")
    assert other.results() == first.results()
    other.macula("store", "verify")

    third = Project(tmp_path / "third", address, name)
    assert "5 results came" in third.macula("pull", "pipeline.kdl")


def test_a_damaged_and_a_missing_object_are_misses(tmp_path, address, bucket):
    client, name = bucket
    first = Project(tmp_path / "first", address, name)
    first.macula("run", "pipeline.kdl")
    first.macula("push", "pipeline.kdl")
    packs = [key for key in names(client, name) if "/packs/" in key]
    body = bytearray(client.get_object(Bucket=name, Key=packs[0])["Body"].read())
    body[-1] ^= 1
    client.put_object(Bucket=name, Key=packs[0], Body=bytes(body))
    client.delete_object(Bucket=name, Key=packs[1])
    other = Project(tmp_path / "other", address, name)
    said = other.macula("run", "pipeline.kdl")
    assert "is damaged; it counts as missing" in said
    assert other.results() == first.results()
    first.macula("push", "pipeline.kdl", "--anew")
    again = Project(tmp_path / "again", address, name)
    assert "nothing to compute: 5 reused" in again.macula("run", "pipeline.kdl")


def test_of_sixteen_that_create_one_key_one_wins(tmp_path, address, bucket):
    client, name = bucket
    made = []
    for number in range(16):
        project = Project(tmp_path / f"project-{number}", address, name, NOISE)
        project.macula("run", "pipeline.kdl", "--trust", "--unconfined")
        made.append(project)
    assert len({project.results()["noise/noise/noise"] for project in made}) == 16, "all made other bytes"
    for process in [project.start("push", "pipeline.kdl") for project in made]:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    versions = client.list_object_versions(Bucket=name, Prefix="some/prefix/v1/actions/")["Versions"]
    assert len(versions) == 1, "one was written, once"
    readers = []
    for number in range(2):
        reader = Project(tmp_path / f"reader-{number}", address, name, NOISE)
        reader.macula("run", "pipeline.kdl", "--trust", "--unconfined")
        readers.append(reader.results()["noise/noise/noise"])
    assert readers[0] == readers[1] and readers[0] in [project.results()["noise/noise/noise"] for project in made]


def test_what_fails_is_told_once_and_holds_no_secret(tmp_path, address, bucket):
    _, name = bucket
    project = Project(tmp_path / "project", address, name)
    project.remote("s3://there-is-no-such-bucket/p")
    project.macula("run", "pipeline.kdl")
    assert "hint" in project.macula("push", "pipeline.kdl", code=3)
    # Nobody listens there.
    project.environment["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    shutil.rmtree(project.folder / ".macula")
    said = project.macula("run", "pipeline.kdl")
    assert said.count("warning[remote]") == 1 and "5 computed" in said
    said = project.macula("push", "pipeline.kdl", code=3)
    assert "127.0.0.1:9" not in said, "an address may hold a signature"
