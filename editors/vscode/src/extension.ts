// The extension: the language client, and the commands.

import { basename, dirname } from "node:path";
import * as vscode from "vscode";
import { LanguageClient, TransportKind, Trace } from "vscode-languageclient/node";
import { isPipeline } from "./detect";
import { page } from "./graph";
import { args, isTarget, pipelines, targetAt, type Outline, type Target, type Verb } from "./invocation";
import { initializationOptions, missing } from "./options";
import { found, output } from "./program";
import { reports, stageOf } from "./report";

const LANGUAGE = "macula";
/** Time limit of a drawing, milliseconds: with states, files may have to be read. */
const PATIENCE = 120_000;

let client: LanguageClient | undefined;
let program: { path: string; version: string } | undefined;
let status: vscode.LanguageStatusItem | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
    status = vscode.languages.createLanguageStatusItem("macula", { language: LANGUAGE });
    status.name = "macula";
    status.command = { command: "macula.restart", title: "Restart" };
    const command = (name: string, run: (argument: unknown) => Promise<unknown>) =>
        vscode.commands.registerCommand(`macula.${name}`, run);
    context.subscriptions.push(
        status,
        command("run", (argument) => inTerminal("run", argument, false)),
        command("runStage", (argument) => inTerminal("run", argument, true)),
        command("plan", (argument) => inTerminal("plan", argument, false)),
        command("why", (argument) => inTerminal("why", argument, true)),
        command("show", (argument) => inTerminal("show", argument, true)),
        command("graph", () => graph(context)),
        command("copyGraph", copyGraph),
        command("openReport", openReport),
        command("restart", restart),
        vscode.workspace.onDidOpenTextDocument(detect),
        vscode.workspace.onDidChangeConfiguration((event) => {
            if (event.affectsConfiguration("macula")) {
                void restart();
            }
        }),
        { dispose: () => void client?.stop() },
    );
    await Promise.all(vscode.workspace.textDocuments.map(detect));
    await start();
}

export async function deactivate(): Promise<void> {
    await client?.stop();
}

/** Gives a pipeline its language. Another extension for KDL has claimed the file's ending, or none has. */
async function detect(document: vscode.TextDocument): Promise<void> {
    const wanted = vscode.workspace.getConfiguration("macula", document).get<boolean>("detect", true);
    const other = document.languageId === "kdl" || document.languageId === "plaintext";
    const kdl = document.uri.scheme === "file" && document.uri.path.endsWith(".kdl");
    if (wanted && other && kdl && isPipeline(document.getText(), basename(document.uri.path))) {
        await vscode.languages.setTextDocumentLanguage(document, LANGUAGE);
    }
}

async function start(): Promise<void> {
    const settings = vscode.workspace.getConfiguration("macula");
    const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath;
    const known = await found(settings.get<string>("path", "macula"), folder);
    if ("problem" in known) {
        program = undefined;
        tell(known.problem);
        return;
    }
    program = known;
    const server = { command: known.path, args: ["lsp"], transport: TransportKind.stdio };
    client = new LanguageClient("macula", "macula", server, {
        documentSelector: [
            { language: LANGUAGE, scheme: "file" },
            { language: LANGUAGE, scheme: "untitled" },
        ],
        initializationOptions: initializationOptions({
            defaults: settings.get("hints.defaults", true),
            hintLength: settings.get("hints.length", 60),
            lenses: settings.get("lenses", true),
        }),
    });
    try {
        await client.start();
    } catch (error) {
        tell(`The language server \`${known.path} lsp\` did not start: ${String(error)}`);
        return;
    }
    await client.setTrace(Trace.fromString(settings.get("trace.server", "off")));
    const lacking = missing((client.initializeResult?.capabilities ?? {}) as Record<string, unknown>);
    if (lacking.length > 0) {
        tell(`macula ${known.version} at \`${known.path}\` is older than this extension: it has no ${lacking.join(", no ")}. Update it.`);
    } else if (status !== undefined) {
        status.text = `macula ${known.version}`;
        status.detail = known.path;
        status.severity = vscode.LanguageStatusSeverity.Information;
    }
}

async function restart(): Promise<void> {
    const old = client;
    client = undefined;
    await old?.stop().catch(() => undefined);
    await start();
}

/** Shows a problem with the program, and leads to the setting. */
function tell(problem: string): void {
    if (status !== undefined) {
        status.text = "macula is missing";
        status.detail = problem;
        status.severity = vscode.LanguageStatusSeverity.Error;
    }
    void vscode.window.showErrorMessage(problem, "Open Settings", "Try Again").then((chosen) => {
        if (chosen === "Open Settings") {
            void vscode.commands.executeCommand("workbench.action.openSettings", "macula.path");
        } else if (chosen === "Try Again") {
            void restart();
        }
    });
}

/** The outline of a document, from the language server. */
async function outline(document: vscode.TextDocument): Promise<Outline[]> {
    const symbols = await vscode.commands.executeCommand<Outline[] | undefined>(
        "vscode.executeDocumentSymbolProvider",
        document.uri,
    );
    return symbols ?? [];
}

