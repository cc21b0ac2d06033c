// Command lines of macula, from the argument of a code lens or from a place in a file. Knows no editor.

/** What a command is about, as the language server writes it into code lenses. */
export type Target = { file: string; pipeline?: string; sweep?: string; stage?: string };

export type Verb = "run" | "plan" | "why" | "show" | "graph";

/** Whether a value is a target. */
export function isTarget(value: unknown): value is Target {
    if (typeof value !== "object" || value === null) {
        return false;
    }
    const all = value as Record<string, unknown>;
    const optional = ["pipeline", "sweep", "stage"].every((key) => all[key] === undefined || typeof all[key] === "string");
    return typeof all["file"] === "string" && optional;
}

/** Arguments of the program. A name is never read as a flag: what comes from a text follows `--`. */
export function args(verb: Verb, target: Target, flags: string[] = []): string[] {
    const all: string[] = [verb, ...flags];
    if (target.sweep !== undefined) {
        all.push(`--sweep=${target.sweep}`);
    } else if (target.pipeline !== undefined) {
        all.push(`--pipeline=${target.pipeline}`);
    }
    all.push("--", target.file);
    if (target.stage !== undefined && verb !== "graph") {
        all.push(target.stage);
    }
    return all;
}

/** A place in an outline, from 0. */
export type Place = { line: number; character: number };
export type Range = { start: Place; end: Place };
/** A symbol of the outline, as both the protocol and the editor have it. */
export type Outline = { name: string; detail?: string | undefined; range: Range; children?: Outline[] | undefined };

function holds(range: Range, place: Place): boolean {
    const before = (a: Place, b: Place) => a.line < b.line || (a.line === b.line && a.character <= b.character);
    return before(range.start, place) && before(place, range.end);
}

/** The pipeline or sweep at a place of a file, else the only one, and the stage there by its dotted name. */
export function targetAt(file: string, symbols: Outline[], place: Place): Target | undefined {
    const named = (word: string) => symbols.filter((symbol) => symbol.detail === word);
    const pipelines = named("pipeline");
    const sweep = named("sweep").find((symbol) => holds(symbol.range, place));
    if (sweep !== undefined) {
        return { file, sweep: sweep.name };
    }
    const here = pipelines.find((symbol) => holds(symbol.range, place));
    const pipeline = here ?? (pipelines.length === 1 ? pipelines[0] : undefined);
    if (pipeline === undefined) {
        return undefined;
    }
    const target: Target = { file };
    if (pipelines.length > 1) {
        target.pipeline = pipeline.name;
    }
    const stage = here === undefined ? undefined : stageAt(here.children ?? [], place);
    return stage === undefined ? target : { ...target, stage };
}

function stageAt(symbols: Outline[], place: Place): string | undefined {
    const symbol = symbols.find((one) => holds(one.range, place));
    if (symbol === undefined || symbol.detail === "param" || symbol.detail === undefined) {
        return undefined;
    }
    if (symbol.detail !== "repeat") {
        return symbol.name;
    }
    const inner = stageAt(symbol.children ?? [], place);
    return inner === undefined ? undefined : `${symbol.name}.${inner}`;
}

/** Names of the pipelines of a file. */
export function pipelines(symbols: Outline[]): string[] {
    return symbols.filter((symbol) => symbol.detail === "pipeline").map((symbol) => symbol.name);
}
