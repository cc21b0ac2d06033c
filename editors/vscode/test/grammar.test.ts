// The grammar: on all pipelines and on the standard library, in comparison with the language server, and on tricky tokens.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join, relative } from "node:path";
import { before, test } from "node:test";
import type { IGrammar } from "vscode-textmate";
import { Session } from "./session";

const require = createRequire(__filename);
const { Registry, INITIAL, parseRawGrammar } = require("vscode-textmate") as typeof import("vscode-textmate");
const oniguruma = require("vscode-oniguruma") as typeof import("vscode-oniguruma");

const HERE = join(__dirname, "..");
const ROOT = join(HERE, "../..");
const GRAMMAR = join(HERE, "syntaxes/macula.tmLanguage.json");

let grammar: IGrammar;

before(async () => {
    const wasm = readFileSync(require.resolve("vscode-oniguruma/release/onig.wasm"));
    await oniguruma.loadWASM(wasm);
    const registry = new Registry({
        onigLib: Promise.resolve({
            createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
            createOnigString: (text) => new oniguruma.OnigString(text),
        }),
        loadGrammar: async () => parseRawGrammar(readFileSync(GRAMMAR, "utf8"), GRAMMAR),
    });
    const loaded = await registry.loadGrammar("source.macula");
    assert.ok(loaded, "the grammar can be read");
    grammar = loaded;
});

type Piece = { line: number; start: number; end: number; text: string; scopes: string[] };

/** The tokens of a text, without white space. */
function tokens(text: string): Piece[] {
    const all: Piece[] = [];
    let state = INITIAL;
    text.split(/\r?\n/).forEach((line, number) => {
        const found = grammar.tokenizeLine(line, state);
        assert.ok(!found.stoppedEarly, "it takes too long");
        state = found.ruleStack;
        for (const { startIndex: start, endIndex, scopes } of found.tokens) {
            const end = Math.min(endIndex, line.length);
            const piece = line.slice(start, end);
            if (piece.trim() !== "") {
                all.push({ line: number, start, end, text: piece, scopes: scopes.slice(1) });
            }
        }
    });
    return all;
}

function files(folder: string): string[] {
    return readdirSync(folder, { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".kdl"))
        .map((name) => join(folder, name))
        .sort();
}

const ALL = [...files(join(ROOT, "pipelines")), ...files(join(ROOT, "stdlib")), join(ROOT, "project.kdl")];

/** What a token is, as far as a grammar and the server must agree. */
function kind(scopes: string[]): string {
    const all = scopes.join(" ");
    for (const [scope, name] of [
        ["comment", "comment"],
        ["string", "string"],
        ["constant.numeric", "number"],
        ["constant.language", "keyword"],
        ["keyword.control", "keyword"],
    ] as const) {
        if (all.includes(scope)) {
            return name;
        }
    }
    return "name";
}

test("all pipelines and the standard library have a scope for every word", () => {
    assert.ok(ALL.length > 50, `${ALL.length} files`);
    let words = 0;
    for (const file of ALL) {
        for (const token of tokens(readFileSync(file, "utf8"))) {
            const where = `${relative(ROOT, file)}:${token.line + 1}: \`${token.text}\` ${token.scopes.join(" ")}`;
            assert.ok(token.scopes.length > 0, where);
            assert.ok(!token.scopes.some((scope) => scope.startsWith("invalid")), where);
            words += 1;
        }
    }
    console.log(`${ALL.length} files, ${words} tokens`);
});

test("the stage types of the grammar are those of the standard library", () => {
    const known = ["stages", "templates"].flatMap((folder) => files(join(ROOT, "stdlib", folder)).map((file) => basename(file, ".kdl")));
    for (const name of known) {
        const found = tokens(`pipeline p seed=1 { ${name} one { from a } }`).find((token) => token.text === name);
        assert.deepEqual(found?.scopes, ["support.class.macula"], name);
    }
    const text = readFileSync(GRAMMAR, "utf8");
    const listed = /threshold-tune\|[^)]*/.exec(text)?.[0] ?? "";
    const before = /\(([\w|-]*)threshold-tune/.exec(text)?.[1] ?? "";
    assert.deepEqual([...before.split("|"), ...listed.split("|")].filter(Boolean).sort(), known.sort());
});

const binary = process.env["MACULA"];

test("comments, strings and numbers are where the language server sees them", { skip: binary ? false : "MACULA is not set" }, async () => {
    const session = await Session.start(binary ?? "", HERE, {});
    const legend = session.capabilities.semanticTokensProvider.legend.tokenTypes as string[];
    for (const file of [...ALL, join(HERE, "test/tricky.kdl")]) {
        const text = readFileSync(file, "utf8");
        const uri = session.open(file, text);
        const { data } = (await session.ask("textDocument/semanticTokens/full", { textDocument: { uri } })) as { data: number[] };
        const lines = text.split("\n");
        const server = lines.map((line) => new Array<string>(line.length).fill("name"));
        let line = 0;
        let column = 0;
        for (let at = 0; at < data.length; at += 5) {
            const [down, right, length, type] = data.slice(at, at + 4) as [number, number, number, number];
            line += down;
            column = down === 0 ? column + right : right;
            const name = legend[type] ?? "";
            const known = ["comment", "string", "number", "keyword"].includes(name) ? name : "name";
            server[line]?.fill(known, column, column + length);
        }
        for (const token of tokens(text)) {
            const ours = kind(token.scopes);
            for (let at = token.start; at < token.end; at += 1) {
                if (lines[token.line]?.[at]?.trim() === "") {
                    continue;
                }
                const theirs = server[token.line]?.[at] ?? "name";
                // A keyword's name may be that of a stage type or parameter; the server knows which.
                const same = ours === theirs || [ours, theirs].every((one) => one === "keyword" || one === "name");
                // A name inside of quotes is a name to the server.
                const quoted = ours === "string" && theirs === "name";
                assert.ok(same || quoted, `${relative(ROOT, file)}:${token.line + 1}:${at + 1} \`${token.text}\`: ${ours}, ${theirs}`);
            }
        }
        session.close(uri);
    }
    await session.end();
});

test("tricky tokens have the scopes of the snapshot", () => {
    const text = readFileSync(join(HERE, "test/tricky.kdl"), "utf8");
    const lines = text.split("\n");
    const out: string[] = [];
    let last = -1;
    for (const token of tokens(text)) {
        for (; last < token.line; last += 1) {
            out.push(`>${lines[last + 1]}`);
        }
        out.push(`  ${token.text.trim()}  ${token.scopes.map((scope) => scope.replace(/\.macula$/, "")).join(" ")}`);
    }
    const snapshot = join(HERE, "test/tricky.scopes");
    const found = `${out.join("\n")}\n`;
    if (process.env["MACULA_BLESS"] === "1" || !existsSync(snapshot)) {
        writeFileSync(snapshot, found);
    }
    assert.equal(found, readFileSync(snapshot, "utf8"));
});

test("a quote that is not closed colours its own line only", () => {
    const found = tokens('pipeline p {\n    doc "open\n    synthetic eyes\n}');
    assert.deepEqual(found.find((token) => token.text === "synthetic")?.scopes, ["support.class.macula"]);
});

test("tricky.kdl is KDL 2", { skip: binary ? false : "MACULA is not set" }, () => {
    // `fmt` reads the syntax alone.
    execFileSync(binary ?? "", ["fmt", "--check", join(HERE, "test/tricky.kdl")], { stdio: "pipe" });
});
