/** `wherry logs`: prints what a container wrote. */
import { pods } from "#api/core/pod.ts";
import { objectPath } from "#api/client/http.ts";
import { splitLines } from "#api/client/lines.ts";
import { connect } from "./connect.ts";
import { CliError } from "./errors.ts";
import { resolvePod } from "./pods.ts";

export interface LogsOptions {
  readonly name: string;
  readonly namespace: string;
  readonly container?: string;
  readonly follow?: boolean;
  readonly tail?: string;
  readonly output: "text" | "json";
}

const lineBytesMax = 1024 * 1024;

export async function logs(
  pod: string,
  { name, namespace, container, follow, tail, output }: LogsOptions,
): Promise<void> {
  if (tail !== undefined && !/^\d+$/.test(tail))
    throw new CliError("Usage", `Cannot use --tail ${tail}: wanted a whole number`);
  const client = connect(name);
  try {
    const key = await resolvePod(client, pod, namespace);
    const path = `${objectPath(pods, key)}/log`;
    const query = { container, follow: follow === true ? "true" : undefined, tailLines: tail };
    const bytes = await client.stream(path, query);
    if (output === "text") {
      for await (const chunk of bytes) process.stdout.write(chunk);
    } else {
      for await (const line of splitLines(bytes, lineBytesMax))
        process.stdout.write(`${JSON.stringify({ pod: key.name, line })}\n`);
    }
  } finally {
    await client.close();
  }
}
