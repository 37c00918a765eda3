/** `wherry kubeconfig`: prints the kubeconfig that the control plane wrote for this cluster. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { requireRunning } from "./launcher/state-dir.ts";

export function kubeconfig({ name, output }: { name: string; output: "text" | "json" }): void {
  const { dir } = requireRunning(process.env, name);
  const text = readFileSync(join(dir, "kubeconfig"), "utf8");
  process.stdout.write(output === "json" ? `${JSON.stringify(parse(text))}\n` : text);
}
