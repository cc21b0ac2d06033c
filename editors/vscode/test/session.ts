// A session with a language server over stdio, with the library that the editor's client is built on.

import { spawn, type ChildProcess } from "node:child_process";
import { pathToFileURL } from "node:url";
import {
    createMessageConnection,
    StreamMessageReader,
    StreamMessageWriter,
    type MessageConnection,
} from "vscode-jsonrpc/node";

/* eslint-disable @typescript-eslint/no-explicit-any */
export type Json = any;

export class Session {
    capabilities: Json;
    private diagnostics = new Map<string, Json[]>();
    private waiting: (() => void)[] = [];

    private constructor(
        private readonly process: ChildProcess,
        private readonly connection: MessageConnection,
    ) {}

    static async start(binary: string, folder: string, options: object, environment: NodeJS.ProcessEnv = process.env): Promise<Session> {
        const server = spawn(binary, ["lsp", "--stdio"], { cwd: folder, stdio: ["pipe", "pipe", "inherit"], env: environment });
        const connection = createMessageConnection(new StreamMessageReader(server.stdout), new StreamMessageWriter(server.stdin));
        const session = new Session(server, connection);
        connection.onNotification("textDocument/publishDiagnostics", (params: Json) => {
            session.diagnostics.set(params.uri, params.diagnostics);
            session.waiting.splice(0).forEach((resolve) => resolve());
        });
        for (const method of ["client/registerCapability", "workspace/codeLens/refresh", "workspace/inlayHint/refresh"]) {
            connection.onRequest(method, () => {
                session.waiting.splice(0).forEach((resolve) => resolve());
                return null;
            });
        }
        connection.listen();
        const result = await connection.sendRequest<Json>("initialize", {
            processId: process.pid,
            rootUri: pathToFileURL(folder).href,
            workspaceFolders: [{ uri: pathToFileURL(folder).href, name: "folder" }],
            initializationOptions: options,
            capabilities: {
                workspace: { codeLens: { refreshSupport: true }, inlayHint: { refreshSupport: true } },
                textDocument: { completion: { completionItem: { snippetSupport: true } } },
            },
        });
        session.capabilities = result.capabilities;
        await connection.sendNotification("initialized", {});
        return session;
    }

    open(file: string, text: string): string {
        const uri = pathToFileURL(file).href;
        this.diagnostics.delete(uri);
        void this.connection.sendNotification("textDocument/didOpen", {
            textDocument: { uri, languageId: "macula", version: 1, text },
        });
        return uri;
    }

    close(uri: string): void {
        void this.connection.sendNotification("textDocument/didClose", { textDocument: { uri } });
    }

    ask(method: string, params: object): Promise<Json> {
        return this.connection.sendRequest(method, params);
    }

    /** Diagnostics of a text, once they are published. */
    async problems(uri: string): Promise<Json[]> {
        for (;;) {
            const found = this.diagnostics.get(uri);
            if (found !== undefined) {
                return found;
            }
            await this.next();
        }
    }

    /** Waits for the next message of the server that is no answer. */
    next(): Promise<void> {
        return new Promise((resolve) => this.waiting.push(resolve));
    }

    /** Ends the session; resolves to the server's exit code. */
    async end(): Promise<number | null> {
        await this.connection.sendRequest("shutdown");
        const code = new Promise<number | null>((resolve) => this.process.once("exit", resolve));
        await this.connection.sendNotification("exit");
        const result = await code;
        this.connection.dispose();
        return result;
    }
}
