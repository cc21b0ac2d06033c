// The parts of the client without an editor, against the real program: MACULA names it.

import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { isPipeline } from "../src/detect";
import { page, themed } from "../src/graph";
import { args, isTarget, pipelines, targetAt, type Outline, type Target } from "../src/invocation";
import { COMMANDS, initializationOptions, missing } from "../src/options";
import { found, located, older, output } from "../src/program";
import { reports, stageOf } from "../src/report";
import { Session } from "./session";

const HERE = join(__dirname, "..");
const ROOT = join(HERE, "../..");
const MACULA = process.env["MACULA"] ?? "";
const skip = MACULA === "" ? "MACULA is not set" : false;

const folder = mkdtempSync(join(tmpdir(), "macula-vscode-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const TEXT = `pipeline small seed=1 {
    param side type=px default=64
    synthetic eyes { photographs 2 }
    extract tiles { from eyes; size $side }
    repeat 2 fold {
        split sides { from tiles; folds 2; fold $fold }
    }
}
sweep sizes { over side 32 64 }
`;

function program(name: string, text: string): string {
    const path = join(folder, name);
    writeFileSync(path, `#!/bin/sh\n${text}\n`);
    chmodSync(path, 0o755);
    return path;
}

test("the program is found by name, by path and in the home folder", { skip }, async () => {
    const bin = join(folder, "bin");
    mkdirSync(bin);
    symlinkSync(MACULA, join(bin, "macula"));
    const environment = { PATH: `/nowhere:${bin}`, HOME: folder };
    assert.equal(located("macula", undefined, environment), join(bin, "macula"));
    assert.equal(located("", undefined, environment), join(bin, "macula"));
    assert.equal(located("~/bin/macula", undefined, environment), join(bin, "macula"));
    assert.equal(located("${workspaceFolder}/bin/macula", folder, environment), join(bin, "macula"));
    assert.equal(located("bin/macula", folder, environment), join(bin, "macula"));
    assert.equal(located("~/bin", undefined, environment), undefined, "a folder is no program");
    const known = await found("macula", undefined, environment);
    assert.ok("path" in known && known.path === join(bin, "macula"), JSON.stringify(known));
    assert.match(known.version, /^\d+\.\d+\.\d+/);
});

test("a program that is missing, another one or an old one is explained", async () => {
    const problem = async (setting: string) => {
        const known = await found(setting, undefined, { PATH: folder, HOME: folder });
        return "problem" in known ? known.problem : "";
    };
    assert.match(await problem("macula"), /^The program `macula` was not found\. Build it with `cargo install --path \.`.* `macula\.path`/);
    program("other", "echo 'macula.js 4'");
    assert.match(await problem("other"), /is another program than macula: it says `macula\.js 4`/);
    program("quiet", "exit 3");
    assert.match(await problem("quiet"), /it prints no version/);
    program("old", "echo 'macula 0.0.9'");
    assert.match(await problem("old"), /^macula 0\.0\.9 at .* is too old for this extension, which needs 0\.1\.0/);
    assert.ok(older("0.1.9", "0.2.0") && !older("0.10.0", "0.9.9") && !older("1.0.0-rc.1", "1.0.0"));
});

test("names of a text are no flags and no shell words", () => {
    const target = { file: "/data/my project/a.kdl", pipeline: "p", stage: "--exec=rm -rf" };
    assert.deepEqual(args("run", target), ["run", "--pipeline=p", "--", "/data/my project/a.kdl", "--exec=rm -rf"]);
    assert.deepEqual(args("plan", { file: "a.kdl", sweep: "s" }), ["plan", "--sweep=s", "--", "a.kdl"]);
    assert.deepEqual(args("graph", target, ["--format=svg"]), ["graph", "--format=svg", "--pipeline=p", "--", target.file]);
    assert.ok(isTarget({ file: "a", stage: "b" }) && !isTarget({ file: "a", stage: 7 }) && !isTarget(undefined) && !isTarget([]));
});

