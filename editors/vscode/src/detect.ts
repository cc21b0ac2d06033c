// Whether a KDL text is a pipeline of macula. Other programs use KDL files as well, and have extensions of their own.

/** Words of `project.kdl`. */
const PROJECT = /^(?:store|near-duplicates|test-looks|remote|package|executor|tensorboard|mlflow|wandb)\b/;

const FIRST =
    /^(?:(?:pipeline|sweep|network|stage)\s+"?[\p{L}_][\p{L}\p{N}_-]*"?[^\n]*\{|use\s+#*"(?:std:[\w/-]+|[^"\n]+\.kdl)")/u;

/** Whether the first statement of a text is one of macula's. */
export function isPipeline(text: string, name = ""): boolean {
    const start = statement(text);
    if (name === "project.kdl") {
        return start === "" ? /\bmacula\b/.test(text) : PROJECT.test(start);
    }
    return FIRST.test(start);
}

/** The text from its first statement on: after comments, and after statements that are commented out. */
function statement(text: string): string {
    let rest = text.replace(/^\uFEFF/, "");
    for (;;) {
        rest = rest.trimStart();
        if (rest.startsWith("//")) {
            const end = rest.indexOf("\n");
            rest = end < 0 ? "" : rest.slice(end);
        } else if (rest.startsWith("/*")) {
            rest = rest.slice(blockEnd(rest));
        } else if (rest.startsWith("/-")) {
            rest = rest.slice(statementEnd(rest));
        } else {
            return rest;
        }
    }
}

function blockEnd(text: string): number {
    let depth = 0;
    for (let at = 0; at < text.length; at += 1) {
        if (text.startsWith("/*", at)) {
            depth += 1;
            at += 1;
        } else if (text.startsWith("*/", at)) {
            depth -= 1;
            at += 1;
            if (depth === 0) {
                return at + 1;
            }
        }
    }
    return text.length;
}

function statementEnd(text: string): number {
    let depth = 0;
    for (let at = 2; at < text.length; at += 1) {
        const character = text[at];
        if (character === "{") {
            depth += 1;
        } else if (character === "}") {
            depth -= 1;
        }
        if (depth <= 0 && (character === "}" || character === "\n" || character === ";")) {
            return at + 1;
        }
    }
    return text.length;
}
