/**
 * health, ready, prometheus: pages for those who watch the process. reload: reads the Corefile again.
 *
 *   HTTPRegistry ◀─ pages; build.ts gives `ready` and `prometheus` what they show
 *
 * Follows: the CoreDNS plugins of these names: paths, ports, bodies.
 */
import type { Timer } from "#lib/clock.ts";
import { complain, type Directive, durationOf, noArgs, oneArg, onlyOptions } from "../corefile/directive.ts";
import { family, gauge, Histogram, renderFamilies } from "../metrics.ts";
import type { MetricFamily, Plugin, PluginKind } from "../plugin.ts";

function addressOf(directive: Directive, otherwise: string): string {
  const [address = otherwise] = directive.args;
  if (directive.args.length > 1 || !/^(\S*):[0-9]{1,5}$/.test(address))
    complain(directive, `"${directive.args.join(" ")}", wanted [ADDRESS]:PORT`);
  return address === "localhost:9153" ? "127.0.0.1:9153" : address;
}

/** The plugin `health [ADDRESS] { lameduck DURATION }`. */
export const health: PluginKind = {
  name: "health",
  setup([directive], _site, { http, clock, lifecycle }) {
    if (directive === undefined) throw new TypeError("health needs a directive");
    const address = addressOf(directive, ":8080");
    const [lameduck] = onlyOptions(directive, ["lameduck"]);
    if (lameduck !== undefined) lifecycle.lameduckMs = durationOf(lameduck, oneArg(lameduck, "a duration"));
    const durations = new Histogram([0.00025, 0.0025, 0.025, 0.25, 2.5]);
    http.page(address, "/health", () => ({ status: 200, body: "OK" }));
    // How late a timer comes tells how busy the process is: what CoreDNS' request to itself measures.
    let timer: Timer | undefined;
    const probe = (): void => {
      const dueMs = clock.monotonicMs() + 1000;
      timer = clock.after(1000, () => {
        durations.observe(Math.max(0, clock.monotonicMs() - dueMs) / 1000);
        probe();
      });
    };
    return {
      name: "health",
      start: probe,
      stop: () => timer?.cancel(),
      collect: () => [
        family("coredns_health_request_duration_seconds", "Lag of a probe each second.", durations.lines("")),
        { name: "coredns_health_request_failures_total", kind: "counter", help: "Probes that failed.", lines: [" 0"] },
      ],
    } satisfies Plugin;
  },
};

/** The plugin `ready [ADDRESS] { monitor until-ready|continuously }`. */
export const ready: PluginKind = {
  name: "ready",
  setup([directive], site, { http, lifecycle }) {
    if (directive === undefined) throw new TypeError("ready needs a directive");
    const address = addressOf(directive, ":8181");
    const [monitor] = onlyOptions(directive, ["monitor"]);
    const mode = monitor === undefined ? "until-ready" : oneArg(monitor, "until-ready or continuously");
    if (mode !== "until-ready" && mode !== "continuously")
      complain(directive, `"${mode}", wanted until-ready or continuously`);
    const wereReady = new Set<string>();
    const before = http.byAddress.get(address)?.get("/ready");
    http.page(address, "/ready", () => {
      // Several server blocks share a page: each adds what it waits for.
      const waiting = before?.().status === 503 ? [before().body] : [];
      for (const [name, plugin] of site.plugins()) {
        const isReady = (mode === "until-ready" && wereReady.has(name)) || (plugin.isReady?.() ?? true);
        if (isReady) wereReady.add(name);
        else waiting.push(name);
      }
      if (lifecycle.isStopping) waiting.push("shutting down");
      return waiting.length === 0 ? { status: 200, body: "OK" } : { status: 503, body: waiting.join(",") };
    });
    return { name: "ready" };
  },
};

/** The plugin `prometheus [ADDRESS]`. What it shows is put in by `showMetrics`. */
export class PrometheusPlugin implements Plugin {
  readonly name = "prometheus";
  collectAll: () => readonly MetricFamily[] = () => [];
}

export const prometheus: PluginKind = {
  name: "prometheus",
  setup([directive], _site, { http }) {
    if (directive === undefined) throw new TypeError("prometheus needs a directive");
    const plugin = new PrometheusPlugin();
    http.page(addressOf(directive, "localhost:9153"), "/metrics", () => ({
      status: 200,
      contentType: "text/plain; version=0.0.4; charset=utf-8",
      body: renderFamilies(plugin.collectAll()),
    }));
    return plugin;
  },
};

/** The plugin `reload [INTERVAL] [JITTER]`: looks whether the Corefile has changed. */
export const reload: PluginKind = {
  name: "reload",
  setup([directive], _site, { clock, random, reload: readAgain }) {
    if (directive === undefined) throw new TypeError("reload needs a directive");
    const [interval = "30s", jitter = "15s"] = directive.args;
    onlyOptions(directive, []);
    const everyMs = durationOf(directive, interval);
    if (everyMs !== 0 && everyMs < 2000) complain(directive, `${interval}, wanted at least 2s`);
    const jitterMs = Math.min(durationOf(directive, jitter), everyMs / 2);
    let timer: Timer | undefined;
    const schedule = (): void => {
      timer = clock.after(everyMs + (2 * random.next() - 1) * jitterMs, () => {
        readAgain();
        schedule();
      });
    };
    return { name: "reload", start: everyMs === 0 ? () => undefined : schedule, stop: () => timer?.cancel() };
  },
};

/** The plugin `debug`, `metadata` or `cancel`: nothing here needs it, and nothing is lost without it. */
export function inert(name: string): PluginKind {
  return {
    name,
    setup([directive]) {
      if (directive !== undefined && name !== "cancel") noArgs(directive);
      return { name };
    },
  };
}

/** Which plugins are on: `coredns_plugin_enabled`. */
export function enabledPlugins(server: string, zone: string, names: Iterable<string>): MetricFamily {
  const lines = [...names].map((name) => `{server="${server}",zone="${zone}",view="",name="${name}"} 1`);
  return gauge("coredns_plugin_enabled", "Plugins of each server block.", lines);
}