test("a session: diagnostics, lenses whose commands run, the target at the cursor", { skip }, async () => {
    const file = join(folder, "small.kdl");
    writeFileSync(file, TEXT);
    const settings = { defaults: true, hintLength: 60, lenses: true };
    const session = await Session.start(MACULA, folder, initializationOptions(settings));
    assert.deepEqual(missing(session.capabilities), []);
    assert.deepEqual(missing({ codeLensProvider: {} }), ["semantic highlighting", "workspace symbols"]);
    // The client executes them; a second registration would fail.
    assert.equal(session.capabilities.executeCommandProvider, undefined);

    const wrong = session.open(join(folder, "wrong.kdl"), TEXT.replace("from eyes", "from eys"));
    const [problem] = await session.problems(wrong);
    assert.equal(problem.code, "unknown-name");
    assert.match(problem.message, /did you mean `eyes`/);

    const uri = session.open(file, TEXT);
    assert.deepEqual(await session.problems(uri), []);
    const lenses = await session.ask("textDocument/codeLens", { textDocument: { uri } });
    assert.ok(lenses.length >= 10, `${lenses.length} lenses`);
    for (const lens of lenses) {
        assert.ok(COMMANDS.includes(lens.command.command), lens.command.command);
        assert.ok(isTarget(lens.command.arguments[0]));
    }
    const about = (title: string, line: number): Target => {
        const lens = lenses.find((one: { command: { title: string }; range: { start: { line: number } } }) => {
            return one.command.title === title && one.range.start.line === line;
        });
        return lens.command.arguments[0];
    };
    assert.deepEqual(about("why", 5), { file, stage: "fold.sides" });

    const symbols: Outline[] = await session.ask("textDocument/documentSymbol", { textDocument: { uri } });
    assert.deepEqual(pipelines(symbols), ["small"]);
    const at = (line: number, character: number) => targetAt(file, symbols, { line, character });
    assert.deepEqual(at(3, 12), { file, stage: "tiles" });
    assert.deepEqual(at(5, 20), { file, stage: "fold.sides" });
    assert.deepEqual(at(1, 12), { file });
    assert.deepEqual(at(8, 8), { file, sweep: "sizes" });
    assert.deepEqual(at(9, 0), { file });
    const two: Outline[] = ["p", "q"].map((name, line) => ({
        name,
        detail: "pipeline",
        range: { start: { line, character: 0 }, end: { line, character: 9 } },
        children: [],
    }));
    assert.deepEqual(targetAt(file, two, { line: 1, character: 3 }), { file, pipeline: "q" });
    assert.equal(targetAt(file, two, { line: 7, character: 0 }), undefined);

    // The commands, as the extension runs them.
    for (const [verb, target] of [
        ["plan", about("plan", 0)],
        ["plan", about("plan", 8)],
        ["plan", about("run", 5)],
        ["why", about("why", 3)],
        ["run", about("run", 2)],
        ["show", about("run", 2)],
    ] as const) {
        const said = await output(MACULA, args(verb, target), folder, 60_000);
        assert.equal(said.code, 0, `${args(verb, target).join(" ")}: ${said.stderr}`);
    }
    assert.equal(await session.end(), 0);
});

test("a drawing follows the editor's theme and holds no script", { skip }, async () => {
    const file = join(ROOT, "pipelines/quickstart.kdl");
    const said = await output(MACULA, args("graph", { file }, ["--format=svg"]), folder, 60_000);
    assert.equal(said.code, 0, said.stderr);
    const styles = themed(said.stdout);
    const ink = (theme: string) => new RegExp(`body\\.${theme}[^{]*svg \\{[^}]*--ink: (#\\w+)`).exec(styles)?.[1];
    assert.match(ink("vscode-dark") ?? "", /^#e/);
    assert.match(ink("vscode-light") ?? "", /^#1/);
    const html = page("Graph of <x>", said.stdout, "a <b>");
    assert.match(html, /default-src 'none'/);
    assert.ok(html.includes("<title>Graph of &lt;x&gt;</title>") && html.includes("a &lt;b&gt;") && !html.includes("<script"));
    for (const format of ["mermaid", "dot", "text"]) {
        const drawn = await output(MACULA, args("graph", { file }, [`--format=${format}`]), folder, 60_000);
        assert.ok(drawn.code === 0 && drawn.stdout.includes("classifier"), format);
    }
    const failed = await output(MACULA, args("graph", { file: join(folder, "none.kdl") }, []), folder, 60_000);
    assert.ok(failed.code === 2 && failed.stderr !== "", JSON.stringify(failed));
});

test("reports are found from the pipeline's file, the newest first", () => {
    const results = join(folder, "results/small");
    for (const [stage, age] of [["old", 100], ["page", 10]] as const) {
        mkdirSync(join(results, stage), { recursive: true });
        const report = join(results, stage, "report.html");
        writeFileSync(report, "");
        utimesSync(report, Date.now() / 1000 - age, Date.now() / 1000 - age);
    }
    mkdirSync(join(results, "eyes"), { recursive: true });
    const file = join(folder, "pipelines/small.kdl");
    assert.deepEqual(reports(file, "small").map(stageOf), ["page", "old"]);
    assert.deepEqual(reports(file, "other"), []);
});

test("pipelines are told from other KDL", () => {
    for (const name of ["quickstart", "baseline-idrid", "context-idrid"]) {
        assert.ok(isPipeline(readFileSync(join(ROOT, `pipelines/${name}.kdl`), "utf8")), name);
    }
    assert.ok(isPipeline(readFileSync(join(ROOT, "project.kdl"), "utf8"), "project.kdl"));
    for (const text of ["executor slurm { }\n", 'wandb "runs"\n']) {
        assert.ok(isPipeline(text, "project.kdl"), text);
    }
    assert.ok(isPipeline("\uFEFF/* a /* b */ */ // c\n/- pipeline p { x }\nsweep s {\n"));
    assert.ok(isPipeline('use "nets/own.kdl"\n'));
    // niri, zellij, a package manifest, and nothing.
    assert.ok(!isPipeline("input {\n    keyboard { }\n}\n"));
    assert.ok(!isPipeline("layout {\n    pane\n}\n"));
    assert.ok(!isPipeline('package {\n  name "x"\n}\n'));
    assert.ok(!isPipeline("// pipeline p {\n") && !isPipeline(""));
    assert.ok(!isPipeline("network\nstage\n"));
});
