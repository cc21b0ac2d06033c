// A page with the drawing of a graph. Knows no editor.

/** Styles of the drawing for the editor's themes, which need not be those of the system. */
export function themed(svg: string): string {
    const dark = /@media \(prefers-color-scheme: dark\)\s*\{\s*svg\s*\{([^}]*)\}\s*\}/.exec(svg)?.[1] ?? "";
    const light = /<style>\s*svg\s*\{([^}]*)\}/.exec(svg)?.[1] ?? "";
    const themes = (names: string[], values: string) =>
        values === "" ? "" : `${names.map((name) => `body.${name} svg`).join(", ")} { ${values.trim()} }\n`;
    return themes(["vscode-light", "vscode-high-contrast-light"], light) + themes(["vscode-dark", "vscode-high-contrast"], dark);
}

export function escaped(text: string): string {
    return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** The page: a drawing, and what went wrong if something did. No scripts, and nothing from elsewhere. */
export function page(title: string, svg: string, problem: string): string {
    const wrong = problem === "" ? "" : `<pre class="problem">${escaped(problem)}</pre>`;
    return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escaped(title)}</title>
<style>
body { margin: 0; padding: 12px; }
svg { max-width: 100%; height: auto; display: block; margin: 0 auto; }
.problem { white-space: pre-wrap; color: var(--vscode-errorForeground); font-family: var(--vscode-editor-font-family); }
${themed(svg)}</style>
</head>
<body>
${wrong}
${svg}
</body>
</html>
`;
}
