// Pages of macula in Chromium: no violation that axe-core finds, at 390 and 1300 px, light and dark; nothing loaded, nothing logged; sliders,
// filters and enlarged pictures work; without scripts everything is shown; the printed page has its pictures.
//
//     node check.mjs PAGE.html… [--shots FOLDER]
//
// CHROMIUM names the browser (default: /usr/bin/chromium).

import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

// Packages of the working folder, so that none lie next to this file.
const require = createRequire(join(process.cwd(), "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const words = process.argv.slice(2);
const at = words.indexOf("--shots");
const shots = at < 0 ? null : words.splice(at, 2)[1];
if (shots) mkdirSync(shots, { recursive: true });

const LARGEST = 5 * 1000 * 1000;
const problems = [];
let printed = 0;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});

/** A page of a file, and what it logs or asks for. */
async function open(file, options) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(240_000);
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(`${file}: console: ${message.text()}`);
  });
  page.on("pageerror", (error) => problems.push(`${file}: ${error}`));
  page.on("request", (request) => {
    if (!/^(file|data):/.test(request.url())) problems.push(`${file}: asks for ${request.url()}`);
  });
  await page.goto(pathToFileURL(resolve(file)).href);
  return page;
}

function expect(file, what, holds) {
  if (!holds) problems.push(`${file}: ${what}`);
}

/** What axe-core finds. It is evaluated, not added as a script, so the page's policy stays as it is. */
async function accessible(page, file, look) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  for (const { id, impact, nodes } of violations) {
    problems.push(`${file} (${look}): ${id} (${impact}): ${nodes.length} × ${nodes[0].html.slice(0, 160)} ${nodes[0].failureSummary.slice(0, 300)}`);
  }
}

async function sliders(page, file) {
  const rows = page.locator(".explorer tr[data-positives]");
  for (let at = 0; at < Math.min(await rows.count(), 4); at++) {
    const row = rows.nth(at);
    const cells = async () => (await row.locator("td").allTextContents()).slice(3);
    const before = await cells();
    await row.locator("input").evaluate((input) => {
      const initial = input.value;
      input.dispatchEvent(new Event("input"));
      input.dataset.initial = initial;
    });
    expect(file, `the script counts as the page does: ${before} and ${await cells()}`, String(before) === String(await cells()));
    const numbers = (texts) => texts.slice(0, 4).map((text) => Number(text.replaceAll(",", "")));
    const all = numbers(before).reduce((sum, count) => sum + count, 0);
    for (const [value, index] of [["0", 2], ["0", 3]]) {
      await row.locator("input").fill(value);
      expect(file, `nothing is negative at threshold 0`, numbers(await cells())[index] === 0);
    }
    await row.locator("input").fill("500");
    expect(file, `counts add up`, numbers(await cells()).reduce((sum, count) => sum + count, 0) === all);
  }
  const reset = page.locator('.explorer [data-reset=""]');
  if (await reset.count()) await reset.first().click();
}

async function filters(page, file) {
  const gallery = page.locator(".gallery").first();
  if (!(await gallery.count())) return;
  const shown = () => gallery.locator("figure:visible").count();
  const all = await gallery.locator("figure").count();
  expect(file, `all ${all} patches are shown first`, (await shown()) === all);
  const boxes = gallery.locator("input[data-filter]");
  for (let at = 0; at < (await boxes.count()); at++) await boxes.nth(at).uncheck();
  expect(file, "no kind, no patch", (await shown()) === 0);
  await boxes.first().check();
  const missed = await gallery.locator('figure:not([data-missed=""])').count();
  expect(file, "false negatives only", (await shown()) === missed);
  await gallery.locator("select").selectOption("0");
  const own = await gallery.locator("figure").evaluateAll(
    (figures) => figures.filter((figure) => figure.dataset.missed.split(" ").includes("0")).length,
  );
  expect(file, "false negatives of a class", (await shown()) === own);
  await gallery.locator("select").selectOption("");
  for (let at = 0; at < (await boxes.count()); at++) await boxes.nth(at).check();
}

async function zoom(page, file) {
  const picture = page.locator("button.picture:visible").first();
  if (!(await picture.count())) return;
  await picture.click();
  const dialog = page.locator("dialog.zoom");
  expect(file, "a click enlarges a picture", await dialog.locator("img").isVisible());
  const wide = await dialog.locator("img").evaluate((image) => image.getBoundingClientRect().width);
  expect(file, `an enlarged picture is large: ${wide} px`, wide > 300);
  await accessible(page, file, "enlarged");
  if (shots) await page.screenshot({ path: join(shots, `${basename(file, ".html")}-zoom.png`) });
  await page.keyboard.press("Escape");
  expect(file, "Escape closes it", !(await dialog.isVisible()));
}

for (const file of words) {
  const bytes = statSync(file).size;
  expect(file, `${bytes} bytes, more than ${LARGEST}`, bytes <= LARGEST);
  for (const width of [390, 1300]) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await open(file, { viewport: { width, height: 900 }, colorScheme });
      await accessible(page, file, `${width} px, ${colorScheme}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      expect(file, `${wide} px wide on ${width} px`, wide <= width);
      const broken = await page.evaluate(() => [...document.images].filter((image) => !image.naturalWidth).length);
      expect(file, `${broken} broken pictures`, broken === 0);
      if (shots) await page.screenshot({ path: join(shots, `${basename(file, ".html")}-${width}-${colorScheme}.png`), fullPage: true, timeout: 240_000 });
      if (width === 1300 && colorScheme === "light") {
        await sliders(page, file);
        await filters(page, file);
        await zoom(page, file);
        const pdf = await page.pdf({ format: "A4" });
        const pictures = pdf.toString("latin1").split("/Subtype /Image").length - 1;
        const embedded = await page.locator("img:not(.graph)").count();
        expect(file, "the printed page has pictures", embedded === 0 || pictures > 0);
        if (shots) writeFileSync(join(shots, `${basename(file, ".html")}.pdf`), pdf);
      }
      await page.context().close();
    }
  }
  // Without scripts: no control that does nothing, and every patch.
  const page = await open(file, { viewport: { width: 1300, height: 900 }, javaScriptEnabled: false });
  expect(file, "without scripts there are no filters and sliders", (await page.locator(".filters:visible, input:visible").count()) === 0);
  const figures = page.locator(".gallery figure");
  expect(file, "without scripts all patches are shown", (await figures.count()) === (await page.locator(".gallery figure:visible").count()));
  await page.context().close();
  console.log(`${file}: ${bytes} bytes, ${problems.length} problems so far`);
  for (const problem of problems.slice(printed)) console.error(problem);
  printed = problems.length;
}
await browser.close();
process.exit(problems.length ? 1 : 0);
