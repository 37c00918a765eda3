/**
 * `wherry proxy --kubeconfig F`: the node proxy alone, in place of kube-proxy.
 *
 *   flags, KubeProxyConfiguration ─▶ proxy/kube/configuration.ts ─▶ StandaloneProxy ─▶ until a signal
 *
 * SIGTERM and SIGINT end it; the rules stay, as with kube-proxy.
 */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { HttpKubeClient } from "#api/client/http.ts";
import { ClientMetrics } from "#api/client/metrics.ts";
import { realClock as clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import { createLogger } from "#lib/log.ts";
import { systemRandom as random } from "#lib/random.ts";
import { type Access, inCluster, readKubeconfig } from "../dns/kube/kubeconfig.ts";
import { parseConfiguration, type ProxyConfiguration } from "../proxy/kube/configuration.ts";
import { fields } from "../proxy/kube/fields.ts";
import { systemExec } from "../proxy/l4/exec.ts";
import { NetlinkTableWatch } from "../proxy/l4/nft/netlink/watch.ts";
import { cleanUp, StandaloneProxy } from "../proxy/main.ts";
import { CliError } from "./errors.ts";

/** As commander has them: flags in camel case, `true` for one without a value. */
export type ProxyCommandOptions = Readonly<Record<string, string | boolean | undefined>>;

/** How often a token file is read again, in ms. */
const tokenMs = 60_000;

/** Serves until a signal. Rejects with CliError. */
export async function proxy(options: ProxyCommandOptions): Promise<void> {
  const config = readConfiguration(options);
  const level = Number(options["v"] ?? 0) >= 4 ? "debug" : "info";
  const log = createLogger("proxy", level);
  const exec = systemExec(clock);
  let client: HttpKubeClient | undefined;
  try {
    if (options["cleanup"] === true) return await cleanUp(exec);
    const clientMetrics = new ClientMetrics();
    client = connect(config, readMaster(options), clientMetrics);
    const standalone = new StandaloneProxy({
      config,
      client,
      nodeName: config.hostnameOverride || hostname().toLowerCase(),
      exec,
      openWatch: () => NetlinkTableWatch.open(),
      collectClient: () => clientMetrics.collect(),
      clock,
      random,
      log,
    });
    const stopped = new AbortController();
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stopped.abort());
    await standalone.run(stopped.signal);
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError("Failed", messageOf(error), { cause: error });
  } finally {
    await client?.close();
  }
  process.exit(0);
}

function readConfiguration(options: ProxyCommandOptions): ProxyConfiguration {
  const flags: Record<string, string> = {};
  for (const { flag } of fields) {
    const value = flag === undefined ? undefined : options[toCamelCase(flag)];
    if (flag !== undefined && value !== undefined) flags[flag] = String(value);
  }
  try {
    const file = textOf(options["config"]);
    return parseConfiguration(file === undefined ? undefined : readFileSync(file, "utf8"), flags);
  } catch (error) {
    throw new CliError("Usage", messageOf(error), { cause: error });
  }
}

function readMaster(options: ProxyCommandOptions): string | undefined {
  const master = textOf(options["master"]);
  const protocol = master === undefined ? "https:" : URL.parse(master)?.protocol;
  if (protocol === "https:" || protocol === "http:") return master;
  throw new CliError("Usage", `Cannot use --master ${master}: wanted a URL like https://HOST:6443`);
}

function connect(
  { kubeconfig }: ProxyConfiguration,
  master: string | undefined,
  metrics: ClientMetrics,
): HttpKubeClient {
  const read = (): Access => {
    const readFile = (path: string): string => readFileSync(path, "utf8");
    if (kubeconfig !== "") return readKubeconfig(kubeconfig, undefined, readFile);
    return inCluster(readFile, (name) => process.env[name], "--kubeconfig FILE");
  };
  const { token, server, ...tls } = read();
  return new HttpKubeClient({
    server: master ?? server,
    ...tls,
    observe: (answer) => metrics.answered(answer),
    ...(token === undefined ? {} : { token: fresh(() => read().token, token) }),
  });
}

/** The token, read again from time to time; the one before while it cannot be read. */
function fresh(read: () => string | undefined, first: string): () => string {
  let [token, readMs] = [first, clock.monotonicMs()];
  return () => {
    if (clock.monotonicMs() - readMs < tokenMs) return token;
    readMs = clock.monotonicMs();
    try {
      token = read() ?? token;
    } catch (error) {
      createLogger("proxy").warn("Cannot read the token again", { error: messageOf(error) });
    }
    return token;
  };
}

function textOf(value: string | boolean | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function toCamelCase(flag: string): string {
  return flag.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
