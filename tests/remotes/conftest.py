"""Fixtures: a service, a bucket behind a proxy, and projects."""

import os
import pathlib
import subprocess

import pytest
import services
from between import Between

MACULA = os.environ.get("MACULA", "macula")

PIPELINE = """\
pipeline small seed=7 {
    synthetic eyes { photographs 6; size 192; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    extract patches { from eyes; size 48 }
    split folds { from patches; by patient; train 0.5; valid 0.25; test 0.25 }
    train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 1; batch 32 }
    threshold-tune cuts { model classifier; data folds.valid }
}
"""


def noise(size: int) -> str:
    """A pipeline that makes different bytes each time, under one key."""
    command = f'command sh "-c" "head -c {size} /dev/urandom > outputs/noise"'
    return f'pipeline noise seed=7 {{\n    exec noise {{\n        {command}\n        gives "noise" any\n    }}\n}}\n'


class Project:
    """A folder with its own pipeline, store and remote."""

    def __init__(self, folder: pathlib.Path, bucket: "Bucket", text: str = PIPELINE):
        folder.mkdir(parents=True)
        self.folder, self.bucket = folder, bucket
        (folder / "pipeline.kdl").write_text(text)
        self.remote(bucket.location)
        others = ("MACULA_", *(service.variables for service in services.ALL.values()))
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        self.environment |= bucket.service.credentials(bucket.between.address)
        self.environment |= {"MACULA_TRUST": str(folder / "trusted"), "NO_PROXY": "127.0.0.1"}

    def remote(self, location: str):
        (self.folder / "project.kdl").write_text(f'remote lab "{location}" write=#true photographs=#true timeout=5\n')

    def start(self, *arguments: str):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen([MACULA, *arguments], cwd=self.folder, env=self.environment, **pipes)

    def ended(self, process, code: int = 0) -> str:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == code, said
        assert not [secret for secret in self.bucket.service.secrets if secret in said], "a secret is told"
        return said

    def macula(self, *arguments: str, code: int = 0) -> str:
        return self.ended(self.start(*arguments), code)

    def run(self, code: int = 0) -> str:
        # Lines break where they are too long for a terminal.
        return " ".join(self.macula("run", "pipeline.kdl", "--trust", "--unconfined", code=code).split())

    def push(self, *arguments: str, code: int = 0) -> str:
        return self.macula("push", "pipeline.kdl", *arguments, code=code)

    def results(self):
        root = self.folder / "results"
        files = sorted(path for path in root.rglob("*") if path.is_file() and path.name not in ("README.txt", ".macula"))
        return {str(path.relative_to(root)): path.read_bytes() for path in files}


class Bucket:
    """A bucket (Azure: a container), and the proxy between it and macula."""

    def __init__(self, service, name: str):
        self.service, self.name = service, name
        self.location = f"{service.scheme}://{name}/some/prefix"
        self.between = Between(service.address)

    def names(self):
        return self.service.names(self.name)


@pytest.fixture(scope="session", params=services.ALL)
def service(request, tmp_path_factory):
    started = services.ALL[request.param](tmp_path_factory.mktemp(request.param))
    yield started
    started.close()


@pytest.fixture
def bucket(service, request):
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:60].strip("-")
    service.make(name)
    made = Bucket(service, name)
    yield made
    made.between.close()


@pytest.fixture
def project(tmp_path, bucket):
    """Makes projects, from a name and the text of a pipeline."""
    return lambda name, *text: Project(tmp_path / name, bucket, *text)
