"""Rows of docs/benchmarks.md: the same toy pipelines in macula, dvc, snakemake, redun and xvc. See run.sh."""

import os
import pathlib
import signal
import statistics
import sys
import time

import tools
from tools import LIMIT, TooLong, call, clear, write

ROUNDS = int(os.environ.get("ROUNDS", "3"))

# Tools that timed out in the current row.
late = set()


def say(*words):
    print(*words, flush=True)


def timed(work):
    began = time.monotonic()
    work()
    return time.monotonic() - began


def row(name, cells):
    say(f"| {name} | " + " | ".join(cells) + " |")


def shown(seconds):
    return f"{seconds:.2f} s" if seconds < 100 else f"{seconds:.0f} s"


def toys(folder, n, which=tools.ALL):
    """A prepared toy of each tool, with its folder; if it cannot be made, the reason."""
    made = []
    late.clear()
    for kind in which:
        place = folder / f"toy-{kind.name}"
        clear(place)
        place.mkdir(parents=True)
        os.chdir(place)
        try:
            tool = kind()
            tool.prepare(n)
            took = timed(tool.first)
            say(f"  {kind.name}: first run of {n} stages {took:.1f} s")
            made.append((tool, place))
        except RuntimeError as error:
            excuse(kind.name, error)
            clear(place)
    return made


def turns(made, work):
    """Medians over rounds, alternating between tools. `work(tool)` is timed, unless it returns its own time."""
    times = {tool.name: [] for tool, _ in made}
    for _ in range(ROUNDS):
        for tool, place in made:
            os.chdir(place)
            began = time.monotonic()
            own = work(tool)
            times[tool.name].append(time.monotonic() - began if own is None else own)
    return {name: statistics.median(all) for name, all in times.items()}


def excuse(name, error):
    """The reason why a tool has no time in this row."""
    say(f"  {name}: {str(error)[:400]}")
    if isinstance(error, TooLong):
        late.add(name)


def cells(medians):
    none = {name: f"first run over {LIMIT} s" for name in late}
    return [shown(medians[kind.name]) if kind.name in medians else none.get(kind.name, "none") for kind in tools.ALL]


def noop(folder, n):
    made = toys(folder, n)
    row(f"no-op, {n:,} stages", cells(turns(made, lambda tool: tool.run())))
    for _, place in made:
        clear(place)


def right(tool, k, text):
    path = pathlib.Path(tool.out.format(k=k))
    return path.exists() and path.read_text() == text


def restore(folder):
    """Deletes an output from the working folder: what restores it, and how long that takes."""
    made = toys(folder, 10)
    wrong = set()

    def work(tool):
        pathlib.Path(tool.out.format(k=3)).unlink()
        took = timed(tool.run)
        if not right(tool, 3, "input 3\na\n"):
            wrong.add(tool.name)
            write(tool.out.format(k=3), "input 3\na\n")
        return took

    medians = turns(made, work)
    row("restore a deleted output", [f"{cell}{', WRONG: not there' if kind.name in wrong else ''}" for kind, cell in zip(tools.ALL, cells(medians))])
    for _, place in made:
        clear(place)


def revert(folder):
    """Changes a parameter from a to b and back: the time of the change back, and whether the outputs are those of a."""
    made = toys(folder, 10)
    wrong = set()

    def work(tool):
        tool.parameter("b")
        tool.run()
        tool.parameter("a")
        took = timed(tool.run)
        if not all(right(tool, k, f"input {k}\na\n") for k in range(10)):
            wrong.add(tool.name)
        return took

    medians = turns(made, work)
    row("revert a parameter of 10 stages", [f"{cell}{', WRONG bytes' if kind.name in wrong else ''}" for kind, cell in zip(tools.ALL, cells(medians))])
    for _, place in made:
        clear(place)


def flip(folder):
    """Flips a byte of a cached output and deletes the output: what the next run restores."""
    told = []
    for kind in tools.ALL:
        if kind.cache is None:
            told.append("keeps no copies")
            continue
        made = toys(folder, 10, [kind])
        if not made:
            told.append("none")
            continue
        tool, place = made[0]
        os.chdir(place)
        out = pathlib.Path(tool.out.format(k=3))
        bytes_of = out.read_bytes()
        cached = [path for path in pathlib.Path(tool.cache).rglob("*") if path.is_file() and path.read_bytes() == bytes_of]
        if not cached:
            told.append("keeps no copy")
            clear(place)
            continue
        for path in cached:
            path.chmod(0o644)
            data = bytearray(path.read_bytes())
            data[0] ^= 1
            with open(path, "r+b") as file:
                file.write(data)
        out.unlink(missing_ok=True)
        try:
            tool.run()
            came = "right" if right(tool, 3, bytes_of.decode()) else "WRONG bytes, silently" if out.exists() else "not there"
        except RuntimeError as error:
            came = f"an error: {str(error).strip().splitlines()[-1][:80]}"
        if tool.name == "macula" and came != "right":
            # A stage that reads it finds it.
            got = call(tool.binary, "get", "toy.kdl", "s3", "got", check=False)
            tool.run()
            came += f"; `macula get` refuses (exit {got.returncode}), and after the next run it is " + (
                "right" if right(tool, 3, bytes_of.decode()) else "WRONG"
            )
        told.append(came)
        clear(place)
    row("a flipped byte in the cache", told)


