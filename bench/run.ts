/**
 * Runs every bench and prints one table: question, measured, budget.
 *
 *   npm run bench              all
 *   npm run bench -- spine     those whose file name contains the word
 */
import { globSync } from "node:fs";
import { basename, join } from "node:path";
import type { Measured } from "./measured.ts";

const [wanted = ""] = process.argv.slice(2);
const files = globSync("*.bench.ts", { cwd: import.meta.dirname }).filter((file) => file.includes(wanted));
const rows: Measured[] = [];
for (const file of files.sort()) {
  process.stderr.write(`${basename(file)} …\n`);
  const { run } = (await import(join(import.meta.dirname, file))) as { run: () => Promise<readonly Measured[]> };
  rows.push(...(await run()));
}
console.log("| question | measured | budget |\n| --- | --- | --- |");
for (const { question, measured, budget } of rows) console.log(`| ${question} | ${measured} | ${budget} |`);
