/** Programs of the L4 benches, each in user, network, mount and pid namespaces of its own. */
import { execFile } from "node:child_process";
import { join } from "node:path";

const unshare = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"];

/**
 * What `file` (from the repository's root) prints. Killed after `timeoutSeconds`. Rejects with what it printed when it
 * fails.
 */
export function runInNamespaces(
  file: string,
  args: readonly string[],
  { timeoutSeconds }: { readonly timeoutSeconds: number },
): Promise<string> {
  const { NODE_TEST_CONTEXT: _context, NODE_OPTIONS: _options, ...rest } = process.env;
  const env = { ...rest, PATH: `${rest["PATH"] ?? ""}:/usr/sbin:/sbin` };
  const node = [process.execPath, join(import.meta.dirname, "..", file), ...args];
  const command = ["--pdeathsig", "KILL", ...unshare, "--mount-proc", ...node];
  const options = { env, maxBuffer: 64 * 1024 * 1024, timeout: timeoutSeconds * 1000 };
  return new Promise((resolve, reject) => {
    execFile("setpriv", command, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`Cannot measure ${file}: ${error.message}\n${stdout}${stderr}`));
    });
  });
}
