"""Makes packs and has them checked by programs that know nothing of macula."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import types
import zipfile

import mlcroissant
from rocrate_validator import models, services
from rocrate_validator.utils import document_loader, http

PIPELINE = """pipeline packed seed={seed} {{
    doc "Synthetic photographs, to check packs."
    synthetic eyes {{ photographs 12; size 192; photographs-per-patient 1; healthy 0.0; severity 3.0 }}
    extract patches {{ from eyes; size 48 }}
    split folds {{ from patches; by patient; train 0.5; valid 0.25; test 0.25 }}
    train classifier {{ data folds.train; valid folds.valid; network shallow-cnn; epochs 1; batch 32 }}
    threshold-tune cuts {{ model classifier; data folds.valid }}
    eval scores {{ model classifier; thresholds cuts; data folds.test }}
    report page {{ of scores }}
}}
"""
# It includes those of Workflow Run Crate, Process Run Crate, Workflow RO-Crate and RO-Crate 1.1.
PROFILE = "provenance-run-crate-0.5"


def macula(*arguments, folder, code=0):
    """What macula prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MACULA_")}
    done = subprocess.run([os.environ["MACULA"], *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def without_network():
    """RO_CRATE_CONTEXT names a copy of https://w3id.org/ro/crate/1.1/context, which the validator would fetch."""
    if not (copy := os.environ.get("RO_CRATE_CONTEXT")):
        return
    text = pathlib.Path(copy).read_text()
    response = types.SimpleNamespace(
        status_code=200, ok=True, headers={"Content-Type": "application/ld+json"}, content=text.encode(), text=text,
        json=lambda: json.loads(text), raise_for_status=lambda: None,
    )
    document_loader._fetch_json_ld = lambda url: json.loads(text)
    http.HttpRequester.get = lambda self, url, *rest, **more: response


def check_crate(folder):
    """The crate follows its profiles; number of recommendations that it does not follow."""
    found = {}
    for severity in (models.Severity.REQUIRED, models.Severity.RECOMMENDED):
        settings = services.ValidationSettings(
            rocrate_uri=str(folder), profile_identifier=PROFILE, requirement_severity=severity
        )
        found[severity] = services.validate(settings).get_issues()
    required = found[models.Severity.REQUIRED]
    assert not required, [issue.message for issue in required]
    subprocess.run([pathlib.Path(sys.executable).with_name("runcrate"), "report", str(folder)], check=True, capture_output=True)
    return len({issue.check.identifier for issue in found[models.Severity.RECOMMENDED]})


def check_zip(pack, folder):
    """Python reads what macula unpacks."""
    with zipfile.ZipFile(pack) as archive:
        assert archive.testzip() is None
        contents = json.loads(archive.read("macula.json"))
        names = set(archive.namelist())
        assert names == {*contents["files"], "macula.json"}
        for name in names:
            bytes_ = archive.read(name)
            assert (folder / name).read_bytes() == bytes_, name
            assert name == "macula.json" or contents["files"][name]["size"] == len(bytes_)
    if unzip := shutil.which("unzip"):
        subprocess.run([unzip, "-tq", pack], check=True, capture_output=True)
    return names


def check_croissant(folder):
    """Rows of the patch sets, as mlcroissant reads them."""
    dataset = mlcroissant.Dataset(str(folder / "croissant.json"))
    assert not dataset.metadata.issues.errors
    rows = 0
    for records in dataset.metadata.record_sets:
        rows += sum(1 for _ in dataset.records(records.uuid))
    assert rows > 0
    return rows


def main(count):
    without_network()
    for number in range(count):
        with tempfile.TemporaryDirectory() as place:
            place = pathlib.Path(place)
            (place / "packed.kdl").write_text(PIPELINE.format(seed=number + 1))
            macula("run", "packed.kdl", folder=place)
            for flags in ([], ["--names"], ["--data"]):
                begun = time.monotonic()
                pack = place / f"a{''.join(flags)}.macula.zip"
                macula("pack", "packed.kdl", "--output", pack.name, *flags, folder=place)
                packed = time.monotonic() - begun
                again = place / "again.zip"
                macula("pack", "packed.kdl", "--output", again.name, *flags, folder=place)
                digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (pack, again)}
                assert len(digests) == 1, "packed twice, two files"
                again.unlink()
                macula("unpack", pack.name, "out", folder=place)
                out = place / "out"
                files = check_zip(pack, out)
                recommended = check_crate(out)
                data = pack.read_bytes()
                named = b"synthetic_0" in data or b"patient_0" in data
                assert flags or not named, "a pack without names has names"
                words = f"{len(files)} files, {pack.stat().st_size} bytes, packed in {packed:.2f} s, {recommended} recommendations open"
                if flags == ["--data"]:
                    plan = macula("plan", "out/project/packed.kdl", folder=place)
                    assert "0 will run" in plan, plan
                    words += f", {check_croissant(out)} patches"
                    said = macula("unpack", "--verify", "--json", pack.name, "verified", folder=place)
                    said = json.loads(said[said.index("{\n"):])
                    verdicts = [stage["verdict"] for stage in said["verified"]]
                    assert set(verdicts) == {"bit-for-bit"}, verdicts
                    words += f", {len(verdicts)} stages bit for bit"
                print(f"seed {number + 1} {' '.join(flags) or '(no flags)'}: {words}")
                shutil.rmtree(out)
    print(f"{count} pipelines: all packs are as they should be")


main(int(sys.argv[1]))