/** What a command is about: its argument, or the place of the cursor. Saves the file, which the program reads. */
async function target(argument: unknown): Promise<Target | undefined> {
    const editor = vscode.window.activeTextEditor;
    const given = isTarget(argument) ? argument : undefined;
    const of = (file: string) => vscode.workspace.textDocuments.find((one) => one.uri.scheme === "file" && one.uri.fsPath === file);
    const document = given === undefined ? editor?.document : of(given.file);
    if (document?.isDirty === true && !document.isUntitled) {
        await document.save();
    }
    if (given !== undefined) {
        return given;
    }
    if (editor === undefined || document?.languageId !== LANGUAGE || document.uri.scheme !== "file") {
        void vscode.window.showInformationMessage("Open a pipeline file first.");
        return undefined;
    }
    const symbols = await outline(document);
    const here = targetAt(document.uri.fsPath, symbols, editor.selection.active);
    if (here !== undefined) {
        return here;
    }
    const all = pipelines(symbols);
    if (all.length === 0) {
        void vscode.window.showInformationMessage("This file has no pipeline.");
        return undefined;
    }
    const pipeline = await vscode.window.showQuickPick(all, { title: "Which pipeline?" });
    return pipeline === undefined ? undefined : { file: document.uri.fsPath, pipeline };
}

function ready(): { path: string; version: string } | undefined {
    if (program === undefined) {
        tell("The program `macula` was not found. Set `macula.path`.");
    }
    return program;
}

/** Runs a command of macula in a terminal, where it can be watched and stopped. */
async function inTerminal(verb: Verb, argument: unknown, ofStage: boolean): Promise<void> {
    const about = await target(argument);
    const macula = ready();
    if (about === undefined || macula === undefined) {
        return;
    }
    if (verb === "run" && !vscode.workspace.isTrusted) {
        void vscode.window.showWarningMessage("macula runs nothing in a workspace that is not trusted.");
        return;
    }
    if (ofStage && about.stage === undefined) {
        void vscode.window.showInformationMessage("Put the cursor into a stage of a pipeline.");
        return;
    }
    if (!ofStage && !isTarget(argument)) {
        delete about.stage;
    }
    const execution = new vscode.ProcessExecution(macula.path, args(verb, about), { cwd: dirname(about.file) });
    const name = [verb, basename(about.file), about.sweep ?? about.pipeline, about.stage].filter(Boolean).join(" ");
    const task = new vscode.Task({ type: "macula", verb }, vscode.TaskScope.Workspace, name, "macula", execution, []);
    task.presentationOptions = {
        reveal: vscode.TaskRevealKind.Always,
        panel: verb === "run" ? vscode.TaskPanelKind.Dedicated : vscode.TaskPanelKind.Shared,
        clear: verb !== "run",
        showReuseMessage: false,
    };
    await vscode.tasks.executeTask(task);
}

async function drawn(about: Target, flags: string[]): Promise<{ text: string; problem: string }> {
    const macula = ready();
    if (macula === undefined) {
        return { text: "", problem: "The program `macula` was not found." };
    }
    const said = await output(macula.path, args("graph", about, flags), dirname(about.file), PATIENCE);
    return said.code === 0 ? { text: said.stdout, problem: "" } : { text: "", problem: said.stderr };
}

/** Shows the drawing of a graph next to the text, and draws it again when the file is saved. */
async function graph(context: vscode.ExtensionContext): Promise<void> {
    const about = await target(undefined);
    if (about === undefined) {
        return;
    }
    delete about.stage;
    const title = `Graph of ${about.sweep ?? about.pipeline ?? basename(about.file)}`;
    const panel = vscode.window.createWebviewPanel(
        "macula.graph",
        title,
        { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true },
        { enableScripts: false, localResourceRoots: [] },
    );
    let last = "";
    let number = 0;
    let open = true;
    const draw = async () => {
        number += 1;
        const mine = number;
        // First without states, which may take a while. They are read only where the workspace is trusted.
        for (const flags of vscode.workspace.isTrusted ? [[], ["--states"]] : [[]]) {
            const { text, problem } = await drawn(about, ["--format=svg", ...flags]);
            if (!open || mine !== number) {
                return;
            }
            last = text === "" ? last : text;
            panel.webview.html = page(title, last, problem);
            if (problem !== "") {
                return;
            }
        }
    };
    const saved = vscode.workspace.onDidSaveTextDocument((document) => {
        if (document.languageId === LANGUAGE) {
            void draw();
        }
    });
    panel.onDidDispose(() => {
        open = false;
        saved.dispose();
    });
    context.subscriptions.push(panel);
    await draw();
}

async function copyGraph(): Promise<void> {
    const about = await target(undefined);
    if (about === undefined) {
        return;
    }
    const format = await vscode.window.showQuickPick(["mermaid", "dot", "svg", "text"], { title: "Format of the drawing" });
    if (format === undefined) {
        return;
    }
    const { text, problem } = await drawn(about, [`--format=${format}`]);
    if (problem !== "") {
        void vscode.window.showErrorMessage(problem);
        return;
    }
    await vscode.env.clipboard.writeText(text);
    void vscode.window.showInformationMessage("The drawing is in the clipboard.");
}

async function openReport(argument: unknown): Promise<void> {
    const about = await target(argument);
    if (about === undefined) {
        return;
    }
    const document = vscode.window.activeTextEditor?.document;
    const names = document === undefined ? [] : pipelines(await outline(document));
    const pipeline = about.sweep ?? about.pipeline ?? names[0];
    if (pipeline === undefined) {
        return;
    }
    const all = reports(about.file, pipeline);
    let report = all[0];
    if (all.length > 1) {
        const items = all.map((path) => ({ label: stageOf(path), description: path, path }));
        report = (await vscode.window.showQuickPick(items, { title: "Which report?" }))?.path;
        if (report === undefined) {
            return;
        }
    }
    if (report === undefined) {
        const hint = "Add a stage `report page { of STAGE… }`, and run the pipeline.";
        void vscode.window.showInformationMessage(`\`${pipeline}\` has no report yet. ${hint}`);
        return;
    }
    await vscode.env.openExternal(vscode.Uri.file(report));
}
