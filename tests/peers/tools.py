"""The toy graph in each tool's own words: N stages, each copies `in/K.txt` to `out/K.txt` by a command and adds a parameter.

A tool has `prepare(n)`, which writes its files into the current folder, `first()`, which brings all outputs up to date, and `run()`,
which is what a user types after that. `parameter(value)` changes what every stage depends on.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

ENVIRONMENT = {**os.environ, "DVC_NO_ANALYTICS": "1", "NO_COLOR": "1", "XVC_NO_ANALYTICS": "1"}


# No command is waited for longer, in seconds.
LIMIT = int(os.environ.get("LIMIT", "900"))

# Whether each command is in a group of processes of its own.
apart = True


class TooLong(RuntimeError):
    """A command that did not end within the limit."""


def call(*words, check=True):
    """Runs a command in the current folder; what it said where it fails."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(words, env=ENVIRONMENT, start_new_session=apart, **pipes)
    try:
        stdout, stderr = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        # Its children, too.
        if apart:
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.communicate()
        raise TooLong(f"{words[0]} takes more than {LIMIT} s") from None
    done = subprocess.CompletedProcess(words, process.returncode, stdout, stderr)
    if check and done.returncode != 0:
        raise RuntimeError(f"{words[:4]} ended with {done.returncode}:\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
    return done


def write(path, text):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def inputs(n):
    pathlib.Path("out").mkdir(exist_ok=True)
    for k in range(n):
        write(f"in/{k}.txt", f"input {k}\n")


def git():
    call("git", "init", "-q", ".")
    call("git", "config", "user.email", "toy@example.org")
    call("git", "config", "user.name", "toy")


class Macula:
    name = "macula"
    cache = ".macula/v1/objects"
    out = "results/toy/s{k}/{k}.txt"

    def __init__(self):
        self.binary = ENVIRONMENT["MACULA"]
        ENVIRONMENT["MACULA_TRUST"] = str(pathlib.Path("trusted").absolute())

    def version(self):
        return call(self.binary, "--version").stdout.split()[-1]

    def prepare(self, n):
        inputs(n)
        self.n = n
        self.parameter("a")

    def parameter(self, value):
        stages = [
            f'    files in{k} {{ path "in/{k}.txt" }}\n'
            f'    exec s{k} {{\n        files in{k}\n        command sh "-c" "cat inputs/files/{k}.txt > outputs/{k}.txt; '
            f'echo {value} >> outputs/{k}.txt"\n        gives "{k}.txt" text\n    }}\n'
            for k in range(self.n)
        ]
        write("toy.kdl", "pipeline toy seed=1 {\n" + "".join(stages) + "}\n")
        call(self.binary, "trust", "toy.kdl")

    def run(self):
        call(self.binary, "run", "toy.kdl")

    first = run


class Dvc:
    name = "dvc"
    cache = ".dvc/cache/files"
    out = "out/{k}.txt"

    def version(self):
        return call("dvc", "--version").stdout.strip()

    def prepare(self, n):
        inputs(n)
        self.n = n
        git()
        call("dvc", "init", "-q")
        stages = "".join(
            f"  s{k}:\n    cmd: cat in/{k}.txt > out/{k}.txt; echo ${{v}} >> out/{k}.txt\n"
            f"    deps: [in/{k}.txt]\n    params: [v]\n    outs: [out/{k}.txt]\n"
            for k in range(n)
        )
        write("dvc.yaml", "stages:\n" + stages)
        self.parameter("a")

    def parameter(self, value):
        write("params.yaml", f"v: {value}\n")

    def first(self):
        if self.n < 50:
            return self.run()
        # One stage after the other takes most of an hour: the outputs are made here and put on record at once.
        for k in range(self.n):
            write(f"out/{k}.txt", f"input {k}\na\n")
        call("dvc", "commit", "-f", "-q")

    def run(self):
        call("dvc", "repro", "-q")


class Snakemake:
    name = "snakemake"
    cache = None
    out = "out/{k}.txt"

    def version(self):
        return call("snakemake", "--version").stdout.strip()

    def prepare(self, n):
        inputs(n)
        self.n = n
        write(
            "Snakefile",
            'configfile: "config.yaml"\n'
            f'rule all:\n    input: expand("out/{{k}}.txt", k=range({n}))\n'
            'rule copy:\n    input: "in/{k}.txt"\n    output: "out/{k}.txt"\n    params: v=config["v"]\n'
            '    shell: "cat {input} > {output}; echo {params.v} >> {output}"\n',
        )
        self.parameter("a")

    def parameter(self, value):
        write("config.yaml", f"v: {value}\n")

    def first(self):
        if self.n < 50:
            return self.run()
        for k in range(self.n):
            write(f"out/{k}.txt", f"input {k}\na\n")
        call("snakemake", "--touch", "-j2", "-q", "all")

    def run(self):
        call("snakemake", "-j2", "-q", "all")


class Redun:
    name = "redun"
    cache = None
    out = "out/{k}.txt"

    def version(self):
        return call("redun", "--version").stdout.split(":")[-1].strip()

    def prepare(self, n):
        inputs(n)
        self.n = n
        write(
            "toy.py",
            "from redun import File, task\n"
            'redun_namespace = "toy"\n'
            "@task()\n"
            "def copy(file: File, k: int, v: str) -> File:\n"
            '    out = File(f"out/{k}.txt")\n'
            '    out.write(file.read() + v + "\\n")\n'
            "    return out\n"
            "@task()\n"
            'def main(n: int = 0, v: str = "a"):\n'
            '    return [copy(File(f"in/{k}.txt"), k, v) for k in range(n)]\n',
        )
        self.parameter("a")

    def parameter(self, value):
        self.value = value

    def run(self):
        call("redun", "run", "toy.py", "main", "--n", str(self.n), "--v", self.value)

    first = run


class Xvc:
    name = "xvc"
    cache = ".xvc/b3"
    out = "out/{k}.txt"
    code = "import sys, xvc; said = str(xvc.run_xvc(sys.argv[1])); sys.exit(said if 'ERROR' in said else 0)"

    def version(self):
        import importlib.metadata

        return importlib.metadata.version("xvc")

    def xvc(self, words):
        call(sys.executable, "-c", self.code, f"xvc {words}")

    def prepare(self, n):
        inputs(n)
        self.n = n
        git()
        self.xvc("init")
        write("copy.sh", 'cat in/$1.txt > out/$1.txt\ncat v.txt >> out/$1.txt\n')
        steps = "".join(
            f"- name: s{k}\n  command: sh copy.sh {k}\n  invalidate: ByDependencies\n  dependencies:\n"
            + "".join(
                f"  - !File\n    path: {path}\n    xvc_metadata: null\n    content_digest: null\n" for path in (f"in/{k}.txt", "v.txt")
            )
            + f"  outputs:\n  - !File\n    path: out/{k}.txt\n"
            for k in range(n)
        )
        write("toy.yaml", f"version: 1\nname: default\nworkdir: ''\nsteps:\n{steps}")
        self.parameter("a")
        self.xvc("pipeline import --file toy.yaml --overwrite")

    def parameter(self, value):
        write("v.txt", f"{value}\n")

    def run(self):
        self.xvc("pipeline run")

    first = run


ALL = [Macula, Dvc, Snakemake, Redun, Xvc]


def clear(folder):
    """Removes a toy, read-only files too."""
    subprocess.run(["chmod", "-R", "u+w", str(folder)], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)
