/**
 * Run once by `npm install`: compiles what every process loads, so that even the first cluster starts fast and small.
 *
 * Each entry is started without its launcher: it loads, finds nobody to talk to and ends, and Node keeps what it
 * compiled. Where that does not work the only loss is time at the first start.
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { enableCompileCache } from "node:module";

const root = join(import.meta.dirname, "..");
const cache = process.env["NODE_COMPILE_CACHE"] ?? join(root, "build", "compile-cache");
const entries = ["control.ts", "agent.ts", "sidecar-host.ts", "launcher/main.ts", "launcher/guardian.ts"];

enableCompileCache(cache);
for (const entry of entries) {
  const env = { ...process.env, NODE_COMPILE_CACHE: cache };
  spawnSync(process.execPath, [join(import.meta.dirname, entry)], { env, stdio: "ignore", timeout: 30_000 });
}
const verbs = readdirSync(import.meta.dirname).filter((file) => /^[a-z-]+\.ts$/.test(file));
for (const verb of verbs) {
  if (!entries.includes(verb) && verb !== "main.ts" && verb !== "prepare.ts")
    await import(join(import.meta.dirname, verb));
}
spawnSync(join(root, "wherry"), ["--help"], { env: { ...process.env, NODE_COMPILE_CACHE: cache }, stdio: "ignore" });
