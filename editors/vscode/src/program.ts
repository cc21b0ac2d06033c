// The program `macula`: where it is, and whether it fits. Knows no editor.

import { execFile } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, isAbsolute, join } from "node:path";

/** Oldest version with everything that the extension uses. */
export const OLDEST = "0.1.0";

const INSTALL =
    "Build it with `cargo install --path .` in macula's sources, then make sure that `macula` is in PATH, or set `macula.path` to the program.";

/** A program that can be used, or what is wrong with it. */
export type Program = { path: string; version: string } | { problem: string };

/** Path of the program that the setting names; undefined if there is none. */
export function located(
    setting: string,
    folder: string | undefined,
    environment: NodeJS.ProcessEnv = process.env,
): string | undefined {
    let path = setting.trim() || "macula";
    if (path === "~" || path.startsWith("~/")) {
        path = join(environment["HOME"] ?? homedir(), path.slice(1));
    }
    if (path.includes("${workspaceFolder}")) {
        if (folder === undefined) {
            return undefined;
        }
        path = path.replaceAll("${workspaceFolder}", folder);
    }
    if (path.includes("/")) {
        const whole = isAbsolute(path) || folder === undefined ? path : join(folder, path);
        return executable(whole) ? whole : undefined;
    }
    const folders = (environment["PATH"] ?? "").split(delimiter).filter((one) => one !== "");
    return folders.map((one) => join(one, path)).find(executable);
}

function executable(path: string): boolean {
    try {
        accessSync(path, constants.X_OK);
        return statSync(path).isFile();
    } catch {
        return false;
    }
}

/** Finds the program and asks for its version. */
export async function found(
    setting: string,
    folder: string | undefined,
    environment: NodeJS.ProcessEnv = process.env,
): Promise<Program> {
    const path = located(setting, folder, environment);
    if (path === undefined) {
        return { problem: `The program \`${setting.trim() || "macula"}\` was not found. ${INSTALL}` };
    }
    const said = await output(path, ["--version"], undefined, 10_000);
    const version = /^macula (\d+\.\d+\.\d+\S*)/.exec(said.stdout)?.[1];
    if (version === undefined) {
        const what = said.stdout.trim().split("\n")[0] ?? "";
        const answer = what === "" ? "it prints no version" : `it says \`${what.slice(0, 60)}\``;
        return { problem: `\`${path}\` is another program than macula: ${answer}. Set \`macula.path\`. ${INSTALL}` };
    }
    if (older(version, OLDEST)) {
        return { problem: `macula ${version} at \`${path}\` is too old for this extension, which needs ${OLDEST}. ${INSTALL}` };
    }
    return { path, version };
}

/** Whether a version is older than another; only the numbers count. */
export function older(version: string, than: string): boolean {
    const numbers = (text: string) => text.split(/[.+-]/).slice(0, 3).map((part) => Number.parseInt(part, 10) || 0);
    const [a, b] = [numbers(version), numbers(than)];
    const at = a.findIndex((part, index) => part !== (b[index] ?? 0));
    return at >= 0 && (a[at] ?? 0) < (b[at] ?? 0);
}

/** What a command printed, and its exit code; -1 if it could not be started or took too long. */
export type Output = { code: number; stdout: string; stderr: string };

export function output(path: string, args: string[], cwd: string | undefined, timeout: number): Promise<Output> {
    const options = { timeout, maxBuffer: 64 << 20, ...(cwd === undefined ? {} : { cwd }) };
    return new Promise((resolve) => {
        execFile(path, args, options, (error, stdout, stderr) => {
            const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
            const why = code === -1 && stderr === "" ? (error?.message ?? "") : stderr;
            resolve({ code, stdout, stderr: why });
        });
    });
}
