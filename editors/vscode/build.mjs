// Bundles the extension into dist/, or with `test` the tests into out/. `release` minifies.
import { readdirSync, rmSync } from "node:fs";
import { build } from "esbuild";

const [kind] = process.argv.slice(2);
const common = {
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    logLevel: "warning",
    // The `main` of these packages is UMD, whose `require` calls a bundler cannot follow.
    mainFields: ["module", "main"],
};
if (kind === "test") {
    rmSync("out", { recursive: true, force: true });
    const tests = readdirSync("test").filter((name) => name.endsWith(".test.ts"));
    await build({
        ...common,
        entryPoints: tests.map((name) => `test/${name}`),
        outdir: "out",
        outExtension: { ".js": ".cjs" },
        external: ["vscode-oniguruma", "vscode-textmate"],
    });
} else {
    rmSync("dist", { recursive: true, force: true });
    await build({
        ...common,
        entryPoints: ["src/extension.ts"],
        outfile: "dist/extension.js",
        external: ["vscode"],
        minify: kind === "release",
        sourcemap: kind !== "release",
        legalComments: "eof",
    });
}
