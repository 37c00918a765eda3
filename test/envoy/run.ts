/**
 * Runs every case through one proxy.
 *
 *   groups ─▶ start upstreams, start proxy ─▶ ask() one after the other ─▶ answers by "group/request"
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { refusedPort } from "#proxy/l7/fixture.ts";
import { Addresses } from "./addresses.ts";
import { ask } from "./ask.ts";
import { bootstrapOf } from "./bootstrap.ts";
import { startRateLimitService } from "./rate-limit-service.ts";
import type { RunningProxy } from "./proxies.ts";
import type { Answer, CaseGroup, CaseRequest, Fields } from "./types.ts";
import { startUpstream } from "./upstream.ts";

export type Start = (bootstrap: Fields, dir: string) => Promise<RunningProxy>;

/** A file name for a group. */
const logName = (group: string): string => `${group.replaceAll(/[^a-z0-9-]/gi, "_")}.log`;

export async function runCases(groups: readonly CaseGroup[], start: Start): Promise<ReadonlyMap<string, Answer>> {
  const dir = mkdtempSync(join(tmpdir(), "wherry-envoy-"));
  const a = await startUpstream("a");
  const b = await startUpstream("b");
  const rls = await startRateLimitService();
  const ports = { rls: rls.port, a: a.port, b: b.port, refused: await refusedPort() };
  const addresses = new Addresses(ports);
  const logPath = (group: string): string => join(dir, logName(group));
  const answers = new Map<string, Omit<Answer, "log">>();
  try {
    const proxy = await start(bootstrapOf({ groups, ports, logPath }), dir);
    try {
      for (const { name, requests } of groups)
        for (const request of requests)
          answers.set(`${name}/${request.name}`, await askWith(addresses, proxy.ports.get(name)!, request));
    } finally {
      await proxy.stop();
    }
    return withLogs(groups, answers, (group) => readFileSync(logPath(group), "utf8"));
  } finally {
    a.server.close();
    b.server.close();
    rls.server.forceShutdown();
    rmSync(dir, { recursive: true });
  }
}

async function askWith(addresses: Addresses, port: number, request: CaseRequest): Promise<Omit<Answer, "log">> {
  const headers = (request.headers ?? []).map(([name, value]) => [name, addresses.fill(value)] as const);
  const answer = await ask(port, { ...request, headers });
  const hidden = (lines: readonly string[]): readonly string[] => lines.map((line) => addresses.hide(line));
  const { upstream } = answer;
  return {
    ...answer,
    headers: hidden(answer.headers),
    ...(upstream === undefined ? {} : { upstream: { ...upstream, headers: hidden(upstream.headers) } }),
  };
}

/** Lines are in the order of the requests. */
function withLogs(
  groups: readonly CaseGroup[],
  answers: ReadonlyMap<string, Omit<Answer, "log">>,
  readLog: (group: string) => string,
): ReadonlyMap<string, Answer> {
  const complete = new Map<string, Answer>();
  for (const { name, requests } of groups) {
    const lines = readLog(name).split("\n");
    for (const [at, request] of requests.entries()) {
      const key = `${name}/${request.name}`;
      const answer = answers.get(key)!;
      // What was answered without an upstream has a cluster in one log and none in the other.
      const log = (lines[at] ?? "").split(" ").slice(0, answer.upstream === undefined ? 2 : 3);
      complete.set(key, normalise({ ...answer, log: log.join(" ") }));
    }
  }
  return complete;
}

/** Of an answer that the proxy made because something failed, the text is its own. */
function normalise(answer: Answer): Answer {
  const flag = answer.log.split(" ", 1)[0]!;
  if (answer.upstream !== undefined || (flag === "-" && answer.status < 400)) return answer;
  if (flag === "-" && answer.body !== "" && answer.log.split(" ")[1] !== "-") return answer;
  const headers = answer.headers.filter((line) => !line.startsWith("content-type:"));
  return { ...answer, headers, body: "" };
}
