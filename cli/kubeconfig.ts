/** `wherry kubeconfig`: prints the kubeconfig that the control plane wrote for this cluster. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { requireRunning } from "./launcher/state-dir.ts";

export function kubeconfig({ name }: { name: string }): void {
  const { dir } = requireRunning(process.env, name);
  process.stdout.write(readFileSync(join(dir, "kubeconfig"), "utf8"));
}
