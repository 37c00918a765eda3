/** A client of a running cluster's API, from its kubeconfig. */
import { HttpKubeClient } from "#api/client/http.ts";
import { readClusterKubeconfig } from "./cluster-kubeconfig.ts";
import { requireRunning } from "./launcher/state-dir.ts";

/** `headersTimeoutMs`: time for an answer, in ms; default that of the client. */
export function connect(
  cluster: string,
  env: NodeJS.ProcessEnv = process.env,
  headersTimeoutMs?: number,
): HttpKubeClient {
  const { dir } = requireRunning(env, cluster);
  const {
    clusters: [{ cluster: entry }],
    users: [{ user }],
  } = readClusterKubeconfig(dir);
  const decode = (text: string): string => Buffer.from(text, "base64").toString();
  return new HttpKubeClient({
    server: entry.server,
    ca: decode(entry["certificate-authority-data"]),
    cert: decode(user["client-certificate-data"]),
    key: decode(user["client-key-data"]),
    ...(headersTimeoutMs === undefined ? {} : { headersTimeoutMs }),
  });
}
