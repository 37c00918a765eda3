/**
 * Debian 12's kubectl 1.20: out of the package kubernetes-client, kept in a cache outside the repository and not
 * installed.
 *
 *   apt-get download ─▶ dpkg -x ─▶ $XDG_CACHE_HOME/wherry/kubectl-debian/usr/bin/kubectl
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { CommandError, runCommand } from "../cluster.ts";

const packageName = "kubernetes-client";

/** The path of the program, fetched at the first use. Throws CommandError with the reason when it cannot be had. */
export async function findDebianKubectl(): Promise<string> {
  const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  const folder = join(cache, "wherry", "kubectl-debian");
  const program = join(folder, "usr", "bin", "kubectl");
  if (existsSync(program)) return program;
  mkdirSync(join(cache, "wherry"), { recursive: true });
  const scratch = mkdtempSync(join(cache, "wherry", "fetch-"));
  try {
    await run(["apt-get", "download", "-q", packageName], scratch);
    const [archive = ""] = readdirSync(scratch).filter((name) => name.endsWith(".deb"));
    await run(["dpkg", "-x", archive, "tree"], scratch);
    // Renamed as a whole: a second run never finds half of it. Who comes second takes the first one's.
    if (!existsSync(folder)) renameSync(join(scratch, "tree"), folder);
    return program;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function run(command: readonly string[], folder: string): Promise<void> {
  const { status, stderr } = await runCommand(command, process.env, folder).catch((error: unknown) => ({
    status: 1,
    stderr: String(error),
  }));
  if (status !== 0)
    throw new CommandError("Failed", `Cannot get Debian's kubectl: ${command.join(" ")}: ${stderr.slice(-300)}`);
}
