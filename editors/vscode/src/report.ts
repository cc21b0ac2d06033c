// Reports of a pipeline in its `results` folder. Knows no editor.

import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** Reports of a pipeline, newest first: `results/PIPELINE/STAGE/report.html` in the file's folder or one above it. */
export function reports(file: string, pipeline: string): string[] {
    for (let folder = dirname(file); ; folder = dirname(folder)) {
        const results = join(folder, "results", pipeline);
        if (existsSync(results)) {
            const stages = readdirSync(results).map((stage) => join(results, stage, "report.html"));
            const time = (path: string) => statSync(path).mtimeMs;
            return stages.filter((path) => existsSync(path)).sort((a, b) => time(b) - time(a));
        }
        if (dirname(folder) === folder) {
            return [];
        }
    }
}

/** The stage that made a report. */
export function stageOf(report: string): string {
    return basename(dirname(report));
}
