/**
 * Query parameters and DeleteOptions, read and checked.
 *
 *   Exchange ─▶ requestOptions(), watchQuery(), deleteOptions() ─▶ dispatch.ts, subresource.ts
 */
import type { DeleteOptions } from "#api/client/client.ts";
import { StatusError } from "#api/status.ts";
import type { Exchange } from "./exchange.ts";
import type { ObjectRequest } from "./registry.ts";
import type { WatchQuery } from "./verbs/watch.ts";

/** Who asks, and how the object is to be read and written. Throws BadRequest. */
export function requestOptions(exchange: Exchange): Omit<ObjectRequest, "kind" | "key"> {
  const { query, user, warnings } = exchange;
  const fieldValidation = query.get("fieldValidation") ?? "Warn";
  if (fieldValidation !== "Strict" && fieldValidation !== "Warn" && fieldValidation !== "Ignore")
    throw new StatusError(
      "BadRequest",
      `fieldValidation: got ${JSON.stringify(fieldValidation)}, wanted Strict, Warn or Ignore`,
    );
  const dryRun = query.get("dryRun");
  if (dryRun !== null && dryRun !== "" && dryRun !== "All")
    throw new StatusError("BadRequest", `dryRun: got ${JSON.stringify(dryRun)}, wanted All`);
  return {
    user: user ?? { name: "system:anonymous", groups: [] },
    isDryRun: dryRun === "All",
    fieldValidation,
    warn: (sentence) => void warnings.push(sentence),
  };
}

/** The query of a list or watch. Throws BadRequest. */
export function watchQuery({ query }: Exchange, namespace: string | undefined): WatchQuery {
  const read = (name: string): string | undefined => query.get(name) ?? undefined;
  return {
    namespace,
    labelSelector: read("labelSelector"),
    fieldSelector: read("fieldSelector"),
    resourceVersion: read("resourceVersion"),
    resourceVersionMatch: read("resourceVersionMatch"),
    continue: read("continue"),
    limit: wholeNumber("limit", query.get("limit")) ?? 0,
    allowWatchBookmarks: isTrue(query.get("allowWatchBookmarks")),
    sendInitialEvents: read("sendInitialEvents"),
  };
}

/** DeleteOptions from the body, or else the query. Throws BadRequest. */
export async function deleteOptions(exchange: Exchange): Promise<{ options: DeleteOptions; isDryRun: boolean }> {
  const body = (await exchange.readBody()) ?? {};
  if (typeof body !== "object" || Array.isArray(body))
    throw new StatusError("BadRequest", "Cannot read DeleteOptions: wanted a JSON object");
  const sent = body as SentDeleteOptions;
  const seconds = wholeNumber(
    "gracePeriodSeconds",
    String(sent.gracePeriodSeconds ?? exchange.query.get("gracePeriodSeconds") ?? ""),
  );
  const policy = propagationPolicy(sent, exchange.query);
  const { preconditions } = sent;
  if (preconditions !== undefined && (typeof preconditions !== "object" || preconditions === null))
    throw new StatusError("BadRequest", "preconditions: wanted an object");
  const options: DeleteOptions = {
    ...(seconds === undefined ? {} : { gracePeriodSeconds: seconds }),
    ...(policy === undefined ? {} : { propagationPolicy: policy }),
    ...(preconditions === undefined ? {} : { preconditions }),
  };
  const { dryRun = [] } = sent;
  const isDryRun = Array.isArray(dryRun) && dryRun.length === 1 && dryRun[0] === "All";
  // Mistaking a rehearsal for the deletion would be the worst that can happen here.
  if (!isDryRun && !(Array.isArray(dryRun) && dryRun.length === 0))
    throw new StatusError("BadRequest", `dryRun: got ${JSON.stringify(dryRun)?.slice(0, 60)}, wanted ["All"]`);
  return { options, isDryRun: isDryRun || exchange.query.get("dryRun") === "All" };
}

type SentDeleteOptions = DeleteOptions & { readonly dryRun?: unknown; readonly orphanDependents?: unknown };

/** What becomes of the dependents; undefined: as the object's finalizers say, else Background. Throws Invalid. */
function propagationPolicy(sent: SentDeleteOptions, query: URLSearchParams): DeleteOptions["propagationPolicy"] {
  const policy: unknown = sent.propagationPolicy ?? query.get("propagationPolicy") ?? undefined;
  const orphan: unknown = sent.orphanDependents ?? query.get("orphanDependents") ?? undefined;
  if (policy !== undefined && orphan !== undefined)
    throw invalidDelete(
      "propagationPolicy: Invalid value: orphanDependents and deletionPropagation cannot be both set",
    );
  // The older form of the same wish.
  if (policy === undefined && orphan !== undefined)
    return orphan === true || orphan === "true" ? "Orphan" : "Background";
  if (policy === undefined || policy === "Background" || policy === "Foreground" || policy === "Orphan") return policy;
  const shown = JSON.stringify(policy).slice(0, 60);
  throw invalidDelete(
    `propagationPolicy: Unsupported value: ${shown}: supported values: "Foreground", "Background", "Orphan", "nil"`,
  );
}

function invalidDelete(problem: string): StatusError {
  return new StatusError("Invalid", `DeleteOptions.meta.k8s.io "" is invalid: ${problem}`);
}

/** A whole number in a query; undefined when it is not there. Throws BadRequest. */
export function wholeNumber(name: string, text: string | null): number | undefined {
  if (text === null || text === "") return undefined;
  if (!/^[0-9]{1,9}$/.test(text))
    throw new StatusError("BadRequest", `${name}: got ${JSON.stringify(text)}, wanted a whole number`);
  return Number(text);
}

/** Go's strconv.ParseBool, as far as clients use it. */
export function isTrue(text: string | null): boolean {
  return text === "true" || text === "1" || text === "True";
}
