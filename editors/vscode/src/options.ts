// What the language server is told about this client.

/** Commands of code lenses, which the extension executes. */
export const COMMANDS = ["macula.run", "macula.plan", "macula.why", "macula.show"];

/** Settings of the extension. */
export type Settings = { defaults: boolean; hintLength: number; lenses: boolean };

export function initializationOptions(settings: Settings): object {
    return { ...settings, commands: COMMANDS };
}

/** What a server lacks that the extension relies on, in words. */
export function missing(capabilities: Record<string, unknown>): string[] {
    const wanted: [string, string][] = [
        ["codeLensProvider", "code lenses"],
        ["semanticTokensProvider", "semantic highlighting"],
        ["workspaceSymbolProvider", "workspace symbols"],
    ];
    return wanted.filter(([key]) => !capabilities[key]).map(([, words]) => words);
}
