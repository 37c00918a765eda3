/** `wherry kubeconfig`: prints the kubeconfig that the control plane wrote for this cluster. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readClusterKubeconfig } from "./cluster-kubeconfig.ts";
import { requireRunning } from "./launcher/state-dir.ts";

export function kubeconfig({ name, output }: { name: string; output: "text" | "json" }): void {
  const { dir } = requireRunning(process.env, name);
  if (output === "json") process.stdout.write(`${JSON.stringify(readClusterKubeconfig(dir))}\n`);
  else process.stdout.write(readFileSync(join(dir, "kubeconfig"), "utf8"));
}