KILLS = 5


def kill(folder):
    """Kills the first run (SIGKILL, the whole group) at KILLS times: does the same command continue, with correct results?"""
    told = []
    for kind in tools.ALL:
        came = [killed(folder / f"toy-{kind.name}", kind, 5 * (at + 1)) for at in range(KILLS)]
        went_on = sum(one == "" for one in came)
        if went_on == KILLS:
            told.append(f"goes on, {KILLS} of {KILLS}")
        else:
            told.append(f"goes on {went_on} of {KILLS}: {next(one for one in came if one)}")
    row("killed, and run again", told)


def killed(place, kind, outputs):
    """Kills a first run of 40 stages at a given number of outputs. Returns what is wrong after the next run, or an empty text."""
    clear(place)
    place.mkdir(parents=True)
    os.chdir(place)
    tool = kind()
    tool.prepare(40)
    child = os.fork()
    if child == 0:
        os.setsid()
        tools.apart = False
        try:
            tool.run()
        finally:
            os._exit(0)
    began = time.monotonic()
    while time.monotonic() - began < 120:
        if sum(pathlib.Path(tool.out.format(k=k)).exists() for k in range(40)) >= outputs:
            break
        # macula links outputs at the end, but records them before.
        records = pathlib.Path(".macula/v1/actions")
        if kind.name == "macula" and records.exists() and sum(1 for _ in records.rglob("*.any")) >= outputs:
            break
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        tool.run()
        return "" if all(right(tool, k, f"input {k}\na\n") for k in range(40)) else "WRONG bytes"
    except RuntimeError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return " ".join(lines[:4])[:200]
    finally:
        clear(place)


