/** Runs shell scripts in this process's namespaces: pod networks are made so. */
import { type ChildProcess, spawn } from "node:child_process";
import { KubeletError } from "./errors.ts";

/** Resolves when the script has ended well. Rejects with KubeletError FailedCreatePodSandBox and what it printed. */
export function runShell(script: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // Without descriptors to spare there are no pipes, only the error.
    const child: ChildProcess = spawn("/bin/dash", ["-e"], { stdio: ["pipe", "ignore", "pipe"] });
    let errors = "";
    child.stderr?.on("data", (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-2000)));
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) return resolve();
      reject(new KubeletError("FailedCreatePodSandBox", `Cannot set up the pod's network: ${errors.trim()}`));
    });
    child.stdin?.on("error", reject);
    child.stdin?.end(script);
  });
}
