/**
 * The configuration for Debian's Prometheus out of the one for all. Pure.
 *
 *   charts/prometheus/prometheus.yaml ─▶ toHTTPDiscovery(url) ─▶ <state>/prometheus.yaml
 *
 * Each `kubernetes_sd_configs` entry becomes an `http_sd_configs` entry that asks discovery.ts for the same role and
 * namespaces. Everything else stays as it is.
 */
import { stringify } from "yaml";
import { messageOf } from "#lib/errors.ts";
import { parseYAMLObject } from "#lib/yaml.ts";
import { CliError } from "../errors.ts";

/** Roles that discovery.ts answers for. */
export const roles = ["pod", "node", "endpointslice"] as const;
export type Role = (typeof roles)[number];

/** How often Prometheus asks for the targets. */
const refreshInterval = "5s";

interface KubernetesDiscovery {
  readonly role: Role;
  readonly namespaces?: { readonly names?: readonly string[] };
}

interface Job {
  readonly job_name: string;
  readonly kubernetes_sd_configs?: readonly KubernetesDiscovery[];
}

interface PrometheusConfig {
  readonly scrape_configs: readonly Job[];
}

/** `base` is where discovery.ts answers, as `http://HOST:PORT`. Throws CliError Failed that names `file`. */
export function toHTTPDiscovery(text: string, { file, base }: { file: string; base: string }): string {
  const config = parseConfig(text, file);
  const jobs = config.scrape_configs.map(({ kubernetes_sd_configs: found, ...job }) => ({
    ...job,
    ...(found === undefined ? {} : { http_sd_configs: found.map((one) => toHTTP(one, base)) }),
  }));
  // Anchors of what was replaced are gone: written out, every job stands for itself.
  return stringify({ ...config, scrape_configs: jobs }, { aliasDuplicateObjects: false });
}

function parseConfig(text: string, file: string): PrometheusConfig {
  try {
    const config: Partial<PrometheusConfig> = parseYAMLObject(text);
    if (!Array.isArray(config.scrape_configs)) throw new TypeError("scrape_configs: wanted a list");
    return { ...config, scrape_configs: config.scrape_configs };
  } catch (cause) {
    throw new CliError("Failed", `Cannot read ${file}: ${messageOf(cause)}`, { cause });
  }
}

function toHTTP({ role, namespaces }: KubernetesDiscovery, base: string): object {
  const query = (namespaces?.names ?? []).map((name) => `namespace=${encodeURIComponent(name)}`).join("&");
  return { url: `${base}/${role}${query === "" ? "" : `?${query}`}`, refresh_interval: refreshInterval };
}