def tiny_png(value):
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    line = b"\0" + bytes([value % 256, value // 256 % 256, 40]) * 32
    head = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(line * 32)) + chunk(b"IEND", b"")


ITEMS = 10_000


def items(folder):
    """10,000 images in a folder, with a stage over all of them: no-op, and one image added."""
    results = {}

    def pictures(at):
        os.chdir(at)
        pathlib.Path("pictures").mkdir()
        for k in range(ITEMS):
            pathlib.Path(f"pictures/p{k:05}.png").write_bytes(tiny_png(k))
        pathlib.Path("masks").mkdir()
        pathlib.Path("masks/p00000.png").write_bytes(tiny_png(0))

    def macula(at):
        binary = tools.Macula().binary
        write("toy.kdl", 'pipeline toy seed=1 {\n    folder eyes { root "."; photographs "pictures/*"; masks MA "masks/*.png" }\n'
              "    extract patches { from eyes; size 32; label min-pixels=1 }\n}\n")
        return lambda: call(binary, "run", "toy.kdl")

    whole = ("import hashlib, pathlib, sys\n"
             "out = pathlib.Path('out'); out.mkdir(exist_ok=True)\n"
             "for path in pathlib.Path('pictures').iterdir():\n"
             "    (out / path.name).write_bytes(path.read_bytes())\n")

    def dvc(at):
        tools.git()
        call("dvc", "init", "-q")
        write("copy.py", whole)
        write("dvc.yaml", "stages:\n  copy:\n    cmd: python copy.py\n    deps: [pictures]\n    outs: [out]\n")
        return lambda: call("dvc", "repro", "-q")

    def snakemake(at):
        write("Snakefile", 'NAMES = glob_wildcards("pictures/{k}.png").k\nrule all:\n    input: expand("out/{k}.png", k=NAMES)\n'
              'rule copy:\n    input: "pictures/{k}.png"\n    output: "out/{k}.png"\n    shell: "cp {input} {output}"\n')
        pathlib.Path("out").mkdir()
        for path in pathlib.Path("pictures").iterdir():
            (pathlib.Path("out") / path.name).write_bytes(path.read_bytes())
        call("snakemake", "--touch", "-j2", "-q", "all")
        return lambda: call("snakemake", "-j2", "-q", "all")

    def redun(at):
        write("toy.py", "import pathlib\nfrom redun import File, task\nredun_namespace = 'toy'\n@task()\ndef copy(file: File) -> File:\n"
              "    out = File('out/' + pathlib.Path(file.path).name)\n    out.write(file.read('rb'), 'wb')\n    return out\n"
              "@task()\ndef main(n: int = 0):\n    return [copy(File(str(p))) for p in sorted(pathlib.Path('pictures').iterdir())]\n")
        return lambda n=[0]: (n.__setitem__(0, n[0] + 1), call("redun", "run", "toy.py", "main", "--n", str(n[0])))[1]

    def xvc(at):
        tools.git()
        tool = tools.Xvc()
        tool.xvc("init")
        write("copy.py", whole)
        write("toy.yaml", "version: 1\nname: default\nworkdir: ''\nsteps:\n- name: copy\n  command: python copy.py\n  invalidate: ByDependencies\n"
              "  dependencies:\n  - !Glob\n    glob: pictures/*.png\n    xvc_paths_metadata: null\n    content_digest: null\n  outputs:\n  - !File\n    path: out/p00000.png\n")
        tool.xvc("pipeline import --file toy.yaml --overwrite")
        return lambda: tool.xvc("pipeline run")

    made = []
    late.clear()
    for kind, of in zip(tools.ALL, (macula, dvc, snakemake, redun, xvc)):
        at = folder / f"items-{kind.name}"
        clear(at)
        at.mkdir()
        pictures(at)
        try:
            run = of(at)
            say(f"  {kind.name}: first run over {ITEMS} items {timed(run):.1f} s")
            made.append((kind.name, at, run))
        except RuntimeError as error:
            excuse(kind.name, error)
            clear(at)
    added = {name: [] for name, *_ in made}
    still = {name: [] for name, *_ in made}
    for turn in range(ROUNDS):
        for name, at, run in made:
            os.chdir(at)
            still[name].append(timed(run))
            pathlib.Path(f"pictures/q{turn}.png").write_bytes(tiny_png(20_000 + turn))
            added[name].append(timed(run))
    for title, times in (("no-op", still), ("one added", added)):
        row(f"10,000 items, {title}", cells({name: statistics.median(all) for name, all in times.items()}))
    for _, at, _ in made:
        clear(at)


def store(folder):
    """15,000 small files, and 2 GB in 8 large ones: added to an empty store, and stored as the output of a copying command. macula does not
    copy files that it adds."""
    for title, make in (("15,000 small files", small), ("2 GB in 8 files", large)):
        source = folder / "source"
        clear(source)
        source.mkdir()
        make(source)
        copies = f"cp -r {source} "
        took_up = {
            "macula": lambda at: (write("toy.kdl", f'pipeline toy seed=1 {{\n    files all {{ path "{source}" }}\n}}\n'),
                                  lambda: call(tools.Macula().binary, "run", "toy.kdl"))[1],
            "dvc": lambda at: (tools.git(), call("dvc", "init", "-q"), call("cp", "-r", str(source), "data"),
                               lambda: call("dvc", "add", "-q", "data"))[-1],
            "xvc": lambda at: (tools.git(), tools.Xvc().xvc("init"), call("cp", "-r", str(source), "data"),
                               lambda: tools.Xvc().xvc("file track data"))[-1],
            "b3sum": lambda at: lambda: call("sh", "-c", f"find {source} -type f -print0 | xargs -0 b3sum > sums"),
            "cp": lambda at: lambda: call("sh", "-c", copies + "copy"),
        }
        kept = {
            "macula": lambda at: (write("toy.kdl", f'pipeline toy seed=1 {{\n    exec copy {{\n        command "sh" "-c" "{copies}outputs/all"\n'
                                        f'        reads "{source}"\n        gives "all/" any\n    }}\n}}\n'),
                                  lambda: call(tools.Macula().binary, "run", "toy.kdl", "--trust"))[1],
            "dvc": lambda at: (tools.git(), call("dvc", "init", "-q"),
                               write("dvc.yaml", f"stages:\n  copy:\n    cmd: {copies}out\n    outs: [out]\n"),
                               lambda: call("dvc", "repro", "-q"))[-1],
            "cp": took_up["cp"],
        }
        for what, ways in (("taken up", took_up), ("copied by a command and kept", kept)):
            times = {name: [] for name in ways}
            for _ in range(ROUNDS):
                for name, way in ways.items():
                    at = folder / f"store-{name}"
                    clear(at)
                    at.mkdir()
                    os.chdir(at)
                    try:
                        times[name].append(timed(way(at)))
                    except RuntimeError as error:
                        say(f"  {name}: {str(error)[:300]}")
                    os.chdir(folder)
                    clear(at)
            say(f"| {title}, {what} | " + ", ".join(f"{name} {shown(statistics.median(all))}" for name, all in times.items() if all) + " |")
        clear(source)


def small(at):
    for k in range(15_000):
        folder = at / f"{k % 100:02}"
        folder.mkdir(exist_ok=True)
        (folder / f"{k}.bin").write_bytes((f"{k} ".encode() * 700)[:4096])


def large(at):
    block = os.urandom(1 << 20)
    for k in range(8):
        with open(at / f"{k}.bin", "wb") as file:
            for piece in range(256):
                file.write(piece.to_bytes(2, "big") + k.to_bytes(2, "big") + block[4:])


ROWS = {
    "noop-10": lambda folder: noop(folder, 10),
    "noop-100": lambda folder: noop(folder, 100),
    "noop-1000": lambda folder: noop(folder, 1000),
    "items": items,
    "store": store,
    "restore": restore,
    "revert": revert,
    "flip": flip,
    "kill": kill,
}


def main():
    folder = pathlib.Path(sys.argv[1]) / "toys"
    clear(folder)
    folder.mkdir(parents=True)
    os.chdir(folder)
    row("", [f"{kind.name} {kind().version()}" for kind in tools.ALL])
    for name in sys.argv[2:] or ROWS:
        ROWS[name](folder)
        os.chdir(folder.parent)
    clear(folder)


main()
